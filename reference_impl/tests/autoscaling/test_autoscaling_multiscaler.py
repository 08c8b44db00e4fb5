"""The life of deciders: made, fed, run every two seconds, woken, ended."""

from dataclasses import replace

import pytest

from minirun.autoscaling.collector import Stat
from minirun.autoscaling.multiscaler import DeciderStatus, MultiScaler
from minirun.autoscaling.spec import DeciderSpec, MetricSpec
from minirun.model.clock import SECOND_NS as S

T0 = 1_700_000_000 * S
SPEC, METRIC = DeciderSpec(target_value=10.0, total_value=10.0, target_burst_capacity=0.0), MetricSpec()


class Cluster:
    """Ready pods that a test sets, and the keys that were announced as changed."""

    def __init__(self) -> None:
        self.ready: dict[str, int | None] = {}
        self.changed: list[str] = []
        self.scaler = MultiScaler(lambda key: self.ready.get(key, 0), self.changed.append)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.mark.parametrize(
    ("capacity", "initial", "excess"),
    [(0.0, 3, 0), (-1.0, 3, -1), (211.0, 1, -201), (10.5, 1, 0), (5.0, 3, 25)],
)
def test_before_the_first_decision_the_scale_is_unknown_and_the_excess_a_guess(
    cluster: Cluster, capacity: float, initial: int, excess: int
) -> None:
    spec = replace(SPEC, target_burst_capacity=capacity, initial_scale=initial)
    assert cluster.scaler.apply("ns/a", spec, METRIC, T0) == DeciderStatus(-1, excess)


def test_each_decider_beats_every_two_seconds_from_its_own_start(cluster: Cluster) -> None:
    scaler = cluster.scaler
    scaler.apply("ns/a", SPEC, METRIC, T0)
    scaler.apply("ns/b", SPEC, METRIC, T0 + S)
    for second in range(5):
        scaler.record("ns/a", T0 + second * S, Stat(15.0))
        scaler.record("ns/b", T0 + second * S, Stat(15.0))
    assert scaler.next_due_ns == T0 + 2 * S
    scaler.tick(T0 + 2 * S - 1)
    assert cluster.changed == []
    scaler.tick(T0 + 2 * S)
    assert cluster.changed == ["ns/a"]
    assert scaler.next_due_ns == T0 + 3 * S
    scaler.tick(T0 + 3 * S)
    assert cluster.changed == ["ns/a", "ns/b"]
    assert scaler.next_due_ns == T0 + 4 * S


def test_a_late_tick_decides_once_and_keeps_the_phase(cluster: Cluster) -> None:
    cluster.scaler.apply("ns/a", SPEC, METRIC, T0)
    cluster.scaler.tick(T0 + 7 * S)
    assert cluster.scaler.next_due_ns == T0 + 8 * S


def test_only_a_decision_that_matters_is_announced(cluster: Cluster) -> None:
    scaler = cluster.scaler
    cluster.ready["ns/a"] = 1
    scaler.apply("ns/a", replace(SPEC, target_burst_capacity=5.0), METRIC, T0)
    seen = []
    for tick, (load, announced) in enumerate([(4.0, 1), (4.0, 1), (5.0, 1), (6.0, 2), (5.0, 3)], 1):
        now = T0 + tick * 120 * S
        scaler.record("ns/a", now, Stat(load))
        scaler.tick(now)
        seen.append((scaler.status("ns/a"), announced == len(cluster.changed)))
    excesses = [1, 1, 0, -1, 0]  # a change of sign matters; 0 is not negative
    assert seen == [(DeciderStatus(1, excess), True) for excess in excesses]


@pytest.mark.parametrize("silent", ["pods", "metrics"])
def test_an_invalid_decision_leaves_the_last_one(cluster: Cluster, silent: str) -> None:
    scaler = cluster.scaler
    cluster.ready["ns/a"] = 1
    scaler.apply("ns/a", SPEC, METRIC, T0)
    scaler.record("ns/a", T0, Stat(15.0))
    scaler.tick(T0 + 2 * S)
    before = scaler.status("ns/a")
    assert before == DeciderStatus(2, 0)
    now = T0 + 4 * S
    if silent == "pods":
        cluster.ready["ns/a"] = None
        scaler.record("ns/a", now, Stat(99.0))
    else:
        now = T0 + 300 * S
    scaler.tick(now)
    assert scaler.status("ns/a") == before


def test_an_activator_wakes_a_revision_that_was_decided_to_be_at_zero(cluster: Cluster) -> None:
    scaler = cluster.scaler
    scaler.apply("ns/a", SPEC, METRIC, T0)
    scaler.record_activator("ns/a", T0 + S, Stat(1.0))
    assert scaler.status("ns/a") == DeciderStatus(-1, 0)  # not before the first decision
    scaler.tick(T0 + 120 * S)
    scaler.record_activator("ns/a", T0 + 121 * S, Stat(0.0))
    scaler.tick(T0 + 122 * S)
    assert scaler.status("ns/a") == DeciderStatus(0, 0)
    scaler.record_activator("ns/a", T0 + 123 * S, Stat(0.0))
    assert scaler.status("ns/a") == DeciderStatus(0, 0)
    scaler.record("ns/a", T0 + 123 * S, Stat(1.0))  # pods do not wake
    assert scaler.status("ns/a") == DeciderStatus(0, 0)
    scaler.record_activator("ns/a", T0 + 123 * S, Stat(1.0))
    assert scaler.status("ns/a") == DeciderStatus(1, 0)
    assert scaler.next_due_ns == T0 + 124 * S


def test_new_specs_count_from_the_next_decision_and_keep_the_status(cluster: Cluster) -> None:
    scaler = cluster.scaler
    cluster.ready["ns/a"] = 1
    scaler.apply("ns/a", SPEC, METRIC, T0)
    scaler.record("ns/a", T0 + S, Stat(15.0))
    scaler.tick(T0 + 2 * S)
    assert scaler.apply("ns/a", replace(SPEC, target_value=5.0), METRIC, T0 + 3 * S) == DeciderStatus(2, 0)
    scaler.tick(T0 + 4 * S)
    assert scaler.status("ns/a") == DeciderStatus(3, 0)


def test_another_metric_starts_with_empty_windows(cluster: Cluster) -> None:
    scaler = cluster.scaler
    scaler.apply("ns/a", SPEC, METRIC, T0)
    scaler.record("ns/a", T0, Stat(15.0, 0.0, 95.0))
    scaler.apply("ns/a", replace(SPEC, scaling_metric="rps"), replace(METRIC, scaling_metric="rps"), T0)
    scaler.tick(T0 + 2 * S)
    assert scaler.status("ns/a") == DeciderStatus(-1, 0)
    scaler.record("ns/a", T0 + 3 * S, Stat(15.0, 0.0, 95.0))
    scaler.tick(T0 + 4 * S)
    assert scaler.status("ns/a") == DeciderStatus(10, 0)


def test_a_deleted_decider_is_gone_and_what_is_reported_of_it_is_dropped(cluster: Cluster) -> None:
    scaler = cluster.scaler
    scaler.apply("ns/a", SPEC, METRIC, T0)
    scaler.apply("ns/b", SPEC, METRIC, T0 + S)
    scaler.delete("ns/a")
    scaler.delete("ns/a")
    scaler.record("ns/a", T0, Stat(1.0))
    scaler.record_activator("ns/a", T0, Stat(1.0))
    scaler.tick(T0 + 2 * S)
    assert (scaler.status("ns/a"), len(scaler), scaler.next_due_ns) == (None, 1, T0 + 3 * S)
    scaler.delete("ns/b")
    scaler.tick(T0 + 3 * S)
    assert (cluster.changed, scaler.next_due_ns) == ([], None)


def test_a_decider_may_be_deleted_and_made_anew_while_it_is_announced() -> None:
    def restart(key: str) -> None:
        scaler.delete(key)
        scaler.apply(key, SPEC, METRIC, T0 + 2 * S)

    def one(key: str) -> int:
        asked.append(key)
        return 1

    asked: list[str] = []
    scaler = MultiScaler(one, restart)
    scaler.apply("ns/a", SPEC, METRIC, T0)
    scaler.record("ns/a", T0, Stat(15.0))
    scaler.tick(T0 + 2 * S)
    assert (scaler.status("ns/a"), scaler.next_due_ns, len(scaler)) == (DeciderStatus(-1, 0), T0 + 4 * S, 1)
    asked.clear()
    scaler.tick(T0 + 4 * S)
    assert asked == ["ns/a"]  # the old one does not go on beside the new one


def test_many_deciders_are_run_in_the_order_in_which_they_are_due(cluster: Cluster) -> None:
    for number in range(100):
        key = f"ns/{number:02}"
        cluster.scaler.apply(key, SPEC, METRIC, T0 + (number * 37 % 100) * 1_000_000)
        cluster.scaler.record(key, T0, Stat(15.0))
    cluster.scaler.tick(T0 + 3 * S)
    assert cluster.changed == sorted(cluster.changed, key=lambda key: int(key[3:]) * 37 % 100)
    assert len(cluster.changed) == 100
