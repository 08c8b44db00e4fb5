"""The policies' formulas on nodes small enough to work them out by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirun.scheduling import exhibits
from minirun.scheduling.cluster import Node, PodRequest
from minirun.scheduling.fgd import (
    Cause,
    Fgd,
    TargetClass,
    fgd_score,
    fragment,
    fragmentation,
    target_classes,
)
from minirun.scheduling.fgdplus import FgdPlus, cpu_per_gpu, scarcity
from minirun.scheduling.policy import Policy, Workload, tightest_devices

SHARE = PodRequest(4000, 0, 1, 500)
PAIR = PodRequest(16000, 0, 2, 1000)
CPU_ONLY = PodRequest(8000, 0)


def node(*devices: int, cpu: int = 64000, model: str = "T4") -> Node:
    made = Node("n", 128000, 1000, len(devices), model)
    made.devices, made.free_cpu_milli = devices, cpu
    return made


@pytest.mark.parametrize(
    ("policy", "pod", "on", "score"),
    [
        (exhibits.BestFit, SHARE, node(1000, 1000), 67),  # 1 - (60/128 + 1.5/8) / 2
        (exhibits.DotProduct, PAIR, node(1000, 1000), 93),  # 1 - (1/2 · 1/8 + 1/4 · 1/4) / 2
        (exhibits.Packing, PAIR, node(1000, 1000), 31),
        (exhibits.Packing, PAIR, node(1000, 1000, 500), 48),
        (exhibits.Packing, SHARE, node(1000, 500), 95),
        (exhibits.Packing, CPU_ONLY, node(1000), 0),
        (exhibits.Clustering, SHARE, node(1000, 1000), 25 + 18),
        (exhibits.Clustering, CPU_ONLY, node(1000), 0),
        (exhibits.LeastAllocated, CPU_ONLY, node(), (43 + 100) // 2 + 71),
        (exhibits.MostAllocated, PAIR, node(1000, 1000, 0, 0), (62 + 0 + 5 * 100) // 7),
    ],
)
def test_a_score_is_its_formula(policy: type[Policy], pod: PodRequest, on: Node, score: int) -> None:
    assert policy(Workload()).score(pod, on) == score


def test_clustering_prefers_nodes_of_one_kind() -> None:
    def score(*there: PodRequest) -> float:
        on = node(*[1000] * 8)
        on.pods.update(there)
        return exhibits.Clustering(Workload()).score(PAIR, on)

    assert score(PAIR) == score(PAIR, CPU_ONLY) == 75
    assert score(PAIR, SHARE) == 50
    assert score() == score(CPU_ONLY) == 25
    assert score(SHARE) == 0


def test_a_share_goes_on_the_tightest_device_and_whole_ones_are_the_first_empty() -> None:
    assert tightest_devices(SHARE, (1000, 499, 600, 600)) == (2,)
    assert tightest_devices(PAIR, (999, 1000, 1000, 1000)) == (1, 2)
    assert tightest_devices(CPU_ONLY, (1000,)) == ()


def test_the_target_classes_are_the_most_frequent_that_make_95_percent() -> None:
    pods = [SHARE] * 60 + [PAIR] * 30 + [CPU_ONLY] * 5 + [CPU_ONLY._replace(cpu_milli=9000)] * 5
    found = target_classes([*pods, SHARE._replace(memory_mib=7)])
    assert [(target.cpu_milli, round(target.popularity * 96)) for target in found] == [
        (4000, 61),
        (16000, 30),
        (9000, 5),
    ]


@pytest.mark.parametrize(
    ("target", "cause", "lost"),
    [
        (TargetClass(1000, 0, 0, ()), Cause.ASKS_NO_GPU, 2100),
        (TargetClass(8001, 1, 500, ()), Cause.CPU, 2100),
        (TargetClass(1000, 1, 500, ("L4",)), Cause.MODEL, 2100),
        (TargetClass(1000, 2, 1000, ()), Cause.GPU, 2100),
        (TargetClass(1000, 1, 1000, ()), Cause.LEFTOVER, 1100),
        (TargetClass(1000, 1, 500, ()), Cause.LEFTOVER, 400),
        (TargetClass(1000, 1, 400, ()), Cause.LEFTOVER, 0),
    ],
)
def test_a_fragment_is_what_a_class_can_not_use(target: TargetClass, cause: Cause, lost: int) -> None:
    assert fragment(target, 8000, (1000, 700, 400), "T4") == (cause, lost)


def test_a_fgd_score_is_cut_to_whole_hundredths() -> None:
    assert [fgd_score(1000, 1000 + change) for change in (0, 10, -1000, 1000)] == [50, 49, 73, 26]


TARGETS = [SHARE, PAIR, CPU_ONLY, PodRequest(1000, 0, 1, 1000, ("L4",)), PodRequest(2000, 0, 1, 250)]


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(TARGETS),
    st.lists(st.sampled_from([0, 100, 250, 500, 750, 1000]), max_size=5),
    st.integers(0, 20000),
    st.sampled_from(["L4", "T4"]),
)
def test_what_is_remembered_of_nodes_that_are_alike_is_true_of_each(
    pod: PodRequest, free: list[int], cpu: int, model: str
) -> None:
    policy = Fgd(Workload(TARGETS))
    step, ascending = policy._step(cpu), tuple(sorted(free))
    expected = fragmentation(policy.targets, cpu, free, model)
    assert policy._fragmentation(step, ascending, model) == pytest.approx(expected)


def test_fgd_puts_a_share_where_a_share_is_and_leaves_empty_devices() -> None:
    policy = Fgd(Workload([SHARE, PodRequest(0, 0, 1, 1000)]))
    assert policy.devices(SHARE, node(1000, 500, 600)) == (1,)
    assert policy.score(SHARE, node(1000, 500)) > policy.score(SHARE, node(1000, 1000))


def test_the_prices_of_the_default_policy() -> None:
    named = PodRequest(10000, 0, 1, 1000, ("L4",))
    workload = Workload([named, SHARE], [node(1000, model="L4"), node(1000, 1000, 1000)])
    assert cpu_per_gpu(workload) == 14000 / 1.5
    assert scarcity(workload) == {"L4": pytest.approx(1 / 1.5 * 4 / 1)}
    policy = FgdPlus(workload)
    assert policy.score(SHARE, node(1000, model="L4")) < policy.score(SHARE, node(1000))
    assert policy.score(CPU_ONLY, node(1000, model="L4")) == policy.score(CPU_ONLY, node(1000))
