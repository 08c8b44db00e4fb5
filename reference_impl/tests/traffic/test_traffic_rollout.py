"""A rollout gives the newest revision its traffic step by step."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun.model.clock import SECOND_NS
from minirun.traffic.rollout import (
    ConfigurationRollout,
    RevisionShare,
    Rollout,
    StepParams,
    goal,
    next_step_after_seconds,
    observe_ready,
    step,
)

T0 = 1_700_000_000 * SECOND_NS
KEY = ("", "hello")


def _state(*shares: int, total: int | None = None, params: StepParams | None = None) -> Rollout:
    revisions = tuple(RevisionShare(f"r{number}", share) for number, share in enumerate(shares, 1))
    percent = sum(shares) if total is None else total
    return Rollout((ConfigurationRollout("hello", percent, revisions, "", params or StepParams()),))


def _run(state: Rollout, percent: int, revision: str, now_ns: int = T0) -> list[tuple[str, int]]:
    return step(state, [goal("hello", percent, revision)], now_ns).percents[KEY]


def test_the_first_revision_gets_everything_at_once() -> None:
    outcome = step(None, [goal("hello", 100, "r1")], T0)
    assert outcome.percents == {KEY: [("r1", 100)]}
    assert next_step_after_seconds(outcome.rollout, T0) is None


def test_a_whole_rollout_starts_with_one_percent_steps_when_due_and_ends_with_everything() -> None:
    state = step(None, [goal("hello", 100, "r1")], T0).rollout
    goals = [goal("hello", 100, "r2")]
    started = step(state, goals, T0)
    assert started.percents[KEY] == [("r1", 99), ("r2", 1)]
    assert next_step_after_seconds(started.rollout, T0) is None
    assert (
        step(started.rollout, goals, T0 + 900 * SECOND_NS).percents == started.percents
    )  # nobody saw it ready

    state = observe_ready(started.rollout, T0 + 20 * SECOND_NS, duration_seconds=100)
    assert observe_ready(state, T0 + 21 * SECOND_NS, duration_seconds=100) == state
    now, seen = T0 + 20 * SECOND_NS, []
    outcome = step(state, goals, now)
    while (after_seconds := next_step_after_seconds(outcome.rollout, now)) is not None:
        state = Rollout.from_annotation(outcome.rollout.to_annotation()) or pytest.fail("unreadable state")
        seen.append(dict(outcome.percents[KEY])["r2"])
        now += round(after_seconds * SECOND_NS)
        outcome = step(state, goals, now)
    assert seen == [1, 26, 51, 76]  # (100 - 20) s in steps of 20 s
    assert outcome.percents[KEY] == [("r2", 100)]
    assert now == T0 + 100 * SECOND_NS


@pytest.mark.parametrize(
    ("percent", "first_seconds", "duration", "size", "step_seconds"),
    [
        (100, 0.2, 121, 1, 120 / 99),  # never less than 1 %
        (100, 3, 123, 2, 3),
        (75, 3, 123, 2, 3),
        (50, 3, 123, 1, 3),
        (100, 300, 120, 99, 1),  # slower than all the time there is: in one step
    ],
)
def test_the_time_of_the_first_percent_decides_size_and_pace(
    percent: int, first_seconds: float, duration: float, size: int, step_seconds: float
) -> None:
    now = T0 + int(first_seconds * SECOND_NS)
    state = _state(percent - 1, 1, params=StepParams(T0))
    params = observe_ready(state, now, duration).configurations[0].step_params
    assert (params.size, params.step_ns) == (size, int(step_seconds * SECOND_NS))
    assert params.next_step_ns == now + params.step_ns


def test_a_newer_revision_supersedes_a_rollout_and_the_youngest_of_the_old_runs_dry_first() -> None:
    params = StepParams(T0, T0 + 5, 10, 20)
    assert _run(_state(60, 40, params=params), 100, "r3") == [("r1", 60), ("r2", 39), ("r3", 1)]
    assert _run(_state(99, 1, params=params), 100, "r3") == [("r1", 99), ("r3", 1)]
    outcome = step(_state(60, 30, 10, params=params), [goal("hello", 100, "r3")], T0 + 5)
    assert outcome.percents[KEY] == [("r1", 60), ("r2", 10), ("r3", 30)]
    assert outcome.rollout.configurations[0].step_params == StepParams(T0, T0 + 15, 10, 20)


def test_a_step_before_its_time_changes_nothing() -> None:
    state = _state(60, 40, params=StepParams(T0, T0 + 2 * SECOND_NS, SECOND_NS, 20))
    outcome = step(state, [goal("hello", 100, "r2")], T0)
    assert (outcome.rollout, next_step_after_seconds(outcome.rollout, T0)) == (state, 2.0)


@pytest.mark.parametrize(
    ("shares", "percent", "expected"),
    [
        ((21, 21), 75, [("r1", 21), ("r2", 54)]),
        ((21, 22, 32), 42, [("r2", 10), ("r3", 32)]),
        ((21, 54), 42, [("r2", 42)]),
    ],
)
def test_more_percent_goes_to_the_newest_and_less_is_taken_from_the_oldest(
    shares: tuple[int, ...], percent: int, expected: list[tuple[str, int]]
) -> None:
    assert _run(_state(*shares), percent, f"r{len(shares)}") == expected


def test_a_step_larger_than_what_is_left_ends_the_rollout() -> None:
    state = _state(5, 1, 1, 8, params=StepParams(T0, T0, 77, 10))
    outcome = step(state, [goal("hello", 15, "r4")], T0)
    assert outcome.rollout == _state_of("r4", 15)
    assert next_step_after_seconds(outcome.rollout, T0) is None


def _state_of(revision: str, percent: int) -> Rollout:
    return Rollout((goal("hello", percent, revision),))


def test_a_target_of_one_percent_or_a_new_tag_is_not_rolled_out() -> None:
    assert _run(_state(1), 1, "r2") == [("r2", 1)]
    outcome = step(_state(100), [goal("hello", 100, "r1"), goal("hello", 100, "r2", "next")], T0)
    assert outcome.percents == {KEY: [("r1", 100)], ("next", "hello"): [("r2", 100)]}
    assert _run(Rollout(), 100, "r2") == [("r2", 100)]


def test_a_target_with_no_percent_is_not_in_the_state() -> None:
    assert step(_state(100), [goal("hello", 0, "r1")], T0).percents == {}


def test_the_annotation_is_knatives() -> None:
    text = _state(60, 40, params=StepParams(1, 2, 3, 4)).to_annotation()
    assert json.loads(text) == {
        "configurations": [
            {
                "configurationName": "hello",
                "percent": 100,
                "revisions": [{"revisionName": "r1", "percent": 60}, {"revisionName": "r2", "percent": 40}],
                "stepParams": {"starttime": 1, "nextStepTime": 2, "stepDuration": 3, "stepSize": 4},
            }
        ]
    }


@pytest.mark.parametrize(
    "state", [_state(101), _state(50, 40, total=100), _state(9, params=StepParams(size=10))]
)
def test_a_broken_annotation_is_discarded(state: Rollout) -> None:
    assert Rollout.from_annotation(state.to_annotation()) is None
    assert Rollout.from_annotation("{") is None


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(2, 100), st.integers(0, 40)), max_size=40))
def test_whatever_happens_the_shares_sum_to_the_target(events: list[tuple[int, int, int]]) -> None:
    state, now, newest = Rollout(), T0, 1
    for advance, percent, seconds in events:
        newest += advance == 1
        now += seconds * SECOND_NS
        outcome = step(state, [goal("hello", percent, f"r{newest}")], now)
        shares = outcome.percents[KEY]
        assert sum(share for _, share in shares) == percent
        assert all(share > 0 for _, share in shares)
        assert shares[-1][0] == f"r{newest}"
        state = observe_ready(outcome.rollout, now, 60) if advance == 2 else outcome.rollout
        assert Rollout.from_annotation(state.to_annotation()) == state
