"""What one revision is measured to carry: samples of pods and activator, in a long and a short window.

Each second the pods' request statistics are read (a sample of them, if there are many) and the activator
reports what it holds. What went through the activator is taken off the pods' numbers, so that no request
counts twice. The counterpart in Knative is pkg/autoscaler/metrics (MetricCollector and the service scraper).
"""

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

from minirun.autoscaling.spec import RPS, MetricSpec
from minirun.autoscaling.windows import LinearWindow, WeightedWindow

_SAMPLE_FACTOR = 1.96**2 * 100 / 25  # 95 % confidence, variance 100, an error of 5 (a margin squared of 25)


class Stat(NamedTuple):
    """One reporter's second: average concurrency and requests, and of both what came by the activator."""

    average_concurrent_requests: float
    average_proxied_concurrent_requests: float = 0.0
    request_count: float = 0.0
    proxied_request_count: float = 0.0


class RevisionMetrics:
    """A revision's stable and panic window over the metric that it scales on.

    (Knative fills windows for concurrency and for requests per second and reads one pair: this one.)
    """

    __slots__ = ("_by_requests", "panic", "spec", "stable")

    def __init__(self, spec: MetricSpec) -> None:
        window = WeightedWindow if spec.weighted else LinearWindow
        self.spec = spec
        self._by_requests = spec.scaling_metric == RPS
        self.stable: LinearWindow | WeightedWindow = window(spec.stable_window_ns)
        self.panic: LinearWindow | WeightedWindow = window(spec.panic_window_ns)

    def record(self, now_ns: int, stat: Stat) -> None:
        """Add one reporter's second; those of the same second add up, they come from different reporters."""
        if self._by_requests:
            value = stat.request_count - stat.proxied_request_count
        else:
            value = stat.average_concurrent_requests - stat.average_proxied_concurrent_requests
        self.stable.record(now_ns, value)
        self.panic.record(now_ns, value)

    def stable_and_panic(self, now_ns: int) -> tuple[float, float] | None:
        """Both averages; None while there is no data (never, if pods are not scraped: silence is 0)."""
        if self.spec.scraped and self.stable.is_empty(now_ns):
            return None
        return self.stable.average(now_ns), self.panic.average(now_ns)

    def update(self, now_ns: int, spec: MetricSpec) -> None:
        """Go on under other windows; what was measured is kept as far as it fits them."""
        self.spec = spec
        self.stable.resize(now_ns, spec.stable_window_ns)
        self.panic.resize(now_ns, spec.panic_window_ns)


def sample_size(population: int) -> int:
    """How many of `population` pods stand for all of them: all up to 3, never more than 16."""
    if population <= 3:
        return population
    return math.ceil(population * _SAMPLE_FACTOR / (population + _SAMPLE_FACTOR - 1))


def scrape(
    stats: Sequence[Stat | None], ages_ns: Sequence[int], stable_window_ns: int, rng: random.Random
) -> Stat | None:
    """One Stat for a whole revision, from what its ready pods report.

    stats: each pod's report, None where reading it failed. ages_ns: how long each pod has run. Pods older
    than the stable window are asked first, because what a young one says is not yet typical. The result is
    the sample's mean times the number of pods; None without pods, or if fewer pods answer than the sample
    needs.
    """
    population = len(stats)
    needed = sample_size(population)
    if needed < population:
        order = list(range(population))
        rng.shuffle(order)
        order.sort(key=lambda pod: ages_ns[pod] <= stable_window_ns)
        stats = [stats[pod] for pod in order]
    sample = [stat for stat in stats if stat is not None][:needed]
    if not sample or len(sample) < needed:
        return None
    if population == 1:
        return sample[0]
    return Stat(*(sum(column) / needed * population for column in zip(*sample, strict=True)))
