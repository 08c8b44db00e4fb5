"""Capacity, assignment, subset, policies, reporter and throttler: the activator's pure decisions."""

import json
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun.activation.capacity import assign_trackers, revision_capacity
from minirun.activation.policies import (
    Policy,
    RandomChoice2,
    RoundRobin,
    Tracker,
    first_available,
    policy_for,
)
from minirun.activation.reporter import FIRST_REQUEST, ActivatorStat, ConcurrencyReporter
from minirun.activation.subset import choose_subset
from minirun.activation.throttler import RevisionThrottler
from minirun.model.clock import SECOND_NS
from minirun.replay import replay_file

VECTORS = Path(__file__).parents[1] / "data" / "vectors" / "throttler.jsonl.gz"


def _trackers(count: int, concurrency: int) -> list[Tracker]:
    return [Tracker(f"pod-{number}", concurrency) for number in range(count)]


def test_every_recorded_answer_of_knatives_activator_is_the_same() -> None:
    report = replay_file(VECTORS)
    assert (report.steps, report.differences) == (2_467, [])


def test_a_replay_says_what_differs(tmp_path: Path) -> None:
    case = {"kind": "capacity", "cc": 1, "backends": 1, "trackers": 0, "activators": 1, "want": 7}
    (tmp_path / "case.json").write_text(json.dumps(case))
    assert replay_file(tmp_path / "case.json").differences == [
        "capacity step 0, given {'cc': 1, 'backends': 1, 'trackers': 0, 'activators': 1}:"
        " want: came 1, expected 7"
    ]


@given(st.integers(0, 40), st.integers(1, 12))
def test_activators_share_all_trackers_and_own_each_alone_if_there_are_enough(
    trackers: int, activators: int
) -> None:
    parts = [assign_trackers(range(trackers), index, activators) for index in range(activators)]
    owned = Counter(tracker for part in parts for tracker in part)
    assert set(owned) == set(range(trackers))
    if 1 < activators <= trackers:
        assert set(owned.values()) == {1}
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 20))
def test_the_shares_of_a_service_address_never_sum_to_less_than_one_each(
    backends: int, activators: int, concurrency: int
) -> None:
    share = revision_capacity(concurrency, 0, backends, activators)
    assert share == max(1, concurrency * backends // activators)
    assert revision_capacity(0, 0, backends, activators) == 2**31 - 1
    assert revision_capacity(concurrency, 0, 0, activators) == 0


def test_another_activator_changes_few_choices_of_a_subset() -> None:
    before = [f"10.0.0.{number}" for number in range(20)]
    moved = [
        len(
            set(choose_subset([*before, "10.0.1.1"], 3, f"rev-{n}"))
            - set(choose_subset(before, 3, f"rev-{n}"))
        )
        for n in range(100)
    ]
    assert sum(moved) < 60  # of 300; a fresh random draw would move about 255


def test_first_available_fills_one_instance_after_the_other() -> None:
    trackers = _trackers(3, 2)
    picked = [first_available(trackers) for _ in range(7)]
    assert [tracker and tracker.name for tracker in picked] == ["pod-0"] * 2 + ["pod-1"] * 2 + [
        "pod-2",
        "pod-2",
        None,
    ]


def test_round_robin_goes_on_after_the_last_one_and_skips_the_full() -> None:
    trackers, policy = _trackers(3, 2), RoundRobin()
    assert trackers[1].reserve()
    assert trackers[1].reserve()
    picked = [policy(trackers) for _ in range(5)]
    assert [tracker and tracker.name for tracker in picked] == ["pod-0", "pod-2", "pod-0", "pod-2", None]
    trackers[0].release()
    assert policy(trackers[:1]) is trackers[0]


def test_random_choice_of_two_takes_the_less_loaded_and_draws_all_pairs_evenly() -> None:
    trackers, policy = _trackers(4, 0), RandomChoice2(Random(7))
    for _ in range(2_000):
        assert policy(trackers) is not None
    loads = [tracker.in_flight for tracker in trackers]
    assert max(loads) - min(loads) <= 4  # one random choice alone would spread by about 60
    one, busy = _trackers(2, 0)
    busy.in_flight = 5
    assert [policy([busy, one]) for _ in range(5)] == [one] * 5
    assert policy([]) is None


def test_random_choice_of_two_breaks_ties_with_a_fair_coin() -> None:
    policy, picked = RandomChoice2(Random(3)), Counter[str]()
    for _ in range(600):
        tracker = policy(_trackers(3, 0))
        assert tracker is not None
        picked[tracker.name] += 1
    assert all(150 < count < 250 for count in picked.values())


@pytest.mark.parametrize(
    ("concurrency", "kind"),
    [(0, RandomChoice2), (1, None), (3, None), (4, RoundRobin), (1000, RoundRobin)],
)
def test_container_concurrency_decides_the_policy(concurrency: int, kind: type | None) -> None:
    policy: Policy[Tracker] = policy_for(concurrency, Random(1))
    assert policy is first_available if kind is None else type(policy) is kind


def test_the_first_request_of_a_silent_revision_is_sent_at_once_and_taken_off_the_next_report() -> None:
    reporter = ConcurrencyReporter()
    assert reporter.report(0) is None
    assert reporter.on_arrival(0) == FIRST_REQUEST == ActivatorStat(1.0, 1.0)
    assert reporter.on_arrival(SECOND_NS // 2) is None
    assert reporter.report(SECOND_NS) == ActivatorStat(0.5, 1.0)
    reporter.on_done(SECOND_NS)
    assert reporter.report(2 * SECOND_NS) == ActivatorStat(1.0, 0.0)
    reporter.on_done(2 * SECOND_NS)
    assert reporter.report(3 * SECOND_NS) == ActivatorStat(0.0, 0.0)
    assert reporter.report(4 * SECOND_NS) is None
    assert reporter.on_arrival(4 * SECOND_NS) == FIRST_REQUEST


def test_a_short_first_request_reports_no_negative_concurrency() -> None:
    reporter = ConcurrencyReporter()
    reporter.on_arrival(0)
    reporter.on_done(SECOND_NS // 10)
    assert reporter.report(SECOND_NS) == ActivatorStat(0.0, 0.0)
    assert reporter.report(2 * SECOND_NS) == ActivatorStat(0.0, 0.0)
    assert reporter.report(3 * SECOND_NS) is None


def _throttler(concurrency: int) -> RevisionThrottler[Tracker]:
    return RevisionThrottler(concurrency, policy_for(concurrency, Random(1)))


@pytest.mark.parametrize("concurrency", [0, 1, 4])
def test_requests_wait_at_zero_in_any_number_and_start_oldest_first(concurrency: int) -> None:
    throttler, started = _throttler(concurrency), list[int]()
    wakes = [lambda tracker, request=request: started.append(request) for request in range(12_000)]
    assert all(throttler.enter(wake) is None for wake in wakes)
    assert throttler.try_enter() is None
    throttler.cancel(wakes[0])
    throttler.set_trackers(_trackers(2, concurrency))
    assert started == list(range(1, 2 * concurrency + 1 if concurrency else 12_000))
    assert throttler.waiting == 11_999 - len(started)


def test_a_request_that_finds_the_instances_busy_with_others_work_is_next_when_a_slot_is_free() -> None:
    throttler, (tracker,), started = _throttler(1), _trackers(1, 1), list[str]()
    throttler.set_trackers([tracker])
    assert tracker.reserve()  # a request that did not come through the activator
    assert throttler.try_enter() is None
    first, second = (lambda got, name=name: started.append(name) for name in ("first", "second"))
    assert throttler.enter(first) is None
    assert throttler.enter(second) is None
    assert throttler.waiting == 2
    tracker.release()
    throttler.retry()
    assert started == ["first"]
    throttler.leave(tracker)
    assert started == ["first", "second"]


def test_giving_up_between_the_doors_lets_the_next_one_in() -> None:
    throttler, (tracker,), started = _throttler(1), _trackers(1, 1), list[str]()
    throttler.set_trackers([tracker])
    assert tracker.reserve()
    first, second = (lambda got, name=name: started.append(name) for name in ("first", "second"))
    throttler.enter(first)
    throttler.enter(second)
    throttler.cancel(first)
    tracker.release()
    throttler.retry()
    assert (started, throttler.waiting) == (["second"], 0)


def test_excluded_instances_are_avoided_unless_there_is_no_other() -> None:
    throttler, trackers = _throttler(1), _trackers(2, 1)
    throttler.set_trackers(trackers)
    assert throttler.enter(lambda tracker: None, frozenset({"pod-0"})) is trackers[1]
    throttler.set_trackers(trackers[:1])
    throttler.leave(trackers[1])
    assert throttler.enter(lambda tracker: None, frozenset({"pod-0"})) is trackers[0]
