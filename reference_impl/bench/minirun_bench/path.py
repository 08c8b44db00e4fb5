"""The request path: hello through the gateway, beside a bare proxy and the app alone; cold starts; memory."""

import asyncio
import socket
import time
from datetime import UTC, datetime
from pathlib import Path

from minirun.control.pods import READY_ANNOTATION, STARTED_ANNOTATION
from minirun.model.labels import IDENTITY_ANNOTATION, SERVICE
from minirun.runtime.docker.engine import Engine
from minirun_bench.harness import (
    SHORT_WINDOWS,
    Live,
    Result,
    Scale,
    closed_loop,
    free_port,
    helper,
    host_of,
    median,
    percentile,
    wait_for_port,
)

CONNECTIONS = (1, 8, 64, 256, 1024)
STAMPED_APP = Path(__file__).with_name("stampedapp")
AIM_SHARE, AIM_P50_MS = 0.40, 0.3
POOL_SECONDS = {"process": 0.5, "docker": 2.0}
# Cold starts that are measured, by runtime: a label, how much is kept ready, words for `up`, the aim in ms.
STARTS: dict[str, list[tuple[str, int, tuple[str, ...], float]]] = {
    "process": [("warm interpreters", 2, (), 60), ("plain spawn", 0, (), 0)],
    "docker": [
        ("a process, plain spawn", 0, (), 0),
        ("a container, runc", 2, ("--runtime", "docker"), 350),
        ("a container, gVisor", 2, ("--runtime", "docker", "--execution-environment", "gen1"), 700),
    ],
}


async def throughput(scale: Scale) -> Result:
    """hello at 1 to 1,024 connections; the same instance of the same app answers in all three rows."""
    result = Result("path", "hello through the gateway")
    seconds = scale.pick(1, 3, 10)
    with Live() as live:
        live.deploy("hello", "hello", min_scale=1, max_scale=1, target_burst_capacity=0)
        app = live.app_port()
        proxy = free_port()
        with helper("bareproxy", "--listen", str(proxy), "--upstream", str(app)):
            await wait_for_port(proxy)
            places = {"the app alone": app, "bare uvloop proxy": proxy, "minirun": live.port}
            figures = {}
            for connections in CONNECTIONS:
                for place, port in places.items():
                    seen = await closed_loop(port, host_of("hello"), connections, seconds)
                    figures[place, connections] = seen
                    bare = figures.get(("bare uvloop proxy", connections))
                    share = f"{seen.requests_per_second / bare.requests_per_second:.0%}" if bare else ""
                    result.add(
                        connections=connections,
                        through=place,
                        per_second=round(seen.requests_per_second),
                        p50_ms=seen.p50_ms,
                        p99_ms=seen.p99_ms,
                        failed=seen.failed,
                        of_bare=share,
                    )
            pairs, failed = [], sum(seen.failed for seen in figures.values())
            for _ in range(3):  # the ratio of the aim, measured again in turn: machines are noisy
                bare = await closed_loop(proxy, host_of("hello"), 64, seconds)
                ours = await closed_loop(live.port, host_of("hello"), 64, seconds)
                pairs.append(ours.requests_per_second / bare.requests_per_second)
                failed += ours.failed + bare.failed
    result.notes.append(f"load from {figures['minirun', 64].generator}, on the same cores")
    ratio, p50 = median(pairs), figures["minirun", 1].p50_ms
    result.judge(
        f"64 connections: >= {AIM_SHARE:.0%} of the bare proxy",
        f"{ratio:.0%} (median of 3)",
        ratio >= AIM_SHARE,
    )
    result.judge("no request failed", f"{failed:,} failed", failed == 0)
    result.judge(f"1 connection: p50 <= {AIM_P50_MS} ms", f"{p50:.2f} ms", p50 <= AIM_P50_MS)
    return result


def first_byte_ms(port: int, host: str) -> float:
    """Milliseconds from a request sent on a new connection to the answer's first byte."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        began = time.perf_counter()
        client.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert client.recv(9) == b"HTTP/1.1 "
        return (time.perf_counter() - began) * 1000


async def cold_start(scale: Scale) -> Result:
    """From zero to the first byte: as many Services, each really at zero, woken one after another; phases."""
    result = Result("coldstart", "from zero: request sent -> first byte")
    count = int(scale.pick(5, 20, 20))
    for label, warm, more, aim_ms in STARTS[scale.runtime]:
        with Live(warm=warm, settings=SHORT_WINDOWS, more=more) as live:
            live.build(STAMPED_APP, "stamped")
            for image in ("hello", "stamped"):
                for number in range(count):
                    live.deploy(f"{image}{number}", image)
            live.wait(lambda live=live: not live.pods(), "all instances to go")  # type: ignore[misc]
            seen, phases = [], []
            for number in range(count):
                await asyncio.sleep(POOL_SECONDS[scale.runtime])  # the pool is warm again
                seen.append(first_byte_ms(live.port, host_of(f"hello{number}")))
                await asyncio.sleep(POOL_SECONDS[scale.runtime])
                phases.append(wake_stamped(live, f"stamped{number}"))
        middle = median(seen)
        result.add(
            start=f"samples/hello, {label}",
            n=count,
            min_ms=min(seen),
            median_ms=middle,
            p95_ms=percentile(seen, 95),
            max_ms=max(seen),
        )
        words = (f"{name} {median([each[name] for each in phases]):.1f}" for name in phases[0])
        result.notes.append(f"an app that stamps its start, {label}, medians in ms: {', '.join(words)}")
        if aim_ms:
            result.judge(f"median <= {aim_ms:g} ms, {label}", f"{middle:.1f} ms", middle <= aim_ms)
    result.notes.append("Knative on a machine of this size: 870 ms (recorded)")
    return result


def wake_stamped(live: Live, name: str) -> dict[str, float]:
    """Wakes a Service of `stampedapp`; the phases of its start in milliseconds, in order.

    The stamps are the client's, the Pod's annotations and the app's own; all are of one clock.
    """
    sent_ns = time.time_ns()
    with socket.create_connection(("127.0.0.1", live.port)) as client:
        client.sendall(f"GET / HTTP/1.1\r\nHost: {host_of(name)}\r\nConnection: close\r\n\r\n".encode())
        answer = client.recv(9)
        received_ns = time.time_ns()
        while data := client.recv(65536):
            answer += data
    began_ns, listening_ns = map(int, answer.rpartition(b"\r\n\r\n")[2].split())
    pods = (pod["metadata"] for pod in live.pods())
    stamps = next(pod["annotations"] for pod in pods if pod["labels"][SERVICE] == name)
    ends_ns = {
        "routed, held, decided": int(stamps[STARTED_ANNOTATION]),
        **engine_stamps(stamps[IDENTITY_ANNOTATION]),
        "spawned or handed over": began_ns,
        "listens": listening_ns,
        "seen ready": int(stamps[READY_ANNOTATION]),
        "first byte": received_ns,
    }
    begins_ns = [sent_ns, *ends_ns.values()]
    return {name: (end - begin) / 1e6 for (name, end), begin in zip(ends_ns.items(), begins_ns, strict=False)}


def engine_stamps(identity: str) -> dict[str, int]:
    """When the engine had created and started a container, in nanoseconds; nothing for a process."""
    if ":" in identity:
        return {}
    engine = Engine.connect()
    seen = engine.client.inspect_container(identity)
    engine.close()
    return {"created": to_ns(seen["Created"]), "started": to_ns(seen["State"]["StartedAt"])}


def to_ns(time: str) -> int:
    """Go's RFC 3339 with nanoseconds, in UTC."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    seconds = datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()
    return int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0"))


async def memory(scale: Scale) -> Result:
    """Slow readers, slow senders and a large upload: what is not read must not pile up in the gateway."""
    result = Result("memory", "the platform's memory (MiB) under slow clients and a large upload")
    clients, pushing = int(scale.pick(128, 1024, 1024)), 64
    upload_mib = int(scale.pick(64, 1024, 1024))
    patience = scale.pick(2, 5, 20)  # seconds
    with Live() as live:
        live.deploy("stream", "stream", min_scale=1, max_scale=1, target_burst_capacity=0)
        host = host_of("stream")
        endless = f"GET /?count=1000000&interval=0 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        echo = f"POST /echo HTTP/1.1\r\nHost: {host}\r\nContent-Length: {1 << 30}\r\n\r\n".encode()
        before = live.rss_mib
        readers, _ = await slow_clients(live, endless, clients, patience)
        senders, _ = await slow_clients(live, echo + b"x" * (64 << 10), clients, patience)
        pushers, taken = await slow_clients(live, echo, pushing, patience, push_mib=32)
        peak = await upload(live, host, upload_mib)
        end = live.rss_mib
    rows = {
        "before": before,
        f"{clients:,} clients that stopped reading": readers,
        f"{clients:,} clients that stopped sending": senders,
        f"{pushing} that push 32 MiB through /echo, read nothing": pushers,
        f"upload of {upload_mib:,} MiB that comes back, highest": peak,
        "end": end,
    }
    for moment, rss in rows.items():
        result.add(moment=moment, rss=rss)
    result.notes.append(
        f"of 32 MiB each, {taken:.1f} were taken before the senders stalled; sockets hold those"
    )
    slow, pushed, most = max(readers, senders) - before, pushers - before, max(rows.values()) - before
    result.judge(f"{clients:,} slow clients cost <= 64 MiB", f"{slow:.0f} MiB", slow <= 64)
    result.judge(
        f"{pushing} pushing clients stall, and cost <= 256 KiB each on top",
        f"stalled at {taken:.1f} MiB, {pushed:.0f} MiB",
        taken < 32 and pushers - max(readers, senders) <= pushing / 4,
    )
    result.judge("never more than 128 MiB above the start", f"{most:.0f} MiB", most <= 128)
    return result


async def slow_clients(
    live: Live, request: bytes, clients: int, seconds: float, push_mib: int = 0
) -> tuple[float, float]:
    """Clients that send `request`, read one line, and no more; they may push a body after it.

    Returns: the platform's memory after `seconds`, and how many MiB of its body each has got rid of.
    """
    piece, taken, open_ = b"x" * (64 << 10), [0] * clients, []

    async def push(number: int, writer: asyncio.StreamWriter) -> None:
        while taken[number] < push_mib << 20:
            writer.write(piece)
            await writer.drain()
            taken[number] += len(piece)

    for _ in range(clients):
        reader, writer = await asyncio.open_connection("127.0.0.1", live.port, limit=1024)
        writer.write(request)
        open_.append((reader, writer))
    pushing = [asyncio.create_task(push(number, writer)) for number, (_, writer) in enumerate(open_)]
    for reader, _ in open_:
        assert b" 200 " in await reader.readline()
    await asyncio.sleep(seconds)
    rss = live.rss_mib
    for task in pushing:
        task.cancel()
    await asyncio.gather(*pushing, return_exceptions=True)
    for _, writer in open_:
        writer.transport.abort()
    return rss, sum(taken) / clients / (1 << 20)


async def upload(live: Live, host: str, mebibytes: int) -> float:
    """Sends a body that comes straight back, and returns the highest memory seen meanwhile."""
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    total = mebibytes << 20
    writer.write(f"POST /echo HTTP/1.1\r\nHost: {host}\r\nContent-Length: {total}\r\n\r\n".encode())

    async def discard() -> None:
        left = total
        while left > 0 and (data := await reader.read(1 << 18)):
            left -= len(data)

    reading = asyncio.create_task(discard())
    piece, peak = b"x" * (1 << 20), 0.0
    for _ in range(mebibytes):
        writer.write(piece)
        await writer.drain()
        peak = max(peak, live.rss_mib)
    await reading
    writer.close()
    return peak
