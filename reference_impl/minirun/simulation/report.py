"""What a simulation found: as lines for people, or as plain data for `--output json`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

BARS = " ▁▂▃▄▅▆▇█"
SHOWN_SERVICES = 20


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Seconds: nearest-rank percentiles of what was measured; zeros if nothing was."""

    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    max: float = 0.0

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Percentiles":
        """The percentiles of any measured times."""
        ordered = sorted(seconds)
        if not ordered:
            return cls()
        return cls(*(ordered[-(-len(ordered) * percent // 100) - 1] for percent in (50, 95, 99, 100)))

    def __str__(self) -> str:
        return f"p50 {self.p50:.3f} s, p95 {self.p95:.3f} s, p99 {self.p99:.3f} s, max {self.max:.3f} s"


@dataclass(frozen=True, slots=True)
class SimulationReport:
    """The result of a simulation. Two runs of one trace with one seed are equal, but for `wall_seconds`.

    Args:
        seconds: virtual time from the first second of the trace to the last response.
        statuses: requests by HTTP status of their response.
        latency: seconds from arrival to response, of those with status 200.
        waited: requests that did not get a slot at once, and got one later.
        wait: seconds for which those waited.
        cold_starts: instances that were started once the traffic had begun.
        instance_seconds: time that instances were there, start-up included, added up.
        interval_seconds: the distance of the samples in `instances`.
        instances: by Service, how many instances there were at the end of each interval.
        wall_seconds: real time that the simulation took.
    """

    seconds: float
    statuses: Mapping[int, int]
    latency: Percentiles
    waited: int
    wait: Percentiles
    cold_starts: int
    instance_seconds: float
    interval_seconds: float
    instances: Mapping[str, tuple[int, ...]]
    wall_seconds: float = field(compare=False)

    @property
    def requests(self) -> int:
        """How many there were."""
        return sum(self.statuses.values())

    @property
    def errors(self) -> int:
        """Those that were answered with another status than 200."""
        return self.requests - self.statuses.get(200, 0)

    def as_dict(self) -> dict[str, object]:
        """Plain data, ready for JSON."""
        return asdict(self) | {"requests": self.requests, "errors": self.errors}

    def lines(self) -> Iterator[str]:
        """The report for people."""
        wall = max(self.wall_seconds, 1e-9)
        failed = ", ".join(f"{count} x {status}" for status, count in self.statuses.items() if status != 200)
        yield (
            f"{self.requests:,} requests to {len(self.instances)} services in {self.seconds:,.0f} s, "
            f"simulated in {wall:.1f} s ({self.requests / wall:,.0f} requests/s)"
        )
        yield f"errors            {self.errors:,}" + (f" ({failed})" if failed else "")
        yield f"latency           {self.latency}"
        yield f"wait for a slot   {self.waited:,} requests: {self.wait}"
        yield f"cold starts       {self.cold_starts:,}"
        yield f"instance-seconds  {self.instance_seconds:,.0f}"
        yield f"instances         (each column is {self.interval_seconds:g} s)"
        width = max(map(len, self.instances), default=0)
        busiest = sorted(self.instances, key=lambda name: -sum(self.instances[name]))
        for name in sorted(busiest[:SHOWN_SERVICES]):
            counts = self.instances[name]
            yield f"  {name:{width}} |{sparkline(counts)}| at most {max(counts, default=0)}"
        if len(busiest) > SHOWN_SERVICES:
            yield f"  and {len(busiest) - SHOWN_SERVICES} services with fewer instances"


def sparkline(counts: Sequence[int]) -> str:
    """One character for each count, relative to the largest; only 0 is blank."""
    top = max(counts, default=0)
    return "".join(BARS[-(-count * 8 // top) if count else 0] for count in counts)
