"""The API under many objects: get, list and watch, and how long a Service takes to become Ready.

The objects are Services with all that belongs to them (Configuration, Route, Revision, ...), but with an
initial scale of 0, so that ten thousand of them fit on one machine. Yardsticks: the server's answer that
touches no object, and the same app started by hand.
"""

import asyncio
import contextlib
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from random import Random

import minirun
from minirun_bench.harness import (
    SERVICES,
    SHORT_WINDOWS,
    Live,
    ReadyWatch,
    Result,
    Scale,
    free_port,
    median,
    percentile,
    timed,
    wait_for_port,
    watch_over_http,
)

NO_INSTANCES = {"allow-zero-initial-scale": "true", "initial-scale": "0"}
WATCHED = 100
AIM_GET_MS, AIM_READY_SECONDS = 5.0, 0.5


async def reading(scale: Scale) -> Result:
    """get and list at 10, 1,000 and 10,000 Services; 100 watchers while 100 more are created; memory."""
    result = Result("api", "the API at so many Services, one client")
    gets = int(scale.pick(200, 1_000, 3_000))
    with Live(settings=NO_INSTANCES) as live:
        ready, made = ReadyWatch(live), 0
        for count in (10, 1_000) if scale.name == "quick" else (10, 1_000, 10_000):
            creating = timed(partial(_create, live, range(made, count)))
            ready.wait((f"s{number}" for number in range(count)), 600)
            chosen = Random(count).choices(range(count), k=gets)
            seen = [_get_ms(live, f"{SERVICES}/s{number}") for number in chosen]
            floor = [_get_ms(live, "/livez") for _ in range(gets)]
            p99 = percentile(seen, 99)
            result.add(
                services=f"{count:,}",
                create_ms=creating / (count - made) * 1000,
                get_p50_ms=median(seen),
                get_p99_ms=p99,
                livez_p50_ms=median(floor),
                livez_p99_ms=percentile(floor, 99),
                list_ms=median([_get_ms(live, SERVICES) for _ in range(5)]),
                rss_mib=live.rss_mib,
            )
            made = count
        aim = f"{made:,} Services: p99 of get <= {AIM_GET_MS:g} ms"
        result.judge(aim, f"{p99:.2f} ms", p99 <= AIM_GET_MS)
        more = partial(_create, live, range(made, made + WATCHED))
        rate = await watch_over_http(live, SERVICES, WATCHED, more)
        result.notes.append(f"100 watchers while {WATCHED} Services are created: {rate:,.0f} ADDED/s in all")
        result.notes.append(f"the platform's memory at its highest: {live.peak_mib:.0f} MiB")
    return result


def _get_ms(live: Live, path: str) -> float:
    return timed(lambda: live.api.get(path).raise_for_status()) * 1000


def _create(live: Live, numbers: range) -> None:
    for number in numbers:
        live.create(f"s{number}", "hello")


async def readiness(scale: Scale) -> Result:
    """create -> Ready, one after another, beside the app started by hand; then one every 50 ms."""
    result = Result("ready", "a new Service: created -> Ready, seen by a watch, samples/hello")
    alone = [await _start_by_hand() for _ in range(5)]
    result.add(what="the app started by hand -> it listens", n=5, **_spread(alone))
    count, burst = int(scale.pick(5, 20, 20)), int(scale.pick(20, 180, 180))
    for label, warm in (("warm interpreters", 2), ("plain spawn", 0)):
        with Live(settings=SHORT_WINDOWS, warm=warm) as live:
            seen = await one_after_another(live, count)
        result.add(what=f"one after another, {label}", n=count, **_spread(seen))
        aim = f"{label}: median <= {AIM_READY_SECONDS:g} s"
        result.judge(aim, f"{median(seen):.3f} s", median(seen) <= AIM_READY_SECONDS)
    with Live(settings=SHORT_WINDOWS) as live:
        ready, created = ReadyWatch(live), {}
        began = time.perf_counter()
        for number in range(burst):
            await asyncio.sleep(began + number * 0.05 - time.perf_counter())
            created[f"s{number}"] = time.perf_counter()
            live.create(f"s{number}", "hello")
        rate = burst / (time.perf_counter() - began)
        with contextlib.suppress(TimeoutError):
            ready.wait(created, 120)
    waits = [ready.at[name] - at for name, at in created.items() if name in ready.at]
    result.add(what="one every 50 ms", n=burst, **_spread(waits))
    aim = f"{burst} Services, one every 50 ms: all Ready"
    result.judge(aim, f"{len(waits)} of {burst}, {rate:.1f} created/s", len(waits) == burst)
    result.notes.append("Knative on a machine of this size: 2.7 s each (recorded)")
    return result


async def one_after_another(live: Live, count: int) -> list[float]:
    """Seconds from the create of each of `count` Services until a watch says that it is Ready."""
    ready, seen = ReadyWatch(live), []
    for number in range(count):
        await asyncio.sleep(0.3)  # the warm interpreters are there again
        began = time.perf_counter()
        live.create(f"s{number}", "hello")
        ready.wait([f"s{number}"], 60)
        seen.append(ready.at[f"s{number}"] - began)
    return seen


async def _start_by_hand() -> float:
    port = free_port()
    main = Path(minirun.__file__).parent / "samples/hello/main.py"
    began = time.perf_counter()
    app = await asyncio.create_subprocess_exec(
        sys.executable, str(main), env={"PORT": str(port)}, stdout=subprocess.DEVNULL
    )
    try:
        await wait_for_port(port)
        return time.perf_counter() - began
    finally:
        app.kill()
        await app.wait()


def _spread(seconds: list[float]) -> dict[str, object]:
    columns = {"median_s": median(seconds), "p95_s": percentile(seconds, 95), "max_s": max(seconds)}
    return {name: f"{value:.3f}" for name, value in columns.items()}
