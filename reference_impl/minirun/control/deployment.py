"""Deployment → Pods: as many as there should be, and which ones go first.

A Pod that failed for good is replaced; it stays to be read until the Deployment is at zero or another one has
failed. Counterpart: Kubernetes' Deployment and ReplicaSet controllers (an immutable template needs one set
only).
"""

from random import Random
from typing import NamedTuple

from minirun.control.children import set_condition
from minirun.control.context import Context
from minirun.control.endpoints import is_ready
from minirun.model.conditions import FALSE, TRUE
from minirun.model.meta import Condition, replace
from minirun.model.names import child_name, random_suffix
from minirun.model.resources import Deployment, DeploymentStatus, Pod, PodStatus
from minirun.store.store import edit

DRAIN_FINALIZER = "minirun.dev/drain"


class Plan(NamedTuple):
    """How many Pods to create, and which to delete."""

    create: int
    delete: list[Pod]


def has_ended(pod: Pod) -> bool:
    """Whether a Pod's instance will not run again."""
    return pod.status.phase in ("Succeeded", "Failed")


def plan_pods(replicas: int, pods: list[Pod]) -> Plan:
    """What to do to have `replicas` Pods, of `pods`, which are all there are.

    Pods that are being deleted count no more. Those that are not ready go before those that are, the newest
    first (Kubernetes' ReplicaSet ranks them so).
    """
    living = [pod for pod in pods if not pod.metadata.deletion_timestamp]
    running = [pod for pod in living if not has_ended(pod)]
    ended = sorted((pod for pod in living if has_ended(pod)), key=_age, reverse=True)
    surplus = sorted(running, key=_age, reverse=True)
    surplus.sort(key=is_ready)
    return Plan(
        max(0, replicas - len(running)),
        surplus[: max(0, len(running) - replicas)] + ended[1 if replicas else 0 :],
    )


def _age(pod: Pod) -> tuple[str, int]:
    return pod.metadata.creation_timestamp, int(pod.metadata.resource_version or 0)


def make_pod(deployment: Deployment, rng: Random) -> Pod:
    """A new Pod of a Deployment."""
    template = deployment.spec.template
    suffix = random_suffix(rng, 10)
    return Pod(
        metadata=replace(
            template.metadata,
            name=child_name(deployment.metadata.name, f"-{suffix}"),
            namespace=deployment.metadata.namespace,
            finalizers=[DRAIN_FINALIZER],
            owner_references=[deployment.owner_reference()],
        ),
        spec=template.spec,
        status=PodStatus(phase="Pending"),
    )


def next_status(deployment: Deployment, pods: list[Pod], now: str) -> DeploymentStatus:
    """The status when `pods` are all there are."""
    wanted = deployment.spec.replicas
    there = sum(not pod.metadata.deletion_timestamp and not has_ended(pod) for pod in pods)
    ready = sum(map(is_ready, pods))
    late = next((p for p in pods if p.status.reason == "ProgressDeadlineExceeded" and not ready), None)
    available = Condition(type="Available", status=TRUE, reason="MinimumReplicasAvailable")
    if ready < wanted:
        available = Condition(type="Available", status=FALSE, reason="MinimumReplicasUnavailable")
    progressing = Condition(type="Progressing", status=TRUE, reason="NewReplicaSetAvailable")
    if late is not None:
        reason, message = late.status.reason, late.status.message
        progressing = Condition(type="Progressing", status=FALSE, reason=reason, message=message)
    conditions = deployment.status.conditions
    for condition in (available, progressing):
        conditions = set_condition(conditions, now, condition)
    return DeploymentStatus(
        observed_generation=deployment.metadata.generation,
        conditions=conditions,
        replicas=there,
        ready_replicas=ready,
        available_replicas=ready,
        unavailable_replicas=max(0, wanted - ready),
    )


def reconcile(ctx: Context, namespace: str, name: str) -> float | None:
    """Creates and deletes Pods until there are as many as there should be, and counts them."""
    deployment = ctx.living(Deployment, namespace, name)
    if deployment is None:
        return None
    uid = deployment.metadata.uid
    plan = plan_pods(deployment.spec.replicas, list(ctx.store.dependents(uid, Pod)))
    for _ in range(plan.create):
        ctx.store.create(make_pod(deployment, ctx.rng))
    for pod in plan.delete:
        ctx.store.delete(Pod, *pod.key, uid=pod.metadata.uid)
    if plan.create or plan.delete:
        return None  # these changes call again; instances first, then the count of them
    status = next_status(deployment, list(ctx.store.dependents(uid, Pod)), ctx.now())
    edit(ctx.store, deployment, status=status)
    return None
