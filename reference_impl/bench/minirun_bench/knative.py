"""Knative's own benchmark workloads, open loop, with its thresholds.

Source of workloads and thresholds: knative/serving test/performance/benchmarks (commit 98e5ef90a). Instances
are `samples/sleep` (GET /?sleep=100), the counterpart of `autoscale-go`. What is made smaller is said.
"""

import asyncio
import time
from collections.abc import Mapping

from minirun.cli.load import LoadResult
from minirun.model.labels import REVISION
from minirun_bench.api import one_after_another
from minirun_bench.harness import (
    AUTOSCALING,
    SERVICES,
    SHORT_WINDOWS,
    Live,
    Result,
    Scale,
    host_of,
    is_ready,
    open_loop,
    percentile,
)

PATH = "/?sleep=100"


def tell(
    result: Result, what: str, found: LoadResult, aim_ms: float, wanted: int, knative: str, why: str = ""
) -> None:
    """A row and a verdict: p95 within the threshold, nothing lost (0.1 % of the requests may be missing).

    `why` is said where it is missed.
    """
    p50, p95, p99 = (found.latencies.percentile(p) for p in (50, 95, 99))
    good = found.statuses[200]
    bad = found.latencies.count - good + sum(found.errors.values())
    result.add(
        workload=what,
        requests=found.latencies.count,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        max_ms=found.latencies.max_ns / 1e6,
        failed=bad,
        knative_here=knative,
    )
    if aim_ms:
        complete = bad == 0 and abs(good - wanted) <= max(1, wanted // 1000)
        met = 100 <= p95 <= aim_ms and found.latencies.max_ns <= 10e9 and complete
        measured = (
            f"p95 {p95:.1f}, max {found.latencies.max_ns / 1e6:.0f} ms, {bad} failed, {good:,} answered"
        )
        if why and not met:
            measured += f"; {why}"
        result.judge(
            f"{what}: p95 in [100, {aim_ms:g}] ms, max <= 10 s, all {wanted:,} answered", measured, met
        )


async def dataplane_probe(scale: Scale) -> Result:
    """1,000 requests a second on five instances of a 100 ms app, past the activator and through it."""
    result = Result("dataplane", "dataplane-probe: 1,000 requests/s on a 100 ms app, 5 instances")
    seconds = scale.pick(3, 20, 180)
    wanted = int(1000 * seconds)
    with Live() as live:
        live.deploy("past", "sleep", min_scale=5, max_scale=5, target_burst_capacity=0)
        live.deploy("through", "sleep", min_scale=5, max_scale=5, target_burst_capacity=-1)
        live.wait(lambda: len(live.pods()) == 10, "ten instances")
        await asyncio.sleep(2)
        alone = await open_loop(live.app_port(), "app", 1000, seconds, PATH)
        tell(result, "one instance alone", alone, 0, wanted, "")
        past = await open_loop(live.port, host_of("past"), 1000, seconds, PATH)
        tell(result, "past the activator", past, 110, wanted, "p95 105.1")
        through = await open_loop(live.port, host_of("through"), 1000, seconds, PATH)
        tell(result, "through the activator", through, 110, wanted, "p95 141.5")
    return result


async def load_test(scale: Scale) -> Result:
    """From zero in steps of 1,000, 2,000 and 3,000 requests a second."""
    result = Result("loadtest", "load-test: from zero, 1,000 -> 2,000 -> 3,000 requests/s")
    seconds = scale.pick(1, 10, 120)
    with Live() as live:
        live.deploy("alone", "sleep", min_scale=1)
        tell(result, "one instance alone", await steps(live.app_port(), "app", seconds), 0, 0, "")
    for name, burst in (("zero", 0), ("always", -1), ("200", 200)):
        with Live(settings=SHORT_WINDOWS) as live:
            live.deploy("load", "sleep", target_burst_capacity=burst)
            live.wait(lambda live=live: not live.pods(), "zero instances")  # type: ignore[misc]
            whole = await steps(live.port, host_of("load"), seconds)
        tell(result, f"target-burst-capacity {name}", whole, 115, int(6000 * seconds), "missed at 3,000/s")
    return result


async def steps(port: int, host: str, seconds: float) -> LoadResult:
    """1,000, 2,000 and 3,000 requests a second, for `seconds` each."""
    whole = LoadResult()
    for rate in (1000, 2000, 3000):
        step = await open_loop(port, host, rate, seconds, PATH)
        whole.latencies.merge(step.latencies)
        whole.statuses += step.statuses
        whole.errors += step.errors
    return whole


PAST: Mapping[str, object] = {"concurrency": 10, "target_burst_capacity": 0, "min_scale": 20, "max_scale": 40}
THROUGH: Mapping[str, object] = {
    "concurrency": 30,
    "target_burst_capacity": -1,
    "min_scale": 10,
    "max_scale": 20,
}
EXPONENTIAL = {"metric_aggregation_algorithm": "weightedExponential"}

TAKE_OVER = (
    "all traffic goes at once to a new revision of one instance with 10 slots, and the activator holds the"
    " rest until its decider's first tick, 2 s after it was made (Knative's rule); its second instance came"
    " after {:.1f} s, and the others start on these cores"
)
STEPS = "a rollout of {} s where Knative's has 240, but the autoscaler decides every 2 s in both"


async def rollout_probe(scale: Scale) -> Result:
    """1,000 requests a second while the revision is replaced."""
    result = Result("rollout", "rollout-probe: 1,000 requests/s while a new revision takes over")
    result.notes.append(
        "Knative's sizes (100 and 50 instances) are scaled to 20 and 10: this is one machine. The threshold"
        " is of a run of 180 s (--full), where a take-over may disturb 5 % or 9 s; a shorter one allows less."
    )
    seconds = scale.pick(3, 60, 180)
    slowly = round(seconds * 240 / 180)
    workloads: tuple[tuple[str, Mapping[str, object], int], ...] = (
        ("past the activator, cc 10", PAST, 0),
        ("through the activator, cc 30, gradually", {**THROUGH, **EXPONENTIAL}, slowly),
        ("the same with linear aggregation", THROUGH, slowly),
    )
    for what, how, rollout_seconds in workloads:
        with Live() as live:
            live.create("roll", "sleep", **how)  # type: ignore[arg-type]
            live.wait(lambda live=live, how=how: len(live.pods()) >= how["min_scale"], "instances")  # type: ignore[misc]
            await asyncio.sleep(2)
            change = asyncio.create_task(_replace(live, seconds / 6, rollout_seconds))
            found = await open_loop(live.port, host_of("roll"), 1000, seconds, PATH)
            waited = await change
            assert live.service("roll")["status"]["latestReadyRevisionName"] == "roll-00002"
        why = STEPS.format(rollout_seconds) if rollout_seconds else TAKE_OVER.format(waited)
        tell(result, what, found, 110, int(1000 * seconds), "", why)
    return result


async def _replace(live: Live, after_seconds: float, rollout_seconds: int) -> float:
    """Makes a new revision; when all traffic goes there at once, seconds until it has two instances."""
    await asyncio.sleep(after_seconds)
    patch = {
        "metadata": {"annotations": {"serving.knative.dev/rollout-duration": f"{rollout_seconds}s"}},
        "spec": {"template": {"metadata": {"annotations": {f"{AUTOSCALING}min-scale": "1"}}}},
    }
    kind = {"content-type": "application/merge-patch+json"}
    await asyncio.to_thread(live.api.patch, f"{SERVICES}/roll", json=patch, headers=kind)
    began, ready = time.perf_counter(), 0
    while not rollout_seconds and ready < 2:
        await asyncio.sleep(0.1)
        pods = await asyncio.to_thread(live.pods)
        ready = sum(is_ready(pod) and pod["metadata"]["labels"][REVISION] == "roll-00002" for pod in pods)
    return time.perf_counter() - began


async def reconciliation_delay(scale: Scale) -> Result:
    """Services created one after another: how long until each is Ready."""
    result = Result("reconcile", "reconciliation-delay: Services created one after another")
    count = int(scale.pick(10, 180, 180))
    with Live(settings=SHORT_WINDOWS) as live:
        seen = await one_after_another(live, count)
    p95 = percentile(seen, 95)
    result.add(
        services=count, median_s=percentile(seen, 50), p95_s=p95, max_s=max(seen), knative_here="2.7 s each"
    )
    result.judge(f"{count} Services: p95 <= 25 s, all ready", f"{p95:.2f} s", p95 <= 25)
    return result
