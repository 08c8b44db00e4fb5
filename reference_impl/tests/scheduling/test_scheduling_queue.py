"""Who is tried next, and when those are tried again that no node had room for."""

from hypothesis import given
from hypothesis import strategies as st

from minirun.model.clock import SECOND_NS
from minirun.scheduling.queue import SchedulingQueue


def test_pods_are_tried_by_priority_and_then_in_the_order_in_which_they_came() -> None:
    queue = SchedulingQueue[str]()
    for key, priority in (("a", 0), ("b", 0), ("urgent", 5), ("a", 9)):
        queue.add(key, priority)
    assert [queue.pop(0) for _ in range(4)] == ["urgent", "a", "b", None]
    assert len(queue) == 3


def test_a_pod_without_room_is_tried_again_after_a_change_and_its_backoff() -> None:
    queue = SchedulingQueue[str]()
    queue.add("a")
    now_ns, waits = 0, []
    for _ in range(6):
        assert queue.pop(now_ns) == "a"
        queue.park("a", now_ns)
        assert queue.next_ns() is None
        assert queue.pop(now_ns + 100 * SECOND_NS) is None, "nothing changed"
        queue.changed()
        again_ns = queue.next_ns()
        assert again_ns is not None
        assert queue.pop(again_ns - 1) is None
        waits.append((again_ns - now_ns) // SECOND_NS)
        now_ns = again_ns
    assert waits == [1, 2, 4, 8, 10, 10]


def test_a_pod_without_room_keeps_none_from_being_tried() -> None:
    queue = SchedulingQueue[str]()
    queue.add("large", priority=1)
    queue.add("small")
    assert queue.pop(0) == "large"
    queue.park("large", 0)
    queue.changed()
    assert queue.next_ns() == 0
    assert queue.pop(0) == "small"
    queue.remove("small")
    assert queue.pop(SECOND_NS) == "large"


def test_a_pod_that_is_gone_is_not_tried_and_may_come_back() -> None:
    queue = SchedulingQueue[str]()
    queue.add("a")
    assert queue.pop(0) == "a"
    queue.remove("a")
    queue.park("a", 0)
    queue.changed()
    assert queue.next_ns() is None
    queue.add("b")
    queue.remove("b")
    queue.add("b")
    assert [queue.pop(0), queue.pop(0)] == ["b", None]


@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "park", "changed"]), st.integers(0, 3))))
def test_no_pod_is_lost_or_tried_twice(steps: list[tuple[str, int]]) -> None:
    queue, waiting, now_ns = SchedulingQueue[int](), set[int](), 0
    for step, key in steps:
        now_ns += SECOND_NS
        if step == "add":
            queue.add(key)
            waiting.add(key)
        elif step == "remove":
            queue.remove(key)
            waiting.discard(key)
        elif step == "changed":
            queue.changed()
        elif (tried := queue.pop(now_ns)) is not None:
            queue.park(tried, now_ns)
    queue.changed()
    found = [queue.pop(now_ns + 100 * SECOND_NS) for _ in range(len(waiting) + 1)]
    assert sorted(key for key in found if key is not None) == sorted(waiting)
