"""The parts by themselves: one decision of the autoscaler, the store, the simulation."""

import asyncio
import tempfile
import time
import tracemalloc
from functools import partial
from pathlib import Path
from random import Random
from statistics import median

import psutil

from minirun.autoscaling.collector import Stat
from minirun.autoscaling.decider import scale as decide
from minirun.autoscaling.multiscaler import MultiScaler
from minirun.autoscaling.spec import DeciderSpec, MetricSpec
from minirun.model.clock import SECOND_NS, SystemClock
from minirun.model.meta import ObjectMeta
from minirun.model.resources import ConfigMap
from minirun.simulation.trace import SimulationOptions, simulate
from minirun.simulation.workload import Arrivals
from minirun.store.sqlite import SQLiteLog
from minirun.store.store import Store
from minirun_bench.harness import Live, Result, Scale, timed, watch_over_http

AIM_DECISION_US, AIM_REVISION_KB = 4.0, 6.0


async def decider(scale: Scale) -> Result:
    """One decision with its two window queries, windows of 60 s full of data."""
    result = Result("decider", "one decision of the autoscaler with its window queries")
    for count in (1, 1_000, int(scale.pick(2_000, 10_000, 10_000))):
        start_ns = 1_700_000_000 * SECOND_NS
        tracemalloc.start()
        scaler = MultiScaler(lambda key: 3, lambda key: None)
        without = tracemalloc.get_traced_memory()[0]
        keys = [f"default/r{number}" for number in range(count)]
        for key in keys:
            scaler.apply(key, DeciderSpec(), MetricSpec(), start_ns)
        rng = Random(1)
        for second in range(70):
            for key in keys:
                scaler.record(key, start_ns + second * SECOND_NS, Stat(rng.random() * 300))
        kb = (tracemalloc.get_traced_memory()[0] - without) / 1000 / count  # the windows are full
        tracemalloc.stop()
        now_ns = start_ns + 70 * SECOND_NS
        pairs = [(each.decider, each.metrics) for each in scaler._scalers.values()]
        rounds = max(1, 20_000 // count)
        times = []
        for _ in range(5):
            began = time.perf_counter()
            for _ in range(rounds):
                for one, metrics in pairs:
                    decide(one, now_ns, 3, metrics.stable_and_panic(now_ns))
            times.append((time.perf_counter() - began) / rounds / count * 1e6)
        result.add(revisions=count, decision_us=median(times), kb_a_revision=kb)
        result.judge(
            f"{count:,} revisions: <= {AIM_DECISION_US:g} µs a decision, <= {AIM_REVISION_KB:g} KB each",
            f"{median(times):.2f} µs, {kb:.2f} KB",
            median(times) <= AIM_DECISION_US and kb <= AIM_REVISION_KB,
        )
    result.notes.append("Knative's Go code: 0.2-1.2 µs with windows, 12-15 KB a revision (recorded)")
    return result


def config_map(name: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default"), data={"key": "value" * 20})


async def store(scale: Scale) -> Result:
    """Durable writes, watchers, and a long list through the API."""
    result = Result("store", "the store")
    for sync in (False, True):
        count = int(scale.pick(300, 3_000, 10_000))
        with tempfile.TemporaryDirectory(prefix="minirun-bench-") as folder:
            some = Store(SystemClock(), SQLiteLog(Path(folder) / "store.db", full_sync=sync))
            rate = count / timed(partial(_create, some, count))
            some.close()
            kind = file_system(folder)
        result.add(
            what=f"durable writes/s, --sync {'full' if sync else 'normal'}, on {kind}", value=round(rate)
        )
    in_memory = Store(SystemClock())
    watches = [in_memory.watch([ConfigMap]) for _ in range(100)]
    events = int(scale.pick(100, 1_000, 5_000))
    began = time.perf_counter()
    for number in range(events):
        in_memory.create(config_map(f"c{number}"))

    async def drain(number: int) -> None:
        for _ in range(events):
            await anext(watches[number])

    await asyncio.gather(*(drain(number) for number in range(100)))
    result.add(
        what="events/s to 100 watchers in all", value=round(events * 100 / (time.perf_counter() - began))
    )
    objects = int(scale.pick(500, 10_000, 10_000))
    with Live() as live:
        where = "/api/v1/namespaces/default/configmaps"
        seen = int(scale.pick(20, 200, 1_000))
        fan_out = await watch_over_http(live, where, seen, partial(_post, live, where, range(seen)))
        result.add(what="events/s to 100 watchers over HTTP in all", value=round(fan_out))
        objects -= seen
        creating = timed(partial(_post, live, where, range(seen, seen + objects)))
        listing = [timed(lambda: live.api.get(where).raise_for_status()) for _ in range(3)]
    result.add(what="creates/s through the API, one client", value=round(objects / creating))
    result.add(what=f"list of {seen + objects:,} objects through the API, ms", value=median(listing) * 1000)
    return result


def file_system(folder: str) -> str:
    """The type of the file system that a folder is on: what durable means there."""
    mounts = [(part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)]
    return max((m for m in mounts if Path(folder).is_relative_to(m[0])), key=lambda m: len(m[0]))[1]


def _create(some: Store, count: int) -> None:
    for number in range(count):
        some.create(config_map(f"c{number}"))


def _post(live: Live, where: str, numbers: range) -> None:
    for number in numbers:
        body = {
            "kind": "ConfigMap",
            "apiVersion": "v1",
            "metadata": {"name": f"c{number}"},
            "data": {"a": "b"},
        }
        live.api.post(where, json=body).raise_for_status()


async def simulation(scale: Scale) -> Result:
    """Virtual time: 100 Services for an hour at one request a second each; a day at 0.05 with --full."""
    result = Result("simulate", "simulated requests per second of wall time, 100 Services")
    runs = [("1 h at 1 request/s", int(scale.pick(60, 3_600, 3_600)), 1.0, 60.0)]
    if scale.name == "full":
        runs.append(("24 h at 0.05 requests/s", 86_400, 0.05, 180.0))
    for what, seconds, rate, aim in runs:
        rng = Random(1)
        trace = [
            Arrivals(second, f"s{number}", 1)
            for second in range(seconds)
            for number in range(100)
            if rate >= 1 or rng.random() < rate
        ]
        wall = await asyncio.to_thread(timed, partial(simulate, trace, SimulationOptions(poisson=True)))
        result.add(
            trace=what, seconds=seconds, requests=len(trace), wall_s=wall, per_second=round(len(trace) / wall)
        )
        result.judge(f"{what}: <= {aim:g} s", f"{wall:.1f} s for {seconds:,} s", wall <= aim)
    return result
