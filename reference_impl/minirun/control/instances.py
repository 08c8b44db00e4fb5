"""Pod → instance: starts what is there, ends what is to go, and writes down how it is doing.

A Pod that is deleted first stops getting requests, then finishes those that it has, then gets SIGTERM, and is
gone when its processes are: its finalizer keeps the object until then. Counterpart: the kubelet, with the
drain that Knative's queue-proxy does in the Pod's preStop hook.
"""

import asyncio
import dataclasses
from dataclasses import dataclass, field
from functools import partial

from minirun.activation.path import RevisionPath
from minirun.control.children import Key
from minirun.control.context import Context
from minirun.control.deployment import DRAIN_FINALIZER
from minirun.control.environment import Configs, environment
from minirun.control.pods import make_instance_spec, pod_with, start_order
from minirun.control.volumes import read_volumes
from minirun.model.labels import IDENTITY_ANNOTATION, REVISION
from minirun.model.meta import with_meta
from minirun.model.resources import Container, Pod
from minirun.runtime.base import InstanceSpec, InstanceState, Stage
from minirun.runtime.group import Group
from minirun.runtime.instance import Instance


@dataclass
class Member:
    """A Pod's containers, the path that leads to them, and how far their end has come.

    `grace_seconds` is what whoever deleted the Pod gave it from then to SIGKILL; None is the usual: its
    requests' own time, and then its containers'.
    """

    group: Group
    path: RevisionPath | None
    ending: asyncio.Task[None] | None = None
    drain_timer: asyncio.Handle | None = None  # uvloop's has no `when`, if there is nothing to wait for
    drained_at: float = 0.0  # by the loop's time
    draining: bool = False
    grace_seconds: int | None = None


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
        elif member is not None and pod.metadata.deletion_timestamp and _has_less_time(pod, member):
            self._drain(pod, member)
        elif pod.metadata.deletion_timestamp and (member is None or _is_over(member)):
            self.members.pop(pod.metadata.uid, None)
            ctx.runtime.forget(pod.metadata.uid)
            ctx.store.update(with_meta(pod, finalizers=_without_drain(pod)))
        return None

    async def stop(self, grace_seconds: float) -> None:
        """Ends all instances, with SIGKILL after `grace_seconds`; returns when they are gone."""
        await asyncio.gather(*(each.group.stop(grace_seconds) for each in self.members.values()))

    def _start(self, pod: Pod) -> None:
        ctx, uid = self.ctx, pod.metadata.uid
        containers = {}
        for container in pod.spec.containers:
            spec = make_instance_spec(pod, container, ctx.settings.deployment.progress_deadline_ns)
            changed, complete = partial(self._changed, *pod.key, uid), partial(self._complete, pod, container)
            containers[container.name] = Instance(
                spec, ctx.runtime, ctx.clock, changed, ctx.log_of(spec), complete
            )
        entry = ctx.paths.entry(pod.metadata.namespace, pod.metadata.labels.get(REVISION, ""))
        group = Group(containers, start_order(pod))
        self.members[uid] = Member(group, entry.path if entry else None)
        group.advance()

    def _complete(self, pod: Pod, container: Container, spec: InstanceSpec) -> InstanceSpec:
        """The spec with what ConfigMaps and Secrets have for it now. Raises ConfigError."""
        versioned = self.ctx.profile(spec.namespace).secrets_have_versions
        configs = Configs(self.ctx.store, spec.namespace, versioned)
        env, volumes = environment(container, configs), read_volumes(pod, container, configs)
        return dataclasses.replace(spec, env=tuple(env.items()), volumes=volumes)

    def _changed(self, namespace: str, name: str, uid: str, state: InstanceState) -> None:
        """Writes down what a container reports, but for a start that has no process yet to tell of."""
        pod, group = self.ctx.store.find(Pod, namespace, name), self.members[uid].group
        group.advance()
        if pod is None or pod.metadata.uid != uid:
            return
        if state.stage is not Stage.STARTING or state.identity or state.restart_count:
            self.ctx.store.update(pod_with(pod, group.states, self.ctx.now()))

    def _drain(self, pod: Pod, member: Member) -> None:
        """Lets it finish what it runs, for as long as it may, and ends it; anew if that got shorter."""
        was_draining, was_ending = member.draining, member.ending is not None
        member.draining, member.ending = True, None
        member.grace_seconds = pod.metadata.deletion_grace_period_seconds
        seconds = pod.spec.termination_grace_period_seconds or 0
        if member.grace_seconds is not None:
            seconds = member.grace_seconds
        if member.drain_timer is not None:
            member.drain_timer.cancel()
        end = partial(self._end, pod, member)
        loop = asyncio.get_running_loop()
        member.drained_at = loop.time() + seconds
        member.drain_timer = loop.call_later(seconds, end)
        if member.path is None or was_ending:
            end()
        elif not was_draining:
            member.path.drain(pod.metadata.name, end)

    def _end(self, pod: Pod, member: Member) -> None:
        if member.ending is not None or member.drain_timer is None:
            return
        member.drain_timer.cancel()
        left_seconds = max(0.0, member.drained_at - asyncio.get_running_loop().time())
        member.ending = asyncio.create_task(
            member.group.stop(None if member.grace_seconds is None else left_seconds)
        )
        member.ending.add_done_callback(lambda _: self.ctx.enqueue(Key("Pod", *pod.key)))


def _has_less_time(pod: Pod, member: Member) -> bool:
    return not member.draining or member.grace_seconds != pod.metadata.deletion_grace_period_seconds


def _is_over(member: Member) -> bool:
    return member.ending is not None and member.ending.done()


def _without_drain(pod: Pod) -> list[str]:
    return [name for name in pod.metadata.finalizers if name != DRAIN_FINALIZER]


async def remove_leftovers(ctx: Context) -> None:
    """Ends the instances of an earlier life and removes their Pods; nothing is adopted."""
    pods = ctx.store.select(Pod)
    identities = ",".join(pod.metadata.annotations.get(IDENTITY_ANNOTATION, "") for pod in pods)
    await ctx.runtime.remove_leftovers(filter(None, identities.split(",")))
    for pod in pods:
        ctx.store.update(with_meta(pod, finalizers=_without_drain(pod)))
        if ctx.store.find(Pod, *pod.key) is not None:
            ctx.store.delete(Pod, *pod.key)
