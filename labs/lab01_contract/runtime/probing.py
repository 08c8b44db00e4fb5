# Your part of minirun, lab 1. `lab check 1` says how far it is.
"""Judging by probes: tries, counted in a row until they are a verdict, once a period.

While nobody listens a try knocks again every few milliseconds within its timeout, so that an app is found
ready right after it is. Counterparts: the kubelet's prober, and Knative's fast readiness probing.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from minirun.model.clock import SECOND_NS, Clock
from minirun.runtime.base import Probe, ProbeResult, RunningProcess

FAST_PROBE_SECONDS = 0.002
SLOW_PROBE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Tally:
    """Tries of one probe in a row with the same outcome, and the verdict so far (None: neither yet)."""

    in_a_row: int = 0
    last_ok: bool = False
    verdict: bool | None = None


def count_probe(probe: Probe, tally: Tally, ok: bool) -> Tally:
    """The tally after one more try: `success_threshold` successes in a row pass, `failure_threshold` fail."""
    # TODO(you): about 3 lines
    raise NotImplementedError("task 1.3")


async def try_probe(process: RunningProcess, probe: Probe) -> ProbeResult:
    """One try within the probe's timeout; while nobody listens it knocks again every few milliseconds."""
    silence = seen = ProbeResult(ok=False, detail=f"no answer within {probe.timeout_seconds:g} s")
    try:
        async with asyncio.timeout(probe.timeout_seconds):
            while True:
                seen = silence
                seen = await process.probe(probe)
                if seen.listening:
                    return seen
                await asyncio.sleep(FAST_PROBE_SECONDS)
    except TimeoutError:
        return seen


async def keep_probing(
    process: RunningProcess, probe: Probe, clock: Clock, until: Callable[[bool | None, ProbeResult], bool]
) -> ProbeResult:
    """Probes once a period, until `until(verdict so far, this try)` is true; returns that last try."""
    # TODO(you): about 10 lines
    raise NotImplementedError("task 1.3")
