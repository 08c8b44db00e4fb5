"""Pod → instance: starts what is there, ends what is to go, and writes down how it is doing.

A Pod that is deleted first stops getting requests, then finishes those that it has, then gets SIGTERM, and is
gone when its process is: its finalizer keeps the object until then. Counterpart: the kubelet, with the drain
that Knative's queue-proxy does in the Pod's preStop hook.
"""

import asyncio
import dataclasses
from dataclasses import dataclass, field
from functools import partial

from minirun.activation.path import RevisionPath
from minirun.autoscaling.spec import PROGRESS_DEADLINE
from minirun.control.children import Key, set_condition
from minirun.control.context import Context
from minirun.control.deployment import DRAIN_FINALIZER
from minirun.control.environment import CONFIG_ERROR, Configs, environment
from minirun.model.clock import SECOND_NS
from minirun.model.conditions import FALSE, TRUE
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
from minirun.model.profiles import profile_of
from minirun.model.quantity import whole
from minirun.model.resources import (
    Container,
    ContainerState,
    ContainerStateDetail,
    Namespace,
    Pod,
    PodContainerStatus,
    PodStatus,
)
from minirun.model.resources import Probe as DeclaredProbe
from minirun.runtime.base import InstanceSpec, InstanceState, Probe, Stage
from minirun.runtime.instance import Instance

STARTED_ANNOTATION, READY_ANNOTATION = "minirun.dev/started-unix-ns", "minirun.dev/ready-unix-ns"
# The labels of a task's Pod that Cloud Logging has on each of its entries, by the names that it has there.
LOG_LABELS = {
    EXECUTION: "run.googleapis.com/execution_name",
    TASK_INDEX: "run.googleapis.com/task_index",
    TASK_ATTEMPT: "run.googleapis.com/task_attempt",
}
TERMINATION_GRACE_SECONDS = 10.0  # from SIGTERM to SIGKILL, as on Cloud Run


def serving_container(pod: Pod) -> Container:
    """The container that requests go to: the one with a port, or the only one."""
    return next((c for c in pod.spec.containers if c.ports), pod.spec.containers[0])


def make_probe(
    declared: DeclaredProbe | None, container_port: int = 0, period_seconds: int = 10
) -> Probe | None:
    """A declared probe as runtimes know it; what is 0 is Kubernetes' default, a period `period_seconds`.

    A probe of the container's own port names none: the runtime knows where that port really is.
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
        return dataclasses.replace(
            probe, kind="http", path=http.path or "/", port=port_of(http.port), headers=headers
        )
    if declared.exec is not None:
        return dataclasses.replace(probe, kind="exec", command=tuple(declared.exec.command))
    if (grpc := declared.grpc) is not None:
        return dataclasses.replace(probe, kind="grpc", port=port_of(grpc.port), service=grpc.service or "")
    return dataclasses.replace(probe, port=port_of(declared.tcp_socket.port) if declared.tcp_socket else 0)


def make_instance_spec(pod: Pod, progress_deadline_ns: int) -> InstanceSpec:
    """What the runtime has to know of a Pod.

    Args:
        progress_deadline_ns: how long it may take to become ready; the annotation wins over it.
    """
    meta, container = pod.metadata, serving_container(pod)
    limits = container.resources.limits if container.resources else {}
    port = container.ports[0].container_port if container.ports else 0
    if PROGRESS_DEADLINE in meta.annotations:
        progress_deadline_ns = parse_duration(meta.annotations[PROGRESS_DEADLINE])
    return InstanceSpec(
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        service=meta.labels.get(SERVICE, ""),
        configuration=meta.labels.get(CONFIGURATION, ""),
        revision=meta.labels.get(REVISION, ""),
        image=container.image,
        command=tuple(container.command),
        args=tuple(container.args),
        port=port,
        working_dir=container.working_dir,
        memory_limit_bytes=whole(limits["memory"]) if "memory" in limits else None,
        readiness=make_probe(container.readiness_probe, port, period_seconds=0),
        liveness=make_probe(container.liveness_probe, port),
        startup=make_probe(container.startup_probe, port),
        termination_grace_seconds=TERMINATION_GRACE_SECONDS,
        progress_deadline_seconds=progress_deadline_ns / SECOND_NS,
        runs_once=pod.spec.restart_policy == "Never",
        active_deadline_seconds=pod.spec.active_deadline_seconds,
        job=meta.labels.get(JOB, ""),
        execution=meta.labels.get(EXECUTION, ""),
        log_labels=tuple((LOG_LABELS[k], v) for k, v in meta.labels.items() if k in LOG_LABELS),
    )


def container_status(pod: Pod, state: InstanceState) -> PodContainerStatus:
    """How the container of a Pod is doing, as Kubernetes says it."""
    container = serving_container(pod)
    started = rfc3339(state.started_unix_ns) if state.started_unix_ns else ""
    failed = ContainerState(
        terminated=ContainerStateDetail(
            reason=state.reason, message=state.message, exit_code=state.exit_code, started_at=started
        )
    )
    waits = state.stage is Stage.CRASH_LOOP_BACK_OFF
    unconfigured = waits and state.reason == CONFIG_ERROR  # so there was no container that could fail
    if state.stage is Stage.GONE:
        now = failed
    elif unconfigured:
        now = ContainerState(waiting=ContainerStateDetail(reason=CONFIG_ERROR, message=state.message))
    elif waits:
        now = ContainerState(waiting=ContainerStateDetail(reason="CrashLoopBackOff", message=state.message))
    elif state.stage is Stage.PENDING:
        now = ContainerState(waiting=ContainerStateDetail(reason="ContainerCreating"))
    else:
        now = ContainerState(running=ContainerStateDetail(started_at=started))
    before = pod.status.container_statuses[0].last_state if pod.status.container_statuses else None
    return PodContainerStatus(
        name=container.name,
        image=container.image,
        image_id=container.image,
        ready=state.ready,
        started=state.ready_unix_ns > 0,
        restart_count=state.restart_count,
        state=now,
        last_state=failed if waits and not unconfigured else before,
    )


def pod_with(pod: Pod, state: InstanceState, now: str) -> Pod:
    """The Pod after its instance reported `state`."""
    ready = Condition(type="Ready", status=TRUE if state.ready else FALSE)
    if not state.ready:
        ready = replace(ready, reason="ContainersNotReady", message=state.message)
    facts = {
        PORT_ANNOTATION: str(state.port or ""),
        IDENTITY_ANNOTATION: state.identity,
        STARTED_ANNOTATION: str(state.started_unix_ns or ""),
        READY_ANNOTATION: str(state.ready_unix_ns or ""),
    }
    annotations = {k: v for k, v in (pod.metadata.annotations | facts).items() if v or k not in facts}
    ended = state.stage is Stage.GONE
    status = PodStatus(
        phase=state.phase,
        reason=state.reason if ended else "",
        message=state.message if ended else "",
        conditions=set_condition(pod.status.conditions, now, ready),
        host_ip=state.host,
        pod_ip=state.host,
        start_time=pod.status.start_time or now,
        container_statuses=[container_status(pod, state)],
    )
    return replace(with_meta(pod, annotations=annotations), status=status)


@dataclass
class Member:
    """A Pod's instance, the path that leads to it, and how far its end has come."""

    instance: Instance
    path: RevisionPath | None
    ending: asyncio.Task[None] | None = None
    drain_timer: asyncio.TimerHandle | None = None
    draining: bool = False


@dataclass
class Kubelet:
    """The instances of this platform, by their Pods' uids."""

    ctx: Context
    members: dict[str, Member] = field(default_factory=dict)

    def reconcile(self, ctx: Context, namespace: str, name: str) -> float | None:
        """Starts a new Pod's instance, drains and ends a deleted one's, and lets go of the Pod at last."""
        pod = ctx.store.find(Pod, namespace, name)
        if pod is None:
            return None
        member = self.members.get(pod.metadata.uid)
        if member is None and not pod.metadata.deletion_timestamp:
            self._start(pod)
        elif member is not None and pod.metadata.deletion_timestamp and not member.draining:
            self._drain(pod, member)
        elif pod.metadata.deletion_timestamp and (member is None or _is_over(member)):
            self.members.pop(pod.metadata.uid, None)
            ctx.store.update(with_meta(pod, finalizers=_without_drain(pod)))
        return None

    async def stop(self, grace_seconds: float) -> None:
        """Ends all instances, with SIGKILL after `grace_seconds`; returns when they are gone."""
        await asyncio.gather(*(each.instance.stop(grace_seconds) for each in self.members.values()))

    def _start(self, pod: Pod) -> None:
        spec = make_instance_spec(pod, self.ctx.settings.deployment.progress_deadline_ns)
        changed = partial(self._changed, *pod.key, pod.metadata.uid)
        ctx, complete = self.ctx, partial(self._complete, serving_container(pod))
        instance = Instance(spec, ctx.runtime, ctx.clock, changed, ctx.log_of(spec), complete)
        path = self.ctx.paths.get(spec.namespace, spec.revision)
        self.members[pod.metadata.uid] = Member(instance, path)
        instance.start()

    def _complete(self, container: Container, spec: InstanceSpec) -> InstanceSpec:
        """The spec with the environment, as ConfigMaps and Secrets have it now. Raises ConfigError."""
        profile = profile_of(self.ctx.store.find(Namespace, "", spec.namespace))
        configs = Configs(self.ctx.store, spec.namespace, profile.secrets_have_versions)
        return dataclasses.replace(spec, env=tuple(environment(container, configs).items()))

    def _changed(self, namespace: str, name: str, uid: str, state: InstanceState) -> None:
        """Writes down what an instance reports, but for a start that has no process yet to tell of."""
        pod = self.ctx.store.find(Pod, namespace, name)
        if pod is None or pod.metadata.uid != uid:
            return
        if state.stage is not Stage.STARTING or state.identity or state.restart_count:
            self.ctx.store.update(pod_with(pod, state, self.ctx.now()))

    def _drain(self, pod: Pod, member: Member) -> None:
        member.draining = True
        end = partial(self._end, pod, member)
        if member.path is None:
            end()
            return
        grace_seconds = pod.spec.termination_grace_period_seconds or 0
        member.drain_timer = asyncio.get_running_loop().call_later(grace_seconds, end)
        member.path.drain(pod.metadata.name, end)

    def _end(self, pod: Pod, member: Member) -> None:
        if member.drain_timer is not None:
            member.drain_timer.cancel()
        if member.ending is None:
            member.ending = asyncio.create_task(member.instance.stop())
            member.ending.add_done_callback(lambda _: self.ctx.enqueue(Key("Pod", *pod.key)))


def _is_over(member: Member) -> bool:
    return member.ending is not None and member.ending.done()


def _without_drain(pod: Pod) -> list[str]:
    return [name for name in pod.metadata.finalizers if name != DRAIN_FINALIZER]


async def remove_leftovers(ctx: Context) -> None:
    """Ends the instances of an earlier life and removes their Pods; nothing is adopted."""
    pods = ctx.store.select(Pod)
    identities = [pod.metadata.annotations.get(IDENTITY_ANNOTATION, "") for pod in pods]
    await ctx.runtime.remove_leftovers([identity for identity in identities if identity])
    for pod in pods:
        ctx.store.update(with_meta(pod, finalizers=_without_drain(pod)))
        if ctx.store.find(Pod, *pod.key) is not None:
            ctx.store.delete(Pod, *pod.key)
