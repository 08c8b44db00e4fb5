"""The breaker admits, lets wait, and refuses."""

import gzip
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from minirun.concurrency.breaker import Admission, Breaker
from minirun.replay import replay_file

VECTORS = Path(__file__).parents[1] / "data" / "vectors"


@pytest.mark.parametrize(("name", "steps"), [("breaker", 3_835), ("reqstats", 1_922)])
def test_every_recorded_step_of_knative_is_answered_the_same(name: str, steps: int) -> None:
    report = replay_file(VECTORS / f"{name}.jsonl.gz")
    assert (report.steps, report.differences) == (steps, [])


def test_a_replay_ends_where_the_breaker_differs_and_says_how(tmp_path: Path) -> None:
    with gzip.open(VECTORS / "breaker.jsonl.gz", "rt") as lines:
        case = json.loads(next(lines))
    case["initialCapacity"] = 0
    (tmp_path / "breaker.json").write_text(json.dumps(case))
    report = replay_file(tmp_path / "breaker.json")
    (difference,) = report.differences
    assert report.steps == 1
    assert "step 0, given maybe: res: came 'wait', expected 'run'; running: came 0, expected 1" in difference


class _AgainstTheSpecification(RuleBasedStateMachine):
    """The breaker beside a list of who waits and a count of who runs."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(queue_depth=3, max_concurrency=2, initial_capacity=1)
        self.capacity, self.running, self.reserved, self.next = 1, 0, 0, 0
        self.waiting: list[int] = []
        self.wakes: dict[int, Callable[[], None]] = {}
        self.woken: list[int] = []

    def settle(self) -> None:
        """Whoever has waited longest must have been woken, and nobody else."""
        free = max(self.capacity - self.running - self.reserved, 0)
        expected, self.waiting = self.waiting[:free], self.waiting[free:]
        self.running += len(expected)
        assert self.woken == expected
        self.woken.clear()

    @rule()
    def enter(self) -> None:
        self.next += 1
        wake = self.wakes[self.next] = partial(self.woken.append, self.next)
        admission = self.breaker.enter(wake)
        if self.running + self.reserved + len(self.waiting) >= 5:
            assert admission is Admission.FULL
        elif self.running + self.reserved < self.capacity:
            assert admission is Admission.RUN
            self.running += 1
        else:
            assert admission is Admission.WAIT
            self.waiting.append(self.next)
        self.settle()

    @precondition(lambda self: self.running)
    @rule()
    def leave(self) -> None:
        self.running -= 1
        self.breaker.leave()
        self.settle()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(request)
        self.breaker.cancel(self.wakes[request])
        self.settle()

    @rule()
    def reserve(self) -> None:
        taken = self.running + self.reserved
        possible = taken < self.capacity and taken + len(self.waiting) < 5
        assert self.breaker.reserve() is possible
        self.reserved += possible

    @precondition(lambda self: self.reserved)
    @rule()
    def release(self) -> None:
        self.reserved -= 1
        self.breaker.release()
        self.settle()

    @rule(capacity=st.integers(0, 8))
    def resize(self, capacity: int) -> None:
        self.capacity = capacity
        self.breaker.resize(capacity)
        self.settle()

    @invariant()
    def counts_agree(self) -> None:
        breaker, waiting = self.breaker, len(self.waiting)
        assert (breaker.running, breaker.waiting, breaker.capacity) == (self.running, waiting, self.capacity)
        assert breaker.in_flight == self.running + self.reserved + waiting


TestAgainstTheSpecification = _AgainstTheSpecification.TestCase
TestAgainstTheSpecification.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_who_gave_up_is_never_woken_and_cannot_give_up_twice() -> None:
    breaker, woken = Breaker(10, 1, 1), list[str]()
    wakes = {name: partial(woken.append, name) for name in "abcd"}
    assert [breaker.enter(wakes[name]).value for name in "abcd"] == ["run", "wait", "wait", "wait"]
    breaker.cancel(wakes["b"])
    with pytest.raises(KeyError):
        breaker.cancel(wakes["b"])
    breaker.leave()
    breaker.leave()
    assert woken == ["c", "d"]


def test_a_wake_may_come_back_into_the_breaker_that_called_it() -> None:
    breaker, order = Breaker(10, 1, 1), list[int]()

    def run_and_leave(request: int) -> None:
        order.append(request)
        assert breaker.running == 1
        breaker.leave()

    for request in range(4):
        breaker.enter(partial(run_and_leave, request))
    breaker.leave()
    assert (order, breaker.in_flight) == ([1, 2, 3], 0)


def test_giving_up_costs_the_same_in_a_long_queue_as_in_a_short_one() -> None:
    def seconds(length: int) -> float:
        breaker = Breaker(length, 1, 0)
        wakes = [partial(len, str(request)) for request in range(length)]
        for wake in wakes:
            breaker.enter(wake)
        begin = time.perf_counter()
        for wake in wakes[:-1]:
            breaker.cancel(wake)
        breaker.resize(1)  # must not step over all who left
        return (time.perf_counter() - begin) / length

    short, long = min(seconds(500) for _ in range(5)), min(seconds(20_000) for _ in range(3))
    assert long < 10 * short


def test_an_endless_capacity_holds_nobody_and_none_holds_everyone() -> None:
    breaker, woken = Breaker(10_000, 2**31 - 1, 0), list[str]()
    wakes = {name: partial(woken.append, name) for name in "abc"}
    assert {breaker.enter(wake) for wake in wakes.values()} == {Admission.WAIT}
    breaker.cancel(wakes["b"])
    breaker.resize(2**31 - 1)
    assert (woken, breaker.capacity, breaker.running, breaker.waiting) == (["a", "c"], 2**31 - 1, 2, 0)
    assert breaker.enter(wakes["b"]) is Admission.RUN
    breaker.resize(0)
    breaker.leave()
    assert (breaker.capacity, breaker.running, breaker.in_flight) == (0, 2, 2)
    assert breaker.enter(wakes["b"]) is Admission.WAIT
