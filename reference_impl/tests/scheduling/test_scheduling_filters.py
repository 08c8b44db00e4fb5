"""Which pods fit which nodes, and what is said of those that fit nowhere."""

import pytest

from minirun.scheduling.cluster import Node, PodRequest, Taint, Toleration, check_request
from minirun.scheduling.filters import filter_node, why_unschedulable

SPOT = Taint("cloud.google.com/gke-spot", "true")


def node(*devices: int, model: str = "T4", taints: tuple[Taint, ...] = ()) -> Node:
    """4 CPUs, 16 GiB, and devices of which this many thousandths are free."""
    made = Node("n", 4000, 16384, len(devices), model, taints)
    made.devices = devices
    return made


@pytest.mark.parametrize(
    ("pod", "on", "reason"),
    [
        (PodRequest(4000, 16384), node(), None),
        (PodRequest(4001, 0), node(), "insufficient cpu"),
        (PodRequest(0, 16385), node(), "insufficient memory"),
        (PodRequest(0, 0, 1, 500), node(), "insufficient nvidia.com/gpu"),
        (PodRequest(0, 0, 1, 500), node(499, 499), "insufficient nvidia.com/gpu"),
        (PodRequest(0, 0, 1, 500), node(0, 500), None),
        (PodRequest(0, 0, 1, 1000), node(999, 999), "insufficient nvidia.com/gpu"),
        (PodRequest(0, 0, 2, 1000), node(1000, 999), "insufficient nvidia.com/gpu"),
        (PodRequest(0, 0, 2, 1000), node(1000, 0, 1000), None),
        (PodRequest(0, 0, 1, 1000, ("L4",)), node(1000), "wrong GPU model"),
        (PodRequest(0, 0, 1, 1000, ("L4", "T4")), node(1000), None),
        (PodRequest(0, 0, models=("L4",)), node(1000), None),
        (PodRequest(9999, 0, 8, 1000, ("L4",)), node(1000), "wrong GPU model"),
        (
            PodRequest(0, 0),
            node(taints=(SPOT,)),
            "node(s) had untolerated taint {cloud.google.com/gke-spot: true}",
        ),
        (PodRequest(0, 0), node(taints=(SPOT._replace(effect="PreferNoSchedule"),)), None),
    ],
)
def test_a_pod_fits_or_the_first_reason_is_told(pod: PodRequest, on: Node, reason: str | None) -> None:
    assert filter_node(pod, on) == reason


@pytest.mark.parametrize(
    ("toleration", "tolerates"),
    [
        (Toleration("cloud.google.com/gke-spot", value="true"), True),
        (Toleration("cloud.google.com/gke-spot", value="false"), False),
        (Toleration("cloud.google.com/gke-spot", "Exists"), True),
        (Toleration("", "Exists"), True),
        (Toleration("", "Equal", "true"), False),
        (Toleration("", "Exists", effect="NoExecute"), False),
        (Toleration("other", "Exists"), False),
    ],
)
def test_tolerations_match_as_in_kubernetes(toleration: Toleration, tolerates: bool) -> None:
    fits = filter_node(PodRequest(0, 0, tolerations=(toleration,)), node(taints=(SPOT,))) is None
    assert fits == tolerates


def test_reasons_are_counted_the_most_frequent_first() -> None:
    nodes = [node(0, model="L4")] * 842 + [node(1000)] * 371
    assert why_unschedulable(PodRequest(0, 0, 1, 1000, ("L4",)), nodes) == (
        "0/1213 nodes are available: 842 insufficient nvidia.com/gpu, 371 wrong GPU model"
    )
    assert why_unschedulable(PodRequest(0, 0), []) == "0/0 nodes are available"


@pytest.mark.parametrize("asked", [(-1, 0, 0, 0), (0, 0, 2, 500), (0, 0, 1, 0), (0, 0, 1, 1001)])
def test_a_request_without_a_meaning_is_refused(asked: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"a pod asks for .*ask for"):
        check_request(PodRequest(*asked))
