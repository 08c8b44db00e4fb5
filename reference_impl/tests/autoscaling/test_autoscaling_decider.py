"""The decision, in the families that the recorded traces do not hold."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun.autoscaling.decider import NO_DECISION, Decider, ScaleResult, scale
from minirun.autoscaling.spec import DeciderSpec
from minirun.model.clock import SECOND_NS as S

T0 = 1_700_000_000 * S
SPEC = DeciderSpec(target_value=10.0, total_value=10.0, target_burst_capacity=0.0)


def test_load_is_divided_by_the_target_and_rounded_up() -> None:
    assert scale(Decider(SPEC, T0, 5), T0 + 100 * S, 5, (40.5, 40.5)) == ScaleResult(5, 0, True)


def test_a_decider_that_can_not_count_pods_at_first_starts_calm() -> None:
    decider = Decider(SPEC, T0, None)
    assert (decider.panic_time_ns, decider.max_panic_pods) == (None, 0)
    assert scale(decider, T0, 4, (30.0, 30.0)).desired == 3


def test_a_decider_that_starts_over_several_pods_keeps_them_for_a_stable_window() -> None:
    decider = Decider(SPEC, T0, 4)
    assert scale(decider, T0 + 60 * S, 4, (0.0, 0.0)).desired == 4
    assert scale(decider, T0 + 60 * S + 1, 4, (0.0, 0.0)).desired == 2


def test_one_ready_pod_is_remembered_but_is_no_panic() -> None:
    decider = Decider(SPEC, T0, 1)
    assert (decider.panic_time_ns, decider.max_panic_pods) == (None, 1)


@pytest.mark.parametrize(("ready", "metrics"), [(None, (50.0, 50.0)), (3, None)])
def test_without_pods_or_metrics_nothing_is_decided_and_nothing_noted(
    ready: int | None, metrics: tuple[float, float] | None
) -> None:
    decider = Decider(replace(SPEC, scale_down_delay_ns=10 * S), T0, 3)
    assert scale(decider, T0 + 300 * S, ready, metrics) == NO_DECISION
    assert (decider.panic_time_ns, decider.max_panic_pods) == (T0, 3)


def test_no_ready_pod_counts_as_one_for_the_rates_and_as_none_for_the_burst() -> None:
    spec = replace(SPEC, max_scale_up_rate=3.0, target_burst_capacity=5.0)
    assert scale(Decider(spec, T0, 0), T0, 0, (100.0, 7.0)) == ScaleResult(3, -12, True)


def test_panic_starts_at_the_threshold_itself_and_its_maximum_never_falls() -> None:
    decider = Decider(SPEC, T0, 1)
    assert scale(decider, T0, 2, (10.0, 40.0)).desired == 4  # 4 / 2 = 2.0
    assert decider.panic_time_ns == T0
    assert scale(decider, T0 + 2 * S, 4, (10.0, 10.0)).desired == 4
    assert scale(decider, T0 + 60 * S, 4, (10.0, 10.0)).desired == 4
    assert scale(decider, T0 + 62 * S, 4, (10.0, 10.0)).desired == 2
    assert (decider.panic_time_ns, decider.max_panic_pods) == (None, 0)


def test_the_activation_scale_is_a_floor_for_any_need_and_comes_after_the_rates() -> None:
    spec = replace(SPEC, activation_scale=20, max_scale_up_rate=2.0)
    assert scale(Decider(spec, T0, 1), T0, 1, (0.1, 0.0)).desired == 20
    assert scale(Decider(spec, T0, 1), T0, 1, (0.0, 0.0)).desired == 0
    assert scale(Decider(replace(spec, activation_scale=1), T0, 1), T0, 1, (0.1, 0.0)).desired == 1


def test_an_unreachable_revision_falls_at_once_and_ignores_the_delay() -> None:
    spec = replace(SPEC, reachable=False, scale_down_delay_ns=60 * S)
    decider = Decider(spec, T0, 1)
    assert scale(decider, T0, 8, (80.0, 0.0)).desired == 8
    assert scale(decider, T0 + 2 * S, 8, (0.0, 0.0)).desired == 0


@pytest.mark.parametrize(("start_ns", "held"), [(T0, True), (T0 + S, False)])
def test_how_long_a_delay_holds_depends_on_the_parity_of_the_second(start_ns: int, held: bool) -> None:
    decider = Decider(replace(SPEC, scale_down_delay_ns=4 * S), start_ns, 1)
    scale(decider, start_ns, 1, (15.0, 0.0))
    assert (scale(decider, start_ns + 3 * S, 2, (10.0, 0.0)).desired == 2) is held


def test_a_new_spec_counts_at_once_except_for_the_delay() -> None:
    decider = Decider(SPEC, T0, 1)
    assert scale(decider, T0, 3, (30.0, 0.0)).desired == 3
    decider.spec = replace(SPEC, target_value=5.0, scale_down_delay_ns=60 * S)
    assert scale(decider, T0 + 2 * S, 6, (30.0, 0.0)).desired == 6
    assert scale(decider, T0 + 4 * S, 6, (20.0, 0.0)).desired == 4


def test_a_shorter_stable_window_ends_a_panic_sooner() -> None:
    decider = Decider(SPEC, T0, 4)
    decider.spec = replace(SPEC, stable_window_ns=6 * S)
    assert scale(decider, T0 + 8 * S, 4, (10.0, 10.0)).desired == 2


def test_a_tick_that_repeats_or_steps_back_changes_nothing() -> None:
    decider = Decider(SPEC, T0, 1)
    first = scale(decider, T0 + 10 * S, 1, (25.0, 25.0))
    assert scale(decider, T0 + 10 * S, 1, (25.0, 25.0)) == first
    assert scale(decider, T0 + 10 * S - S // 2, 1, (25.0, 25.0)) == first
    assert decider.panic_time_ns == T0 + 10 * S - S // 2


def test_extreme_numbers_are_clamped_to_32_bits() -> None:
    spec = replace(
        SPEC, max_scale_up_rate=1e12, target_value=0.01, total_value=1e12, target_burst_capacity=1.0
    )
    result = scale(Decider(spec, T0, 1), T0, 5, (1e15, 0.0))
    assert result == ScaleResult(2147483647, 2147483647, True)
    assert scale(Decider(spec, T0, 1), T0, 0, (0.0, 1e15)).excess_burst_capacity == -2147483648


@pytest.mark.parametrize(
    ("capacity", "ready", "panic", "excess"),
    [(0.0, 3, 99.0, 0), (-1.0, 3, 99.0, -1), (5.0, 3, 12.5, 12), (5.0, 0, 0.0, -5), (30.0, 3, 0.5, -1)],
)
def test_excess_burst_capacity(capacity: float, ready: int, panic: float, excess: int) -> None:
    spec = replace(SPEC, total_value=10.0, target_burst_capacity=capacity)
    assert scale(Decider(spec, T0, 1), T0, ready, (0.0, panic)).excess_burst_capacity == excess


loads = st.floats(0, 1e6, allow_nan=False)
steps = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 300), loads, loads), min_size=1, max_size=40)


@given(steps=steps, rate=st.floats(1.1, 20), initial=st.integers(0, 9))
def test_no_step_goes_beyond_the_rates_and_panic_never_falls(
    steps: list[tuple[int, int, float, float]], rate: float, initial: int
) -> None:
    spec = replace(SPEC, max_scale_up_rate=rate, max_scale_down_rate=rate)
    decider = Decider(spec, T0, initial)
    now, before, panicking = T0, 0, False
    for step_ms, ready, stable, panic in steps:
        now += step_ms * 1_000_000
        since = decider.panic_time_ns
        desired = scale(decider, now, ready, (stable, panic)).desired
        stays = decider.panic_time_ns is not None and (panicking or since is not None)
        assert desired >= (before if stays and panicking else 0)
        assert desired >= int(max(1, ready) / rate)
        if decider.panic_time_ns is None:
            assert desired <= -(-max(1, ready) * rate // 1)
        before, panicking = desired, decider.panic_time_ns is not None


@given(stable=loads, panic=loads, ready=st.integers(1, 300))
def test_more_load_never_wants_fewer_pods(stable: float, panic: float, ready: int) -> None:
    less = scale(Decider(SPEC, T0, 1), T0, ready, (stable, panic)).desired
    assert scale(Decider(SPEC, T0, 1), T0, ready, (stable * 1.5, panic)).desired >= less
    assert scale(Decider(SPEC, T0, 1), T0, ready, (stable, panic * 1.5)).desired >= less
