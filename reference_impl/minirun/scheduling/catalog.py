"""The policies by name."""

from collections.abc import Callable

from minirun.scheduling import exhibits
from minirun.scheduling.fgd import Fgd
from minirun.scheduling.fgdplus import FgdPlus
from minirun.scheduling.policy import Policy, Workload

POLICIES: dict[str, Callable[[Workload], Policy]] = {
    "fgd+": FgdPlus,
    "fgd": Fgd,
    "best-fit": exhibits.BestFit,
    "packing": exhibits.Packing,
    "clustering": exhibits.Clustering,
    "dot-product": exhibits.DotProduct,
    "least-allocated": exhibits.LeastAllocated,
    "most-allocated": exhibits.MostAllocated,
    "random": exhibits.Random,
}
DEFAULT_POLICY = "fgd+"
