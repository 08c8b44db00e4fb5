"""What Cloud Run fills into a revision's template, and which CPU, memory and GPU it refuses.

All ranges are rows of tables. Sources: Cloud Run's documentation of the container contract (start-up probe,
port), of memory and CPU limits, and of GPUs; gcloud itself checks none of it.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Final, NamedTuple

from minirun.model.field_errors import Errors, FieldError
from minirun.model.labels import RUN
from minirun.model.meta import replace
from minirun.model.quantity import parse_quantity
from minirun.model.regions import place_of, project_number
from minirun.model.resources import (
    Container,
    ContainerPort,
    Probe,
    RevisionTemplate,
    TCPSocketAction,
)

PORT: Final = 8080
START_SECONDS: Final = 240  # within which a container has to listen
MAX_SCALE: Final = "100"
SMALL_CPU_CONCURRENCY: Final = 1
ACCELERATOR: Final = f"{RUN}accelerator"
THROTTLING: Final = f"{RUN}cpu-throttling"
GPU: Final = "nvidia.com/gpu"
_MAX_SCALE_KEYS: Final = ("autoscaling.knative.dev/maxScale", "autoscaling.knative.dev/max-scale")
_MIN_SCALE_KEYS: Final = ("autoscaling.knative.dev/minScale", "autoscaling.knative.dev/min-scale")
_GI: Final = 1 << 30
_MI: Final = 1 << 20


class MemoryRange(NamedTuple):
    """The memory that an instance with at most `cpu` vCPU may have, in bytes."""

    cpu: Fraction
    least: int
    most: int


MEMORY_BY_CPU: Final = (
    MemoryRange(Fraction(1, 2), 128 * _MI, 512 * _MI),
    MemoryRange(Fraction(99, 100), 128 * _MI, _GI),
    MemoryRange(Fraction(1), 128 * _MI, 4 * _GI),
    MemoryRange(Fraction(2), 128 * _MI, 8 * _GI),
    MemoryRange(Fraction(4), 2 * _GI, 16 * _GI),
    MemoryRange(Fraction(6), 4 * _GI, 24 * _GI),
    MemoryRange(Fraction(8), 4 * _GI, 32 * _GI),
)
LEAST_CPU: Final = Fraction(8, 100)
WHOLE_CPUS: Final = (1, 2, 4, 6, 8)


class GPUType(NamedTuple):
    """What an instance with such a GPU must have at least; `cpus`: what it may have."""

    cpus: tuple[int, ...]
    least_memory_gib: int
    most_memory_gib: int


GPU_TYPES: Final[Mapping[str, GPUType]] = {
    "nvidia-l4": GPUType((4, 6, 8), 16, 32),
    "nvidia-rtx-pro-6000": GPUType((20, 22, 24, 26, 28, 30), 80, 176),
}


NAME_MAX: Final = 49  # of a Service: its address has the name, a hash and the region's code in one label
# What annotations with a fixed set of values may say, in any case of letters.
SERVICE_VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    f"{RUN}ingress": ("all", "internal", "internal-and-cloud-load-balancing", "none"),
    f"{RUN}scalingMode": ("automatic", "manual"),
    f"{RUN}launch-stage": ("GA", "BETA", "ALPHA"),
    f"{RUN}invoker-iam-disabled": ("true", "false"),
}
TEMPLATE_VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    f"{RUN}execution-environment": ("gen1", "gen2"),
    f"{RUN}vpc-access-egress": ("all-traffic", "private-ranges-only", "all"),
    f"{RUN}cpu-throttling": ("true", "false"),
    f"{RUN}startup-cpu-boost": ("true", "false"),
    f"{RUN}sessionAffinity": ("true", "false"),
}


def check_values(
    annotations: Mapping[str, object], allowed: Mapping[str, tuple[str, ...]], path: str
) -> Errors:
    """An error for each annotation that says something else than its row allows.

    Args:
        allowed: one of the tables above.
        path: of the annotations.
    """
    for key, values in allowed.items():
        said = annotations.get(key)
        if said is not None and str(said).lower() not in {value.lower() for value in values}:
            yield _bad(f"{path}.{key}", f"'{said}' is given; allowed are {', '.join(values)}.")


def complete(template: RevisionTemplate, namespace: str) -> RevisionTemplate:
    """The template with Cloud Run's own defaults: port, start-up probe, account, most instances, concurrency.

    Args:
        namespace: stands for the project, whose Compute Engine account is the default service account.
    """
    spec, meta = template.spec, template.metadata
    number = project_number(place_of(namespace).project)
    account = spec.service_account_name or f"{number}-compute@developer.gserviceaccount.com"
    alone = len(spec.containers) == 1
    containers = [_complete_serving(c) if alone or c.ports else c for c in spec.containers]
    concurrency = spec.container_concurrency
    if concurrency is None and 0 < (total(containers, "cpu") or 1) < 1:
        concurrency = SMALL_CPU_CONCURRENCY
    annotations = meta.annotations
    if not any(key in annotations for key in _MAX_SCALE_KEYS):
        least = next((annotations[key] for key in _MIN_SCALE_KEYS if key in annotations), "")
        above = least.isdecimal() and int(least) > int(MAX_SCALE)
        annotations = annotations | {_MAX_SCALE_KEYS[0]: least if above else MAX_SCALE}
    spec = replace(
        spec, service_account_name=account, containers=containers, container_concurrency=concurrency
    )
    return replace(template, metadata=replace(meta, annotations=annotations), spec=spec)


def _complete_serving(container: Container) -> Container:
    ports = [
        replace(port, name=port.name or "http1", container_port=port.container_port or PORT)
        for port in container.ports or [ContainerPort()]
    ]
    number = ports[0].container_port
    startup = container.startup_probe or Probe(
        tcp_socket=TCPSocketAction(port=number),
        timeout_seconds=START_SECONDS,
        period_seconds=START_SECONDS,
        failure_threshold=1,
    )
    return replace(
        container,
        ports=ports,
        startup_probe=_complete_probe(startup, number),
        liveness_probe=_complete_probe(container.liveness_probe, number),
        readiness_probe=_complete_probe(container.readiness_probe, number),
    )


def _complete_probe(probe: Probe | None, port: int) -> Probe | None:
    """A declared probe with Cloud Run's defaults: period 10 s, timeout 1 s, three failures, our own port."""
    if probe is None:
        return None
    http, tcp, grpc = probe.http_get, probe.tcp_socket, probe.grpc
    return replace(
        probe,
        period_seconds=probe.period_seconds or 10,
        timeout_seconds=probe.timeout_seconds or 1,
        failure_threshold=probe.failure_threshold or 3,
        http_get=http and replace(http, path=http.path or "/", port=http.port or port),
        tcp_socket=tcp and replace(tcp, port=tcp.port or port),
        grpc=grpc and replace(grpc, port=grpc.port or port),
    )


def total(containers: list[Container], resource: str) -> Fraction | None:
    """What all containers may use together; None where a limit is no quantity, or there is none."""
    limits = [
        c.resources.limits[resource] for c in containers if c.resources and resource in c.resources.limits
    ]
    try:
        return sum(map(parse_quantity, limits), Fraction()) if limits else None
    except ValueError:
        return None


def check(template: RevisionTemplate) -> Errors:
    """What Cloud Run refuses about CPU, memory, concurrency and GPUs of a complete template."""
    notes = "spec.template.metadata.annotations"
    yield from check_values(template.metadata.annotations, TEMPLATE_VALUES, notes)
    containers = template.spec.containers
    path = "spec.template.spec.containers.resources.limits"
    if with_gpu := [container for container in containers if total([container], GPU)]:
        yield from _check_gpu(template, with_gpu, path)
        return
    cpu, memory = total(containers, "cpu"), total(containers, "memory")
    cpus = [value for container in containers if (value := total([container], "cpu")) is not None]
    if cpu is None or memory is None:
        return
    for each in cpus:
        if each < LEAST_CPU or (each > 1 and each not in WHOLE_CPUS) or cpu > WHOLE_CPUS[-1]:
            allowed = f"{float(LEAST_CPU):g} to 1, or one of {', '.join(map(str, WHOLE_CPUS[1:]))}, 8 in all"
            text = f"Invalid value specified for cpu: {float(each):g} vCPU. Allowed are {allowed}."
            yield _bad(f"{path}.cpu", text)
            return
    concurrency = template.spec.container_concurrency or SMALL_CPU_CONCURRENCY
    if cpu < 1 and concurrency != SMALL_CPU_CONCURRENCY:
        text = f"With less than 1 vCPU concurrency must be 1; {concurrency} is given."
        yield _bad(
            "spec.template.spec.containerConcurrency", f"Invalid value specified for concurrency. {text}"
        )
    row = next(row for row in MEMORY_BY_CPU if cpu <= row.cpu)
    if not row.least <= memory <= row.most:
        allowed = f"memory must be between {_size(row.least)} and {_size(row.most)} inclusive"
        text = f"Invalid value specified for memory. For {float(cpu):g} CPU, {allowed}."
        yield _bad(f"{path}.memory", text)


def _check_gpu(template: RevisionTemplate, containers: list[Container], path: str) -> Errors:
    """The rules for the containers that have a GPU: there may be one."""
    gpu, cpu, memory = (total(containers, name) or Fraction() for name in (GPU, "cpu", "memory"))
    if gpu != 1:
        yield _bad(f"{path}.{GPU}", f"An instance can have one GPU; {float(gpu):g} are given.")
    name = template.spec.node_selector.get(ACCELERATOR, "")
    type_ = GPU_TYPES.get(name)
    if type_ is None:
        text = f"{name or 'no type'} is given; allowed are {', '.join(GPU_TYPES)}."
        yield _bad(f"spec.template.spec.nodeSelector.{ACCELERATOR}", f"GPU type: {text}")
        return
    if cpu not in type_.cpus:
        text = f"With a GPU of type {name} cpu must be one of {', '.join(map(str, type_.cpus))}."
        yield _bad(f"{path}.cpu", f"Invalid value specified for cpu: {float(cpu):g}. {text}")
    if not type_.least_memory_gib * _GI <= memory <= type_.most_memory_gib * _GI:
        text = f"memory must be between {type_.least_memory_gib}Gi and {type_.most_memory_gib}Gi inclusive."
        yield _bad(f"{path}.memory", f"Invalid value specified for memory. With a GPU of type {name} {text}")
    if template.metadata.annotations.get(THROTTLING, "true").lower() != "false":
        text = "GPUs need instance-based billing: set --no-cpu-throttling."
        yield _bad(f"spec.template.metadata.annotations.{THROTTLING}", text)


def _bad(path: str, text: str) -> FieldError:
    return FieldError(text, (path,))


def _size(size_bytes: int) -> str:
    return f"{size_bytes // _GI}Gi" if size_bytes >= _GI else f"{size_bytes // _MI}Mi"
