"""Traces: how many requests each Service gets in each second, as CSV (`second,service,requests`).

A row of 0 requests is allowed: it makes the trace longer. Counterpart: the public traces of serverless
platforms, which give invocations by function and minute.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import NamedTuple

HEADER = "second,service,requests"
PEAKS, PEAK_WIDTH = (0.42, 0.62), 0.06  # of a day: at ten and at three, about three hours wide


class Arrivals(NamedTuple):
    """`requests` that reach `service` in the second that begins `second` seconds after the start."""

    second: int
    service: str
    requests: int


def read_trace(lines: Iterable[str]) -> list[Arrivals]:
    """The rows of a trace in order of time.

    Raises:
        ValueError: there is no row, or one is not two whole numbers from 0 up around a name; it says which.
    """
    trace: list[Arrivals] = []
    for number, line in enumerate(map(str.strip, lines), 1):
        if line in ("", HEADER):
            continue
        try:
            second, service, requests = line.split(",")
            row = Arrivals(int(second), service.strip(), int(requests))
            valid = row.second >= 0 and row.requests >= 0 and row.service != ""
        except ValueError:
            valid = False
        if not valid:
            raise ValueError(
                f"line {number} is {line!r}, and a line must be `second,service,requests` with whole numbers "
                "from 0 up; write for example 12,hello,3"
            )
        trace.append(row)
    if not trace:
        raise ValueError("line 1: there is no row; write for example 12,hello,3")
    return sorted(trace)


def spread(requests: int, rng: Random | None) -> Iterator[float]:
    """When in their second `requests` arrive, in order: evenly, or (with `rng`) as Poisson arrivals would."""
    if rng is None:
        return ((n + 0.5) / requests for n in range(requests))
    return iter(sorted(rng.random() for _ in range(requests)))


def day_trace(
    services: Sequence[str], rng: Random, seconds: int = 86_400, peak_per_second: float = 2.0
) -> list[Arrivals]:
    """A day at the office: a quiet night, a peak before noon and one after, at its own hour for each service.

    Args:
        services: their names; each is a tenth smaller than the one before.
        rng: draws each second's Poisson number of requests.
        seconds: how long that day is.
        peak_per_second: requests per second of the first service at its peak.
    """
    trace: list[Arrivals] = []
    for number, service in enumerate(services):
        shift, size = rng.uniform(-0.08, 0.08), peak_per_second * 0.9**number
        for second in range(seconds):
            hour = (second / seconds + shift) % 1
            rate = size * sum(math.exp(-(((hour - peak) / PEAK_WIDTH) ** 2)) for peak in PEAKS)
            requests, gap = 0, rng.expovariate(1)
            while gap < rate:
                requests, gap = requests + 1, gap + rng.expovariate(1)
            if requests or second == seconds - 1:
                trace.append(Arrivals(second, service, requests))
    return sorted(trace)
