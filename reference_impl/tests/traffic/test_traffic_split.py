"""A split is exact in the long run and even in the short."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun.traffic.split import TrafficSplit

WEIGHTS = st.lists(st.integers(1, 50), min_size=1, max_size=7)


def _targets(weights: list[int]) -> list[tuple[str, int]]:
    return [(f"rev-{position}", weight) for position, weight in enumerate(weights)]


@given(WEIGHTS, st.integers(1, 300))
def test_no_target_is_ever_further_from_its_share_than_the_bound_of_tijdeman(
    weights: list[int], picks: int
) -> None:
    split, total, many = TrafficSplit(_targets(weights)), sum(weights), len(weights)
    bound = 1 - Fraction(1, 2 * many - 2) if many > 1 else Fraction(0)
    counts = {name: 0 for name, _ in _targets(weights)}
    for done in range(1, picks + 1):
        counts[split.pick()] += 1
        for name, weight in _targets(weights):
            assert abs(counts[name] - Fraction(done * weight, total)) <= bound


@given(WEIGHTS)
def test_after_as_many_picks_as_the_weights_sum_to_every_count_is_exact(weights: list[int]) -> None:
    split = TrafficSplit(_targets(weights))
    picked = [split.pick() for _ in range(sum(weights))]
    assert [picked.count(name) for name, _ in _targets(weights)] == weights


def test_a_canary_of_one_percent_gets_its_turn_in_the_middle_of_every_hundred() -> None:
    split = TrafficSplit([("stable", 99), ("canary", 1)])
    picked = [split.pick() for _ in range(300)]
    turns = [turn for turn, name in enumerate(picked) if name == "canary"]
    assert len(turns) == 3
    assert all(40 <= turn % 100 <= 60 for turn in turns)


def test_a_target_without_weight_is_never_picked_and_one_named_twice_gets_both_parts() -> None:
    split = TrafficSplit([("a", 25), ("none", 0), ("b", 50), ("a", 25)])
    picked = [split.pick() for _ in range(100)]
    assert (picked.count("a"), picked.count("b"), picked.count("none")) == (50, 50, 0)


@given(st.lists(st.tuples(st.integers(1, 99), st.integers(1, 30)), min_size=20, max_size=60))
def test_a_split_that_changes_all_the_time_stays_within_two_of_the_exact_share(
    phases: list[tuple[int, int]],
) -> None:
    split, exact, count = None, Fraction(0), 0
    for percent, picks in phases:
        split = TrafficSplit([("new", percent), ("old", 100 - percent)], previous=split)
        for _ in range(picks):
            count += split.pick() == "new"
        exact += Fraction(percent * picks, 100)
        assert abs(count - exact) < 2


def test_a_canary_is_not_starved_by_splits_that_are_replaced_before_its_turn() -> None:
    split, canary = None, 0
    for step in range(100):
        split = TrafficSplit([("canary", 1), (f"stable-{step % 2}", 99)], previous=split)
        canary += [split.pick() for _ in range(10)].count("canary")
    assert 9 <= canary <= 11


@pytest.mark.parametrize("targets", [[], [("a", 0)], [("a", 101), ("b", -1)]])
def test_targets_that_cannot_be_picked_are_refused_with_a_sentence(targets: list[tuple[str, int]]) -> None:
    with pytest.raises(ValueError, match="weight"):
        TrafficSplit(targets)
