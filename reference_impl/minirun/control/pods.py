"""Pod ⇄ instance: what the runtime has to know of each container, and what a Pod says of them all. Pure.

Counterpart: the conversions of the kubelet (pkg/kubelet/kubelet_pods.go).
"""

import dataclasses
import math
from collections.abc import Collection, Mapping

from minirun.autoscaling.spec import PROGRESS_DEADLINE
from minirun.control.children import set_condition
from minirun.control.environment import CONFIG_ERROR
from minirun.model.clock import SECOND_NS
from minirun.model.conditions import FALSE, TRUE
from minirun.model.dependencies import parse_dependencies
from minirun.model.durations import parse_duration
from minirun.model.labels import (
    CONFIGURATION,
    EXECUTION,
    IDENTITY_ANNOTATION,
    JOB,
    PORT_ANNOTATION,
    REVISION,
    SERVICE,
    TASK_ATTEMPT,
    TASK_INDEX,
)
from minirun.model.meta import Condition, replace, rfc3339, with_meta
from minirun.model.quantity import parse_quantity, whole
from minirun.model.resources import (
    Container,
    ContainerState,
    ContainerStateDetail,
    Pod,
    PodContainerStatus,
    PodStatus,
)
from minirun.model.resources import Probe as DeclaredProbe
from minirun.runtime.base import InstanceSpec, InstanceState, Mount, Probe, Stage

EXECUTION_ENVIRONMENT = "run.googleapis.com/execution-environment"
STARTED_ANNOTATION, READY_ANNOTATION = "minirun.dev/started-unix-ns", "minirun.dev/ready-unix-ns"
# The labels of a task's Pod that Cloud Logging has on each of its entries, by the names that it has there.
LOG_LABELS = {
    EXECUTION: "run.googleapis.com/execution_name",
    TASK_INDEX: "run.googleapis.com/task_index",
    TASK_ATTEMPT: "run.googleapis.com/task_attempt",
}
COMPLETED = "Completed"  # the reason of a container that ended well
UNSTARTED_EXIT_CODE = 128  # what containerd says of a container that could not be started
TERMINATION_GRACE_SECONDS = 10.0  # from SIGTERM to SIGKILL, as on Cloud Run


def serving_container(pod: Pod) -> Container:
    """The container that requests go to: the one with a port, or the only one."""
    return next((c for c in pod.spec.containers if c.ports), pod.spec.containers[0])


def port_of(pod: Pod, container: Container) -> int:
    """Where a container listens: at its port, or, a sidecar, where its variable PORT says; 0 is unknown."""
    if container.ports:
        return container.ports[0].container_port
    said = next((variable.value for variable in container.env if variable.name == "PORT"), "")
    sidecar = container is not serving_container(pod)
    return int(said) if sidecar and said.isdecimal() and len(said) <= 5 else 0


def start_order(pod: Pod) -> dict[str, list[str]]:
    """Which containers each of them waits for; none where the annotation that says so can't be read."""
    try:
        return parse_dependencies(pod.metadata.annotations, [c.name for c in pod.spec.containers])
    except ValueError:
        return {}  # the door refuses it


def make_probe(
    declared: DeclaredProbe | None, container_port: int = 0, period_seconds: int = 10, h2c: bool = False
) -> Probe | None:
    """A declared probe as runtimes know it; what is 0 is Kubernetes' default, a period `period_seconds`.

    A probe of the container's own port names none: the runtime knows where that port really is. `h2c`: the
    container speaks HTTP/2 only, so an HTTP probe does, too, as queue-proxy's.
    """

    def port_of(port: int | str) -> int:
        number = int(port) if str(port).isdecimal() else 0  # a name can only mean the one port
        return 0 if number == container_port else number

    if declared is None:
        return None
    probe = Probe(
        initial_delay_seconds=declared.initial_delay_seconds,
        period_seconds=declared.period_seconds or period_seconds,
        timeout_seconds=declared.timeout_seconds or 1,
        success_threshold=declared.success_threshold or 1,
        failure_threshold=declared.failure_threshold or 3,
    )
    if (http := declared.http_get) is not None:
        headers = tuple((header.name, header.value) for header in http.http_headers)
        probe = dataclasses.replace(probe, path=http.path or "/", port=port_of(http.port), headers=headers)
        return dataclasses.replace(probe, kind="h2c" if h2c else "http")
    if declared.exec is not None:
        return dataclasses.replace(probe, kind="exec", command=tuple(declared.exec.command))
    if (grpc := declared.grpc) is not None:
        return dataclasses.replace(probe, kind="grpc", port=port_of(grpc.port), service=grpc.service or "")
    return dataclasses.replace(probe, port=port_of(declared.tcp_socket.port) if declared.tcp_socket else 0)


def make_instance_spec(pod: Pod, container: Container, progress_deadline_ns: int) -> InstanceSpec:
    """What the runtime has to know of one container of a Pod.

    Args:
        progress_deadline_ns: how long it may take to become ready; the annotation wins over it.
    """
    meta = pod.metadata
    limits = container.resources.limits if container.resources else {}
    port, serving = port_of(pod, container), serving_container(pod)
    sidecar_ports = (port_of(pod, other) for other in pod.spec.containers if other is not serving)
    h2c = any(each.name == "h2c" for each in container.ports)
    if PROGRESS_DEADLINE in meta.annotations:
        progress_deadline_ns = parse_duration(meta.annotations[PROGRESS_DEADLINE])
    return InstanceSpec(
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        service=meta.labels.get(SERVICE, ""),
        configuration=meta.labels.get(CONFIGURATION, ""),
        revision=meta.labels.get(REVISION, ""),
        container=container.name if len(pod.spec.containers) > 1 else "",
        sidecar=container is not serving,
        image=container.image,
        command=tuple(container.command),
        args=tuple(container.args),
        mounts=tuple(Mount(m.mount_path, m.name, m.sub_path) for m in container.volume_mounts),
        port=port,
        sidecar_ports=tuple(filter(None, sidecar_ports)),
        working_dir=container.working_dir,
        memory_limit_bytes=whole(limits["memory"]) if "memory" in limits else None,
        cpu_limit_milli=math.ceil(parse_quantity(limits["cpu"]) * 1000) if "cpu" in limits else None,
        security=container.security_context,
        execution_environment=meta.annotations.get(EXECUTION_ENVIRONMENT, ""),
        readiness=make_probe(container.readiness_probe, port, 0, h2c),
        liveness=make_probe(container.liveness_probe, port, h2c=h2c),
        startup=make_probe(container.startup_probe, port, h2c=h2c),
        termination_grace_seconds=TERMINATION_GRACE_SECONDS,
        progress_deadline_seconds=progress_deadline_ns / SECOND_NS,
        runs_once=pod.spec.restart_policy == "Never",
        active_deadline_seconds=pod.spec.active_deadline_seconds,
        job=meta.labels.get(JOB, ""),
        execution=meta.labels.get(EXECUTION, ""),
        log_labels=tuple((LOG_LABELS[k], v) for k, v in meta.labels.items() if k in LOG_LABELS),
    )


def container_status(pod: Pod, container: Container, state: InstanceState, at: str) -> PodContainerStatus:
    """How one container of a Pod is doing, as Kubernetes says it, `at` a time."""
    before = next(
        (s for s in pod.status.container_statuses if s.name == container.name), PodContainerStatus()
    )
    started = rfc3339(state.started_unix_ns) if state.started_unix_ns else ""
    told = [each.terminated for each in (before.state, before.last_state) if each and each.terminated]
    finished = next((end.finished_at for end in told if end.started_at == started), at)
    unknown = UNSTARTED_EXIT_CODE if state.reason else 0
    ended = ContainerState(
        terminated=ContainerStateDetail(
            reason=state.reason or COMPLETED,
            message=state.message,
            exit_code=unknown if state.exit_code is None else state.exit_code,
            started_at=started,
            finished_at=finished,
        )
    )
    waits = state.stage is Stage.CRASH_LOOP_BACK_OFF
    unconfigured = waits and state.reason == CONFIG_ERROR  # so there was no container that could fail
    if state.stage is Stage.GONE:
        now = ended
    elif waits:
        reason = CONFIG_ERROR if unconfigured else "CrashLoopBackOff"
        now = ContainerState(waiting=ContainerStateDetail(reason=reason, message=state.message))
    elif state.stage is Stage.PENDING:
        now = ContainerState(waiting=ContainerStateDetail(reason="ContainerCreating"))
    else:
        now = ContainerState(running=ContainerStateDetail(started_at=started))
    return PodContainerStatus(
        name=container.name,
        image=container.image,
        image_id=container.image,
        ready=state.ready,
        started=state.ready_unix_ns > 0,
        restart_count=state.restart_count,
        state=now,
        last_state=ended if waits and not unconfigured else before.last_state,
    )


def pod_phase(phases: Collection[str]) -> str:
    """The phase of a Pod, of the phases of its containers."""
    if "Pending" in phases:
        return "Pending"
    if "Running" in phases:
        return "Running"
    return "Failed" if "Failed" in phases else "Succeeded"


def pod_with(pod: Pod, states: Mapping[str, InstanceState], now: str) -> Pod:
    """The Pod when its containers, by name, are in these states."""
    serving = states[serving_container(pod).name]
    is_ready = all(state.ready for state in states.values())
    phase = pod_phase({state.phase for state in states.values()})
    ailing = next((state for state in states.values() if state.reason), serving)
    ready = Condition(type="Ready", status=TRUE if is_ready else FALSE)
    if not is_ready:
        ready = replace(ready, reason="ContainersNotReady", message=ailing.message)
    facts = {
        PORT_ANNOTATION: str(serving.port or ""),
        IDENTITY_ANNOTATION: ",".join(state.identity for state in states.values() if state.identity),
        STARTED_ANNOTATION: str(serving.started_unix_ns or ""),
        READY_ANNOTATION: str(serving.ready_unix_ns or ""),
    }
    annotations = {k: v for k, v in (pod.metadata.annotations | facts).items() if v or k not in facts}
    ended = phase in ("Succeeded", "Failed")
    status = PodStatus(
        phase=phase,
        reason=ailing.reason if ended else "",
        message=ailing.message if ended else "",
        conditions=set_condition(pod.status.conditions, now, ready),
        host_ip=serving.host,
        pod_ip=serving.host,
        start_time=pod.status.start_time or now,
        container_statuses=[container_status(pod, c, states[c.name], now) for c in pod.spec.containers],
    )
    return replace(with_meta(pod, annotations=annotations), status=status)
