"""The default policy: fragmentation gradient descent that also looks at what else a placement uses up.

The score is how much GPU the placement keeps useful, in GPUs and not rounded to hundredths, less three
prices: of CPU left free (fuller nodes first, gently), of CPU-rich GPUs that the placement strands or frees (a
node whose CPU outlasts its GPUs is worth keeping for pods that need much CPU), and of a model that pods ask
for by name, in proportion to how scarce it is.
"""

from collections import Counter

from minirun.scheduling.cluster import DEVICE_MILLI, PodRequest
from minirun.scheduling.exhibits import MAX_CPU_MILLI
from minirun.scheduling.fgd import Fgd, NodeState
from minirun.scheduling.policy import Workload

FREE_CPU = 0.03  # GPUs that it costs to use a wholly free node of 128 CPUs
STRANDED = 0.08  # a GPU's worth of CPU that is left without its GPU
SCARCITY = 0.6  # a model that is asked for by name by as much as there is of it


class FgdPlus(Fgd):
    """FGD, less the price of free CPU, of stranded CPU and of scarce models."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self.cpu_per_gpu = cpu_per_gpu(workload)
        self.scarcity = scarcity(workload)

    def value(self, pod: PodRequest, state: NodeState, before: float, after: float) -> float:
        cpu_milli, left = state.cpu_milli - pod.cpu_milli, sum(state.devices)
        stranded = self._stranded(cpu_milli, left - pod.total_gpu_milli) - self._stranded(
            state.cpu_milli, left
        )
        scarce = self.scarcity.get(state.model, 0.0) if pod.gpu_count else 0.0
        freed = round((before - after) / DEVICE_MILLI, 9)
        return round(
            freed - FREE_CPU * cpu_milli / MAX_CPU_MILLI - STRANDED * stranded - SCARCITY * scarce, 8
        )

    def _stranded(self, cpu_milli: int, gpu_milli: int) -> float:
        """The free CPU for which the node has no free GPU, counted in GPUs."""
        return max(0.0, cpu_milli / self.cpu_per_gpu - gpu_milli / DEVICE_MILLI)


def cpu_per_gpu(workload: Workload) -> float:
    """CPU thousandths that the workload's GPU pods ask for, per GPU that they ask for; infinite if 0."""
    asking = [pod for pod in workload.pods if pod.gpu_count]
    gpus = sum(pod.total_gpu_milli for pod in asking) / DEVICE_MILLI
    return (sum(pod.cpu_milli for pod in asking) / gpus if gpus else 0.0) or float("inf")


def scarcity(workload: Workload) -> dict[str, float]:
    """Of each model that pods name: their demand for it over the supply, where all demand fills the cluster.

    A pod that names several models asks for each in proportion to all that they have together. Models that
    the cluster does not have count as no supply.
    """
    supply: Counter[str] = Counter()
    for node in workload.nodes:
        supply[node.model] += node.gpu_count
    asking = [pod for pod in workload.pods if pod.gpu_count]
    demand = sum(pod.total_gpu_milli for pod in asking)
    scarce: dict[str, float] = {}
    for pod in asking:
        named = sum(supply[model] for model in pod.models)
        for model in pod.models if named else ():
            share = pod.total_gpu_milli / demand * supply.total() / named
            scarce[model] = scarce.get(model, 0.0) + share
    return scarce
