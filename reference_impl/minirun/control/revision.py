"""Revision → Deployment + PodAutoscaler, and what became of its containers.

The image is pinned to its digest once, so that every instance of a revision runs the same bits. A revision is
Ready when its resources are there and its containers were healthy at its initial scale; at zero it stays
Ready. `Active` only informs.
Counterpart: pkg/reconciler/revision in knative/serving, with revision_lifecycle.go.
"""

from collections.abc import Iterable

from minirun.autoscaling.spec import ACTIVATION_GRACE_NS, scale_policy
from minirun.control.children import ACTIVE, RESERVE, Key, child_meta, claim, deployment_name
from minirun.control.context import Context
from minirun.control.environment import CONFIG_ERROR
from minirun.control.images import IMAGE_RETRY_SECONDS, MissingImageError, pin_images
from minirun.control.pods import COMPLETED
from minirun.model.clock import SECOND_NS
from minirun.model.conditions import FALSE, READY, TRUE, UNKNOWN, find, is_true, mark, status_of
from minirun.model.labels import (
    IMAGE_NOTE_ANNOTATION,
    REVISION,
    REVISION_UID,
    ROUTES,
    ROUTING_STATE,
    ROUTING_STATE_MODIFIED,
)
from minirun.model.meta import Condition, ObjectMeta, replace, with_meta
from minirun.model.resources import (
    ContainerStateDetail,
    Deployment,
    DeploymentSpec,
    LabelSelector,
    ObjectReference,
    Pod,
    PodAutoscaler,
    PodAutoscalerSpec,
    PodSpec,
    PodTemplate,
    Revision,
)
from minirun.store.store import edit

RESOURCES, HEALTHY, INITIALIZED = "ResourcesAvailable", "ContainerHealthy", "ScaleTargetInitialized"
DEPLOYING, DEADLINE = "Deploying", "ProgressDeadlineExceeded"


def make_deployment(revision: Revision, images: dict[str, str], replicas: int, deadline_s: int) -> Deployment:
    """The Deployment of a revision.

    Args:
        images: the pinned image of each container, by its name.
        replicas: the initial scale.
        deadline_s: the progress deadline, in seconds.
    """
    meta = revision.metadata
    labels, annotations = child_labels(revision), child_annotations(revision)
    containers = [replace(c, image=images.get(c.name, c.image)) for c in revision.spec.containers]
    pod = PodSpec(
        containers=containers,
        volumes=revision.spec.volumes,
        service_account_name=revision.spec.service_account_name,
        termination_grace_period_seconds=revision.spec.timeout_seconds or 300,
    )
    pod_meta = ObjectMeta(labels=labels, annotations=annotations)
    return Deployment(
        metadata=child_meta(revision, labels, annotations, deployment_name(meta.name)),
        spec=DeploymentSpec(
            replicas=replicas,
            selector=LabelSelector(match_labels={REVISION_UID: meta.uid}),
            template=PodTemplate(metadata=pod_meta, spec=pod),
            progress_deadline_seconds=deadline_s,
        ),
    )


def make_autoscaler(revision: Revision) -> PodAutoscaler:
    """The PodAutoscaler of a revision, as its routing state and its health have it now."""
    ports = [port for container in revision.spec.containers for port in container.ports]
    return PodAutoscaler(
        metadata=child_meta(revision, child_labels(revision), child_annotations(revision)),
        spec=PodAutoscalerSpec(
            scale_target_ref=ObjectReference(
                api_version="apps/v1", kind="Deployment", name=deployment_name(revision.metadata.name)
            ),
            container_concurrency=revision.spec.container_concurrency or 0,
            reachability=reachability(revision),
            protocol_type="h2c" if any(port.name == "h2c" for port in ports) else "http1",
        ),
    )


def child_labels(revision: Revision) -> dict[str, str]:
    """The labels of a revision's children: its own, without its routing state, and its name."""
    meta = revision.metadata
    own = {key: value for key, value in meta.labels.items() if key != ROUTING_STATE}
    return own | {REVISION: meta.name, REVISION_UID: meta.uid, "app": meta.name}


def child_annotations(revision: Revision) -> dict[str, str]:
    """The annotations of a revision's children: its own, but for those that come and go with Routes."""
    annotations = revision.metadata.annotations
    return {k: v for k, v in annotations.items() if k not in (ROUTES, ROUTING_STATE_MODIFIED)}


def reachability(revision: Revision) -> str:
    """Whether requests can reach a revision; one that failed and runs nothing counts as unreachable."""
    conditions = revision.status.conditions
    failed = FALSE in (status_of(conditions, RESOURCES), status_of(conditions, HEALTHY))
    state = revision.metadata.labels.get(ROUTING_STATE)
    if state == RESERVE or (failed and not revision.status.actual_replicas):
        return "Unreachable"
    return "Reachable" if state == ACTIVE else ""


def failure_of(pods: Iterable[Pod]) -> ContainerStateDetail | None:
    """How the newest failed container among `pods` ended, or why it can't be made; None if none has."""
    living = [pod for pod in pods if not pod.metadata.deletion_timestamp]
    for pod in sorted(living, key=lambda pod: pod.metadata.creation_timestamp, reverse=True):
        for container in pod.status.container_statuses:
            waiting = container.state.waiting
            if waiting is not None and waiting.reason == CONFIG_ERROR:
                return waiting
            for state in (container.state, container.last_state):
                if (
                    state is not None
                    and state.terminated is not None
                    and state.terminated.reason != COMPLETED
                ):
                    return state.terminated
    return None


def next_conditions(
    conditions: list[Condition],
    deployment: Deployment,
    autoscaler: PodAutoscaler,
    failure: ContainerStateDetail | None,
    now: str,
) -> list[Condition]:
    """The revision's conditions, after what its children say of themselves and of a failed container."""

    def seen(type_: str, status: str, reason: str = "", message: str = "") -> None:
        nonlocal conditions
        conditions = mark("Revision", conditions, now, type_, status, reason, message)

    reported = autoscaler.status.conditions
    initialized, active = is_true(reported, INITIALIZED), find(reported, READY)
    if deployment.spec.replicas > 0 and not deployment.status.available_replicas and failure:
        if failure.reason in (DEADLINE, CONFIG_ERROR):
            seen(RESOURCES, FALSE, failure.reason, failure.message)
        else:
            seen(HEALTHY, FALSE, failure.reason, failure.message)
    broken = FALSE in (status_of(conditions, RESOURCES), status_of(conditions, HEALTHY))
    if initialized and (deployment.status.available_replicas or not broken):
        seen(RESOURCES, TRUE)
        seen(HEALTHY, TRUE)
    elif not broken:
        seen(RESOURCES, UNKNOWN, DEPLOYING)
        seen(HEALTHY, UNKNOWN, DEPLOYING)
    if active is None:
        seen("Active", UNKNOWN, DEPLOYING)
        return conditions
    if active.status == FALSE and not initialized and not broken and active.reason == "TimedOut":
        seen(RESOURCES, FALSE, DEADLINE, "Initial scale was never achieved")
    seen("Active", active.status, active.reason, active.message)
    return conditions


def reconcile(ctx: Context, namespace: str, name: str) -> float | None:
    """Makes a revision's children and reports what they say."""
    revision = ctx.living(Revision, namespace, name)
    if revision is None:
        ctx.enqueue(Key("Endpoints", namespace, name))
        return None
    ctx.paths.ensure(revision)
    now = ctx.now()
    status = replace(revision.status, observed_generation=revision.metadata.generation)
    try:
        pinned, notes = pin_images(ctx.images, revision.spec.containers, status.container_statuses)
    except MissingImageError as error:
        text = f'Unable to fetch image "{error.image}": {error}'
        conditions = mark("Revision", status.conditions, now, HEALTHY, FALSE, "ContainerMissing", text)
        edit(ctx.store, revision, status=replace(status, conditions=conditions))
        return IMAGE_RETRY_SECONDS
    if notes:
        noted = revision.metadata.annotations | {IMAGE_NOTE_ANNOTATION: notes[-1]}
        revision = with_meta(revision, annotations=noted)
    status = replace(status, container_statuses=pinned)
    images = {each.name: each.image_digest for each in status.container_statuses}
    policy = scale_policy(
        ctx.settings.autoscaler,
        revision.metadata.annotations,
        progress_deadline_ns=ctx.settings.deployment.progress_deadline_ns,
    )
    deadline_s = (policy.activation_timeout_ns - ACTIVATION_GRACE_NS) // SECOND_NS
    wanted = make_deployment(revision, images, policy.initial_scale, deadline_s)
    deployment = claim(ctx.store, revision, wanted)
    autoscaler = claim(ctx.store, revision, make_autoscaler(revision))
    conditions = status.conditions
    if deployment and autoscaler:
        pods = ctx.store.dependents(deployment.metadata.uid, Pod)
        conditions = next_conditions(conditions, deployment, autoscaler, failure_of(pods), now)
        scale = autoscaler.status
        status = replace(status, actual_replicas=scale.actual_scale, desired_replicas=scale.desired_scale)
    else:
        kind, child = ("PodAutoscaler", name) if deployment else ("Deployment", wanted.metadata.name)
        message = f'There is an existing {kind} "{child}" that we do not own.'
        conditions = mark("Revision", conditions, now, RESOURCES, FALSE, "NotOwned", message)
    revision = edit(ctx.store, revision, status=replace(status, conditions=conditions))
    if autoscaler:
        edit(ctx.store, autoscaler, spec=make_autoscaler(revision).spec)
    return None
