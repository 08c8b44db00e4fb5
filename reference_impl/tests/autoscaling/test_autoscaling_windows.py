"""Windows against a second, slower model that keeps times instead of bucket numbers."""

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun.autoscaling.windows import (
    NEVER,
    YEAR_ONE_SECONDS,
    LinearWindow,
    MaxWindow,
    WeightedWindow,
    power,
    round_half_away,
    smoothing_coefficient,
)
from minirun.model.clock import SECOND_NS as S

T0 = 1_700_000_000 * S


@dataclass
class ModelWindow:
    """The specification's pseudo code, word for word: times are kept, not bucket numbers."""

    window: int
    g: int
    first: int | None = None
    last: int | None = None
    total: float = 0.0
    b: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.nb = math.ceil(self.window / self.g)
        self.b = [0.0] * self.nb

    def trunc(self, t: int) -> int:
        return t - (t + YEAR_ONE_SECONDS * S) % self.g

    def idx(self, t: int) -> int:
        return (t // S) // (self.g // S)

    def record(self, t: int, v: float) -> None:
        bt, wi = self.trunc(t), self.idx(t)
        if self.last is None or bt != self.last:
            if self.last is not None and bt + self.window <= self.last:
                return
            if self.first is None or self.first > bt:
                self.first = bt
            if self.last is None or bt > self.last:
                if self.last is None or bt - self.last >= self.window:
                    self.first, self.b, self.total = bt, [0.0] * self.nb, 0.0
                else:
                    for i in range(self.idx(self.last) + 1, wi + 1):
                        self.total -= self.b[i % self.nb]
                        self.b[i % self.nb] = 0.0
                self.last = bt
        self.b[wi % self.nb] += v
        self.total += v

    def is_empty(self, t: int) -> bool:
        return self.last is None or self.trunc(t) - self.last > self.window

    def average(self, t: int) -> float:
        n = self.trunc(t)
        if self.last is None or n - self.last >= self.window:
            return 0.0
        d = n - self.last
        span = self.nb if self.first is None else (self.last - self.first) // self.g + 1
        if d <= 0:
            return round_half_away(self.total / min(span, self.nb))
        r = self.total
        for i in range(self.idx(self.last) + 1, self.idx(n) + 1):
            r -= self.b[i % self.nb]
        return round_half_away(r / min(span, self.nb - (self.idx(n) - self.idx(self.last))))

    def weighted(self, t: int) -> float:
        if self.is_empty(t) or self.last is None:
            return 0.0
        k = max(1 - 0.0001 ** (1 / self.nb), 0.2)
        late = max(0, (self.trunc(t) - self.last) // self.g)
        newest = self.idx(self.last)
        return sum(self.b[(newest - i) % self.nb] * k * (1 - k) ** (late + i) for i in range(self.nb - late))

    def resize(self, now: int, window: int) -> None:
        if window == self.window:
            return
        old, old_nb, empty = self.b, self.nb, self.is_empty(now)
        self.window, self.nb = window, math.ceil(window / self.g)
        self.b, self.total, self.first = [0.0] * self.nb, 0.0, None
        if not empty and self.last is not None:
            newest = self.idx(self.last)
            for i in range(min(old_nb, self.nb)):
                self.b[(newest - i) % self.nb] = old[(newest - i) % old_nb]
                self.total += old[(newest - i) % old_nb]
            self.first = self.last - (old_nb - 1) * self.g


window_seconds = st.integers(1, 20)
operations = st.lists(
    st.tuples(
        st.sampled_from(["record", "record", "record", "query", "resize"]),
        st.one_of(st.integers(0, 3000), st.integers(-25_000, 25_000)),  # milliseconds from the last time
        st.floats(-50, 1000, allow_nan=False),
        window_seconds,
    ),
    max_size=60,
)


@given(seconds=window_seconds, g=st.sampled_from([1, 2, 3, 5]), ops=operations)
def test_a_window_does_what_the_specification_says(
    seconds: int, g: int, ops: list[tuple[str, int, float, int]]
) -> None:
    model = ModelWindow(seconds * S, g * S)
    linear, weighted = LinearWindow(seconds * S, g * S), WeightedWindow(seconds * S, g * S)
    now = T0
    for op, step_ms, value, resized in ops:
        now += step_ms * 1_000_000
        for window in (model, linear, weighted):
            if op == "record":
                window.record(now, value)
            elif op == "resize":
                window.resize(now, resized * S)
        for t in (now, now - S, now + g * S, now + seconds * S):
            assert linear.is_empty(t) == weighted.is_empty(t) == model.is_empty(t)
            assert linear.average(t) == model.average(t)
            assert weighted.average(t) == pytest.approx(model.weighted(t), rel=1e-9, abs=1e-9)


def test_samples_of_the_same_second_add_up() -> None:
    window = LinearWindow(60 * S)
    window.record(T0, 1.5)
    window.record(T0 + S - 1, 2.0)
    assert window.average(T0) == 3.5


def test_a_young_window_divides_by_its_age_and_counts_gaps_as_zero() -> None:
    window = LinearWindow(60 * S)
    window.record(T0, 6.0)
    window.record(T0 + 2 * S, 6.0)
    assert window.average(T0 + 2 * S) == 4.0


def test_a_late_sample_lowers_the_start_and_one_a_window_late_is_dropped() -> None:
    window = LinearWindow(6 * S)
    window.record(T0, 6.0)
    window.record(T0 - 5 * S, 6.0)
    assert window.average(T0) == 2.0
    window.record(T0 - 6 * S, 600.0)
    assert window.average(T0) == 2.0


def test_after_exactly_a_window_the_average_is_zero_although_the_window_is_not_empty() -> None:
    window = LinearWindow(6 * S)
    window.record(T0, 6.0)
    assert (window.average(T0 + 6 * S), window.is_empty(T0 + 6 * S)) == (0.0, False)
    assert window.is_empty(T0 + 7 * S)


def test_negative_samples_are_rounded_away_from_zero() -> None:
    window = LinearWindow(2 * S)
    window.record(T0, -0.000001)
    window.record(T0 + S, 0.0)
    assert window.average(T0 + S) == -0.000001  # -0.0000005 lies halfway


def test_a_resize_keeps_the_newest_buckets_and_an_empty_window_forgets() -> None:
    window = LinearWindow(6 * S)
    for second in range(6):
        window.record(T0 + second * S, float(second))
    window.resize(T0 + 5 * S, 3 * S)
    assert window.average(T0 + 5 * S) == 4.0
    window.resize(T0 + 5 * S, 4 * S)  # the fourth bucket holds nothing any more
    assert window.average(T0 + 5 * S) == 4.0
    window.resize(T0 + 60 * S, 6 * S)
    assert (window.first, window.total) == (NEVER, 0.0)


def test_a_window_that_was_resized_before_its_first_sample_works() -> None:
    window = LinearWindow(6 * S)
    window.resize(T0, 3 * S)
    assert window.is_empty(T0)
    window.record(T0, 6.0)
    assert window.average(T0) == 6.0


def test_a_window_that_was_resized_while_empty_is_young_again() -> None:
    window = LinearWindow(6 * S)
    window.record(T0, 6.0)
    window.resize(T0 + 8 * S, 20 * S)
    window.record(T0 + 8 * S, 6.0)
    assert window.average(T0 + 8 * S) == 6.0


@pytest.mark.parametrize("granularity_ns", [7 * S, S // 2, S + 1])
def test_a_granularity_whose_two_grids_differ_is_refused(granularity_ns: int) -> None:
    with pytest.raises(ValueError, match="use 1 s"):
        LinearWindow(60 * S, granularity_ns)


def test_the_first_sample_of_a_weighted_minute_counts_a_fifth() -> None:
    window = WeightedWindow(60 * S)
    window.record(T0, 10.0)
    assert window.average(T0) == 2.0
    assert window.average(T0 + S) == 10.0 * (0.2 * 0.8)
    assert window.average(T0 + 60 * S) == 0.0


@pytest.mark.parametrize(
    ("size", "expected"), [(1, 0.9999), (3, 0.9535841116638721), (41, 0.20119821919842973)]
)
def test_smoothing_coefficients_are_knatives_to_the_last_bit(size: int, expected: float) -> None:
    assert smoothing_coefficient(size) == expected


@pytest.mark.parametrize("size", range(1, 65))
def test_smoothing_coefficients_follow_their_formula(size: int) -> None:
    assert smoothing_coefficient(size) == pytest.approx(max(1 - 0.0001 ** (1 / size), 0.2), rel=1e-12)


@given(base=st.floats(1e-4, 0.9999), exponent=st.integers(1, 3600))
def test_powers_by_squaring_are_powers(base: float, exponent: int) -> None:
    assert power(base, exponent) == pytest.approx(base**exponent, rel=1e-11, abs=1e-300)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [(0.0000005, 0.000001), (0.0000015, 0.000002), (-0.0000005, -0.000001), (2.5e-7, 0.0), (1e15, 1e15)],
)
def test_halves_are_rounded_away_from_zero(value: float, rounded: float) -> None:
    assert round_half_away(value) == rounded


@given(
    delay=st.integers(1, 20),
    start=st.sampled_from([T0, T0 + S]),
    steps=st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 50)), min_size=1, max_size=50),
)
def test_the_largest_recent_value_is_held_on_an_absolute_grid(
    delay: int, start: int, steps: list[tuple[int, int]]
) -> None:
    window = MaxWindow(delay * S, 2 * S)
    seen: list[tuple[int, int]] = []
    now = start
    for step_ms, value in steps:
        now += step_ms * 1_000_000
        seen.append((now // (2 * S), value))
        kept = [v for bucket, v in seen if now // (2 * S) - bucket < math.ceil(delay / 2)]
        assert window.record(now, value) == max(kept)


def test_the_same_delay_holds_a_peak_longer_from_an_even_second_than_from_an_odd_one() -> None:
    even, odd = MaxWindow(4 * S, 2 * S), MaxWindow(4 * S, 2 * S)
    even.record(T0, 9)
    odd.record(T0 + S, 9)
    assert (even.record(T0 + 3 * S, 1), odd.record(T0 + 4 * S, 1)) == (9, 1)


def test_a_clock_that_steps_back_does_no_harm() -> None:
    window = MaxWindow(2 * S, 2 * S)
    assert window.record(T0, 5) == 5
    assert window.record(T0 - 2 * S, 3) == 5
    assert window.record(T0 + 2 * S, 1) == 1


def test_what_is_recorded_after_a_step_back_counts_as_newest() -> None:
    window = MaxWindow(4 * S, 2 * S)
    window.record(T0, 5)
    window.record(T0 - 2 * S, 7)
    assert window.record(T0 + 2 * S, 1) == 7
