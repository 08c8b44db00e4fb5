"""The one place where the rooms are put together.

`build` makes the core: control, activation and routing over a store and a runtime, without a socket; a
simulation uses it on a virtual loop. `Platform` adds what touches the world: the data directory, the chosen
runtime, the gateway, the API, logs. One process and one event loop hold it all; instances are its children.
"""

import asyncio
import contextlib
import dataclasses
import ipaddress
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from minirun import __version__
from minirun.api.app import API, Backend
from minirun.api.image_keeper import ImageKeeper
from minirun.api.keyring import Keyring
from minirun.api.kubernetes import seed_namespaces
from minirun.api.metadata import MetadataRuntime
from minirun.api.operator_settings import read_settings, seed_settings
from minirun.api.server import serve
from minirun.autoscaling.spec import RPS
from minirun.control.children import deployment_name
from minirun.control.cluster import LOOPBACK, ingress_service, register, this_machine
from minirun.control.context import Context
from minirun.control.controllers import Controllers
from minirun.control.endpoints import Entry, endpoint_of, is_ready
from minirun.control.images import AnyImages, Images
from minirun.gateway.access import Access
from minirun.gateway.base import Destination, RequestRecord
from minirun.gateway.server import Gateway, bind
from minirun.images.bundle import BundleStore
from minirun.images.engine_images import EngineImages
from minirun.model.clock import Clock, SystemClock
from minirun.model.labels import CONFIGURATION, PORT_ANNOTATION, SERVICE
from minirun.model.resources import Deployment, Execution, Pod, Revision
from minirun.model.settings import SYSTEM_NAMESPACE
from minirun.runtime.base import InstanceSpec, Log, Runtime
from minirun.runtime.process import ProcessRuntime
from minirun.store.sqlite import SQLiteLog
from minirun.store.store import Event, Store
from minirun.telemetry import platform_log
from minirun.telemetry.logs import LogEntry, LogStore
from minirun.telemetry.metrics import Metrics, RevisionLabels
from minirun.traffic.table import RouteTable

log = logging.getLogger("minirun.platform")

GATEWAY_GRACE_SECONDS = 3.0  # with the instances' own grace less than the ten that a stop may take


class Router:
    """Host → route → revision → its path: `traffic` decides, `control` knows the paths."""

    def __init__(self, ctx: Context, access: Access | None) -> None:
        self._ctx, self._access = ctx, access
        self._known: dict[tuple[str, str], tuple[Entry, object, Destination]] = {}

    def route(self, host: str, tag: str | None) -> Destination | None:
        """Where a request goes; see `gateway.base.Router`."""
        match = self._ctx.table.lookup(host, tag)
        if match is None:
            return None
        found = self.destination(match.entry.namespace, match.split.pick())
        if found is not None and match.rewrite_host:
            return dataclasses.replace(found, rewrite_host=match.rewrite_host.encode())
        return found

    def destination(self, namespace: str, name: str) -> Destination | None:
        """A revision as the gateway sees it; made anew only when the revision is another one."""
        entry = self._ctx.paths.entry(namespace, name)
        if entry is None:
            return None
        known = self._known.get((namespace, name))
        if known is not None and known[0] is entry and known[1] is entry.revision.spec:
            return known[2]
        destination = self._make(entry, namespace)
        self._known[namespace, name] = entry, entry.revision.spec, destination
        return destination

    def forget(self, namespace: str, name: str) -> None:
        """Drops what is kept of a revision that is gone."""
        self._known.pop((namespace, name), None)

    def _make(self, entry: Entry, namespace: str) -> Destination:
        spec, labels = entry.revision.spec, entry.revision.metadata.labels
        profile = self._ctx.profile(namespace)
        timeout = spec.timeout_seconds or 0
        service = labels.get(SERVICE, "")
        access = None if profile.public or not service else self._access
        return Destination(
            namespace=namespace,
            service=service,
            configuration=labels.get(CONFIGURATION, ""),
            revision=entry.revision.metadata.name,
            path=entry.path,
            response_start_timeout_seconds=min(timeout, spec.response_start_timeout_seconds or timeout),
            idle_timeout_seconds=spec.idle_timeout_seconds or 0,
            timeout_is_whole_request=profile.timeout_covers_whole_request,
            overflow_status=profile.overflow_status,
            admit=access.of(namespace, service) if access else None,
            logs_requests=profile.logs_requests,
            h2c=any(port.name == "h2c" for container in spec.containers for port in container.ports),
        )


class Core:
    """A platform without sockets: send requests to `router`, objects to `ctx.store`."""

    def __init__(self, ctx: Context, access: Access | None = None) -> None:
        self.ctx = ctx
        self.router = Router(ctx, access)
        self._controllers = Controllers(ctx)

    async def start(self) -> None:
        """Ends left-overs of an earlier life and returns when all routes are programmed."""
        await self._controllers.start()

    async def stop(self) -> None:
        """Ends all instances."""
        await self._controllers.stop()


def build(
    *,
    store: Store,
    clock: Clock,
    rng: Random,
    runtime: Runtime,
    images: Images | None = None,
    url_port: str = "",
    log_of: Callable[[InstanceSpec], Log] | None = None,
    access: Access | None = None,
) -> Core:
    """Puts the core together.

    Args:
        store, clock, rng, runtime: what it works with.
        images: finds images; None takes every reference for an image.
        url_port: shown in the addresses of Services; empty is none.
        log_of: where an instance's output goes; None is nowhere.
        access: who may reach private Services; None lets all in.
    """
    seed_namespaces(store)
    ctx = Context(store, clock, rng, runtime, images or AnyImages(), RouteTable("localhost"), url_port)
    if log_of is not None:
        ctx.log_of = log_of
    return Core(ctx, access)


class Telemetry:
    """What the gateway tells goes to the metrics and, where it is wanted, to the request log."""

    def __init__(self, ctx: Context, logs: LogStore) -> None:
        self._ctx, self._logs = ctx, logs
        self.metrics = Metrics(self.gauges)
        self._logs_requests = ctx.settings.observability.logging_enable_request_log
        ctx.store.subscribe(self._read_settings)

    def _read_settings(self, event: Event) -> None:
        if event.object.key == (SYSTEM_NAMESPACE, "config-observability"):
            self._logs_requests = self._ctx.settings.observability.logging_enable_request_log

    def request_done(self, record: RequestRecord) -> None:
        """Observes one request; see `gateway.base.Observer`."""
        self.metrics.request_done(record)
        if self._logs_requests or record.destination.logs_requests:
            self._logs.append(self._request_entry(record))

    def _request_entry(self, record: RequestRecord) -> LogEntry:
        to = record.destination
        request = {
            "requestMethod": record.method,
            "requestUrl": f"http://{record.host}{record.path}" if to.logs_requests else record.path,
            "status": record.status,
            "requestSize": str(record.bytes_in),
            "responseSize": str(record.bytes_out),
            "userAgent": record.user_agent,
            "remoteIp": record.remote_ip,
            "latency": f"{record.latency_ns / 1e9:.9f}s",
        }
        return LogEntry(
            timestamp_unix_ns=self._ctx.clock.unix_ns(),
            severity="ERROR" if record.status >= 500 else "WARNING" if record.note else "INFO",
            message=record.note,
            json_payload={"httpRequest": request},
            namespace=to.namespace,
            service=to.service,
            configuration=to.configuration,
            revision=to.revision,
            stream="requests",
            trace=record.trace_id,
        )

    def gauges(self) -> Iterator[tuple[RevisionLabels, dict[str, float]]]:
        """The autoscaler's and the activator's figures of each revision, for a scrape."""
        ctx = self._ctx
        now_ns = ctx.clock.unix_ns()
        for entry in ctx.paths:
            namespace, name = entry.revision.key
            labels = entry.revision.metadata.labels
            deployment = ctx.store.find(Deployment, namespace, deployment_name(name))
            pods = list(ctx.store.dependents(deployment.metadata.uid, Pod)) if deployment else []
            ending = sum(bool(pod.metadata.deletion_timestamp) for pod in pods)
            values: dict[str, float] = {
                "autoscaler_requested_pods": deployment.spec.replicas if deployment else 0,
                "autoscaler_actual_pods": entry.ready,
                "autoscaler_not_ready_pods": len(pods) - entry.ready - ending,
                "autoscaler_pending_pods": sum(pod.status.phase == "Pending" for pod in pods),
                "autoscaler_terminating_pods": ending,
                "activator_request_concurrency": entry.path.waiting + entry.path.running
                if entry.through_activator
                else 0,
                "revision_queue_depth": entry.path.waiting,
            }
            seen = ctx.multiscaler.snapshot(entry.key, now_ns)
            if seen is not None:
                unit = "requests_per_second" if seen.scaling_metric == RPS else "request_concurrency"
                target = unit if seen.scaling_metric == RPS else "concurrency_per_pod"
                values |= {
                    "autoscaler_desired_pods": max(seen.desired_scale, 0),
                    f"autoscaler_stable_{unit}": seen.stable,
                    f"autoscaler_panic_{unit}": seen.panic,
                    f"autoscaler_target_{target}": seen.target,
                    "autoscaler_excess_burst_capacity": seen.excess_burst_capacity,
                    "autoscaler_panic_mode": seen.panicking,
                }
            yield (
                RevisionLabels(namespace, labels.get(SERVICE, ""), labels.get(CONFIGURATION, ""), name),
                values,
            )


@dataclass(frozen=True, slots=True)
class PlatformOptions:
    """How `minirun up` runs.

    Args:
        listen, api: `HOST:PORT` for requests and for the API; port 0 is any free one.
        data_dir: where state, images and logs are kept; made when it is not there.
        domain: Services are `NAME.NAMESPACE.DOMAIN`.
        sync: "normal" survives a crash of the platform, "full" a power cut too.
        settings: a YAML file of ConfigMaps of `knative-serving`.
        warm: interpreters kept warm for cold starts.
        token: what clients of the API must know; needed beyond loopback.
        tls: `HOST:PORT` for the API with TLS, or None.
        grpc: `HOST:PORT` for Cloud Run's v2 API over gRPC, or None.
        runtime: "process" or "docker".
        execution_environment: of containers that name none: "gen1" (gVisor) or "gen2" (runc).
    """

    listen: str
    api: str
    data_dir: Path
    domain: str = "localhost"
    sync: str = "normal"
    settings: Path | None = None
    warm: int = 2
    token: str | None = None
    tls: str | None = None
    grpc: str | None = None
    runtime: str = "process"
    execution_environment: str = "gen2"


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def run(options: PlatformOptions, announce: Callable[[str], None]) -> None:
    """Runs a platform until cancelled, then ends all that it started.

    Args:
        options: as the command line gave them.
        announce: called with one line when everything is served.

    Raises:
        OSError: an address can't be listened on.
        StoreUnusableError, ValueError: the data directory or the settings can't be used; one sentence.
    """
    async with contextlib.AsyncExitStack() as stack:
        announce(await _start(options, stack))
        await asyncio.get_running_loop().create_future()


async def _start(options: PlatformOptions, stack: contextlib.AsyncExitStack) -> str:
    """Starts everything; what must be undone at the end is on the stack. Returns the line that says so."""
    listen, (api_host, _) = split_address(options.listen), split_address(options.api)
    _check_addresses(options)
    clock, rng = SystemClock(), Random()
    store = _open_store(options, clock, stack)
    sockets, port = _listen(options.listen, stack)
    api_sockets, api_port = _listen(options.api, stack)
    bundles = BundleStore(options.data_dir)
    logs = LogStore(options.data_dir / "logs", clock)
    stack.callback(logs.flush)
    keyring = Keyring(store, clock)
    runtime, images = _runtime(options, bundles, rng)
    core = build(
        store=store,
        clock=clock,
        rng=rng,
        runtime=MetadataRuntime(runtime, store, keyring),
        images=images,
        url_port="" if port == 80 else str(port),
        log_of=_log_of(logs),
        access=Access(store, keyring.issuer),
    )
    telemetry = Telemetry(core.ctx, logs)
    gateway = Gateway(core.router, clock, observer=telemetry, rng=rng)
    store.subscribe(_forget(core.router, gateway, telemetry.metrics, logs))

    where = listen[0] if listen[0] not in ("0.0.0.0", "::") else LOOPBACK
    register(store, this_machine(__version__, core.ctx.now()), ingress_service(where, port))

    stack.push_async_callback(core.stop)
    await core.start()
    stack.push_async_callback(gateway.close, GATEWAY_GRACE_SECONDS)
    await gateway.serve(sockets)
    keeper = ImageKeeper(bundles, store, images if isinstance(images, EngineImages) else None)
    stack.push_async_callback(keeper.collected)
    keeper.collect()
    backend = Backend(store, logs, keeper, clock, rng, telemetry.metrics.exposition, lambda: "")
    api = API(backend, token=options.token or "", hosts=[api_host])
    await _serve_api(options, api, api_sockets, keyring, stack)
    log.info("serving requests on port %d and the API on port %d", port, api_port)
    return f"minirun is up: requests on http://{listen[0]}:{port}, API on http://{api_host}:{api_port}"


def _runtime(
    options: PlatformOptions, bundles: BundleStore, rng: Random
) -> tuple[Runtime, BundleStore | EngineImages]:
    """What runs instances, and what finds their images. Raises ValueError: it can't be used here."""
    if options.runtime == "process":
        processes = ProcessRuntime(options.data_dir, bundles.resolve, rng, warm_size=options.warm)
        return processes, bundles
    from minirun.runtime.docker.engine import Engine
    from minirun.runtime.docker.runtime import DockerRuntime

    engine = Engine.connect()
    containers = DockerRuntime(
        engine,
        options.data_dir,
        bundles.resolve,
        warm_size=options.warm,
        environment=options.execution_environment,
    )
    return containers, EngineImages(engine, bundles)


def _open_store(options: PlatformOptions, clock: Clock, stack: contextlib.AsyncExitStack) -> Store:
    """The objects of the data directory, with the settings that the command line gave."""
    settings = read_settings(options.settings) if options.settings else {}
    options.data_dir.mkdir(parents=True, exist_ok=True)
    store = Store(clock, SQLiteLog(options.data_dir / "store.db", full_sync=options.sync == "full"))
    stack.callback(store.close)
    platform_log.configure(options.data_dir / "logs")
    seed_settings(store, {"config-domain": {options.domain: ""}, **settings})
    return store


def _check_addresses(options: PlatformOptions) -> None:
    """Raises ValueError: the API can be reached from elsewhere without a secret."""
    for flag, address in (("--api", options.api), ("--tls", options.tls), ("--grpc", options.grpc)):
        if address and not is_loopback(split_address(address)[0]) and not options.token:
            raise ValueError(
                f"{flag} {address} can be reached from other machines and nobody needs to know a secret; "
                "give --token too, or listen on 127.0.0.1"
            )


def _listen(address: str, stack: contextlib.AsyncExitStack) -> tuple[list[socket.socket], int]:
    """Listening sockets, closed at the end, and their port."""
    sockets = bind(*split_address(address))
    for sock in sockets:
        stack.callback(sock.close)
    return sockets, sockets[0].getsockname()[1]


async def _serve_api(
    options: PlatformOptions,
    api: API,
    sockets: list[socket.socket],
    keyring: Keyring,
    stack: contextlib.AsyncExitStack,
) -> None:
    """Serves the API on each address that was asked for."""
    tls_port = await _serve_tls(options, api, keyring, stack) if options.tls else None
    server = await serve(api.app, sockets, on_stop=api.close, tls_port=tls_port)
    stack.push_async_callback(server.stop)
    stack.callback(asyncio.create_task(keyring.prepare()).cancel)
    if options.grpc:
        stack.push_async_callback(await _serve_grpc(api, options))


async def _serve_tls(
    options: PlatformOptions, api: API, keyring: Keyring, stack: contextlib.AsyncExitStack
) -> int:
    """Serves the API with TLS; returns the port."""
    assert options.tls
    sockets, port = _listen(options.tls, stack)
    certificate = options.data_dir / "api.pem"
    certificate.touch(mode=0o600)
    certificate.write_bytes(keyring.certificate([split_address(options.tls)[0]]))
    server = await serve(api.app, sockets, certificate=certificate)
    stack.push_async_callback(server.stop)
    return port


async def _serve_grpc(api: API, options: PlatformOptions) -> Callable[[], Awaitable[None]]:
    """Serves gRPC and returns what ends it. Raises ValueError: the extra is not installed."""
    assert options.grpc
    # Instances are forked and exec at once; the handlers that gRPC would run at a fork only complain.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    try:
        from minirun.api.rpc import serve_grpc
    except ImportError as error:
        raise ValueError(f"--grpc needs the extra gcp ({error}): pip install '.[gcp]'") from None
    return await serve_grpc(api.cloud_run, api.iam, options.grpc, api.credentials)


def _log_of(logs: LogStore) -> Callable[[InstanceSpec], Log]:
    def log_of(spec: InstanceSpec) -> Log:
        labels = dict(spec.log_labels)

        def keep(stream: str, line: bytes) -> None:
            logs.append_line(
                stream,
                line,
                labels,
                namespace=spec.namespace,
                service=spec.service,
                configuration=spec.configuration,
                revision=spec.revision,
                job=spec.job,
                execution=spec.execution,
                pod=spec.name,
                container=spec.container,
            )

        return keep

    return log_of


def _forget(router: Router, gateway: Gateway, metrics: Metrics, logs: LogStore) -> Callable[[Event], None]:
    """Drops what is kept of instances, revisions and executions that are gone."""

    def forget(event: Event) -> None:
        old, new = event.old, event.object
        if isinstance(new, Pod) and isinstance(old, Pod) and is_ready(old) and not is_ready(new):
            if PORT_ANNOTATION in old.metadata.annotations:  # a task's Pod serves nothing
                gateway.drop_endpoint(endpoint_of(old))
        elif event.type == "DELETED" and isinstance(new, Revision):
            router.forget(*new.key)
            metrics.remove_revision(*new.key)
            logs.remove(new.metadata.namespace, revision=new.metadata.name)
        elif event.type == "DELETED" and isinstance(new, Execution):
            logs.remove(new.metadata.namespace, execution=new.metadata.name)

    return forget
