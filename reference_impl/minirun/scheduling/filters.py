"""Filter: whether a pod fits a node, and if not, why; and the sentence about all nodes when none fits.

Counterparts in kube-scheduler: the plugins TaintToleration, NodeAffinity (the model) and NodeResourcesFit, in
this order, each with its reason; `FitError`, whose text goes to the condition PodScheduled and the events.
"""

from collections import Counter
from collections.abc import Iterable

from minirun.scheduling.cluster import DEVICE_MILLI, Node, PodRequest, Taint

WRONG_MODEL = "wrong GPU model"
NO_GPU = "insufficient nvidia.com/gpu"
NO_CPU = "insufficient cpu"
NO_MEMORY = "insufficient memory"


def filter_node(pod: PodRequest, node: Node) -> str | None:
    """The first reason why the pod does not fit the node, or None if it does.

    In this order: a taint that it does not tolerate, the GPU model, devices (k of them with m thousandths
    left; whole ones must be empty), CPU, memory. A pod without GPUs does not look at models and devices.
    """
    if node.taints and (taint := untolerated(pod, node)):
        return f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}"
    if pod.gpu_count:
        if pod.models and node.model not in pod.models:
            return WRONG_MODEL
        if pod.gpu_milli == DEVICE_MILLI:
            if node.devices.count(DEVICE_MILLI) < pod.gpu_count:
                return NO_GPU
        elif max(node.devices, default=0) < pod.gpu_milli:
            return NO_GPU
    if node.free_cpu_milli < pod.cpu_milli:
        return NO_CPU
    if node.free_memory_mib < pod.memory_mib:
        return NO_MEMORY
    return None


def untolerated(pod: PodRequest, node: Node) -> Taint | None:
    """The node's first taint that keeps the pod off."""
    for taint in node.taints:
        kept_off = taint.effect in ("NoSchedule", "NoExecute")
        if kept_off and not any(each.tolerates(taint) for each in pod.tolerations):
            return taint
    return None


def why_unschedulable(pod: PodRequest, nodes: Iterable[Node]) -> str:
    """The sentence about a pod that fits nowhere, most frequent reason first.

    `0/1213 nodes are available: 842 insufficient nvidia.com/gpu, 371 wrong GPU model`
    """
    reasons = Counter(filter_node(pod, node) for node in nodes)
    fitting, total = reasons.pop(None, 0), reasons.total()
    ordered = sorted(((-count, reason) for reason, count in reasons.items() if reason))
    causes = ", ".join(f"{-count} {reason}" for count, reason in ordered)
    return f"{fitting}/{total + fitting} nodes are available" + (f": {causes}" if causes else "")
