"""What holds for every policy, whatever comes: bounds, traces left, and that kept scores are true."""

import random
from collections.abc import Sequence
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirun.scheduling.cache import LOG_ROUNDS, ScoreTable, score_node
from minirun.scheduling.catalog import POLICIES
from minirun.scheduling.cluster import Node, PodRequest
from minirun.scheduling.filters import filter_node
from minirun.scheduling.policy import Workload
from minirun.scheduling.scheduler import Placement, Scheduler

MODELS = ("T4", "L4")
SHARES = st.tuples(st.just(1), st.sampled_from([100, 250, 500, 900]))
WHOLE = st.tuples(st.sampled_from([1, 2, 4]), st.just(1000))
PODS = st.builds(
    lambda cpu, memory, gpus, models: PodRequest(cpu, memory, *gpus, models),
    st.sampled_from([0, 1000, 4000, 8000]),
    st.sampled_from([0, 4096]),
    st.one_of(st.just((0, 0)), SHARES, WHOLE),
    st.sampled_from([(), ("T4",), ("L4", "T4")]),
)
NODES = st.lists(
    st.tuples(st.sampled_from([8000, 32000]), st.sampled_from([0, 1, 4]), st.sampled_from(MODELS)),
    min_size=1,
    max_size=5,
)
STEPS = st.lists(st.one_of(PODS, st.integers(0, 9)), max_size=60)  # a pod comes, or one of them goes


def scheduler(shapes: Sequence[tuple[int, int, str]], policy: str, pods: Sequence[PodRequest]) -> Scheduler:
    nodes = [Node(f"n{place}", cpu, 16384, *rest) for place, (cpu, *rest) in enumerate(shapes)]
    return Scheduler(nodes, POLICIES[policy](Workload(pods, nodes, random.Random(1))))


def state(nodes: Sequence[Node]) -> list[Node]:
    return deepcopy(list(nodes))


def check(node: Node, placed: Sequence[Placement]) -> None:
    """The node's devices hold what the placements say, and whole devices are shared by none."""
    mine = [each for each in placed if each.node == node.name]
    for device, free in enumerate(node.devices):
        users = [each.pod.gpu_milli for each in mine if device in each.devices]
        assert sum(users) == 1000 - free <= 1000
        assert 1000 not in users or len(users) == 1
    assert node.free_cpu_milli == node.cpu_milli - sum(each.pod.cpu_milli for each in mine) >= 0
    assert node.free_memory_mib == node.memory_mib - sum(each.pod.memory_mib for each in mine) >= 0


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=30, deadline=None)
@given(shapes=NODES, steps=STEPS)
def test_no_bound_is_passed_and_nobody_is_refused_in_vain(
    policy: str, shapes: list[tuple[int, int, str]], steps: list[PodRequest | int]
) -> None:
    cluster = scheduler(shapes, policy, [step for step in steps if isinstance(step, PodRequest)])
    fresh, placed = state(cluster.nodes), list[Placement]()
    for step in steps:
        if isinstance(step, PodRequest):
            fits = any(filter_node(step, node) is None for node in cluster.nodes)
            placement = cluster.schedule(step)
            assert (placement is not None) == fits
            assert fits or cluster.why_not(step).startswith(f"0/{len(shapes)} nodes are available: ")
            placed += [placement] if placement else []
        elif placed:
            cluster.unreserve(placed.pop(step % len(placed)))
        for node in cluster.nodes:
            check(node, placed)
    for placement in placed:
        cluster.unreserve(placement)
    assert state(cluster.nodes) == fresh


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=30, deadline=None)
@given(shapes=NODES, steps=STEPS)
def test_kept_scores_are_those_of_scoring_all_nodes_anew(
    policy: str, shapes: list[tuple[int, int, str]], steps: list[PodRequest | int]
) -> None:
    pods = [step for step in steps if isinstance(step, PodRequest)]
    cluster = scheduler(shapes, policy, pods)
    rules, placed = cluster.policy, list[Placement]()
    table = ScoreTable(cluster.nodes, rules)
    for step in steps:
        if isinstance(step, PodRequest):
            row = table.row(step)
            assert row == [score_node(rules, step, node) for node in cluster.nodes]
            if placement := cluster.schedule(step):
                table.changed(int(placement.node[1:]))
                placed.append(placement)
        elif placed:
            gone = placed.pop(step % len(placed))
            cluster.unreserve(gone)
            table.changed(int(gone.node[1:]))


def test_a_row_that_fell_behind_the_log_is_made_anew() -> None:
    cluster = scheduler([(32000, 4, "T4")], "best-fit", [])
    seldom, often = PodRequest(1000, 0, 1, 500), PodRequest(1000, 0)
    table = ScoreTable(cluster.nodes, cluster.policy)
    before = list(table.row(seldom))
    for _ in range(3 * LOG_ROUNDS):
        table.row(often)
        table.changed(0)
    cluster.schedule(seldom)
    table.changed(0)
    assert table.row(seldom) == [score_node(cluster.policy, seldom, cluster.nodes[0])] != before


def test_of_equal_nodes_the_first_is_taken_and_of_equal_devices_too() -> None:
    cluster = scheduler([(8000, 4, "T4"), (8000, 4, "T4")], "fgd", [])
    placement = cluster.schedule(PodRequest(0, 0, 2, 1000))
    assert placement == Placement(PodRequest(0, 0, 2, 1000), "n0", (0, 1))


def test_what_is_not_free_can_not_be_reserved_nor_given_back_twice() -> None:
    cluster = scheduler([(8000, 4, "T4")], "fgd", [])
    share = PodRequest(0, 0, 1, 500)
    placement = cluster.reserve(share, "n0", (1,))
    before = state(cluster.nodes)
    for pod, devices in ((PodRequest(0, 0, 1, 1000), (1,)), (PodRequest(0, 0, 1, 600), (1,)), (share, ())):
        with pytest.raises(ValueError, match="n0"):
            cluster.reserve(pod, "n0", devices)
    assert state(cluster.nodes) == before
    cluster.unreserve(placement)
    with pytest.raises(ValueError, match="n0"):
        cluster.unreserve(placement)


def test_nodes_come_and_go() -> None:
    cluster = scheduler([(8000, 1, "T4")], "fgd+", [])
    whole = PodRequest(0, 0, 1, 1000)
    first = cluster.schedule(whole)
    assert first is not None
    assert cluster.schedule(whole) is None
    cluster.add_node(Node("n1", 8000, 16384, 1))
    with pytest.raises(ValueError, match="more than one node 'n1'"):
        cluster.add_node(Node("n1", 8000, 16384, 1))
    second = cluster.schedule(whole)
    assert second == Placement(whole, "n1", (0,))
    cluster.remove_node("n0")
    cluster.unreserve(first)
    assert cluster.schedule(whole) is None, "the first went with its node"
    cluster.unreserve(second)
    assert cluster.schedule(whole) == second


def test_a_cluster_without_nodes_refuses_all() -> None:
    cluster = Scheduler([], POLICIES["fgd+"](Workload()))
    assert cluster.schedule(PodRequest(0, 0)) is None
