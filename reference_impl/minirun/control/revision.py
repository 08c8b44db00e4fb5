"""Revision → Deployment + PodAutoscaler, and what became of its containers.

The image is pinned to its digest once, so that every instance of a revision runs the same bits. A revision is
Ready when its resources are there and its containers were healthy at its initial scale; at zero it stays
Ready. `Active` only informs.
Counterpart: pkg/reconciler/revision in knative/serving, with revision_lifecycle.go.
"""

from collections.abc import Iterable

from minirun.autoscaling.spec import ACTIVATION_GRACE_NS, scale_policy
from minirun.control.children import ACTIVE, RESERVE, Key, deployment_name, is_controlled_by
from minirun.control.context import Context
from minirun.control.environment import CONFIG_ERROR
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
from minirun.model.meta import Condition, ObjectMeta, Resource, replace, with_meta
from minirun.model.resources import (
    ContainerStateDetail,
    ContainerStatus,
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

RESOURCES, HEALTHY, INITIALIZED = "ResourcesAvailable", "ContainerHealthy", "ScaleTargetInitialized"
DEPLOYING, DEADLINE = "Deploying", "ProgressDeadlineExceeded"
IMAGE_RETRY_SECONDS = 10.0


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
        metadata=ObjectMeta(
            name=deployment_name(meta.name),
            namespace=meta.namespace,
            labels=labels,
            annotations=annotations,
            owner_references=[revision.owner_reference()],
        ),
        spec=DeploymentSpec(
            replicas=replicas,
            selector=LabelSelector(match_labels={REVISION_UID: meta.uid}),
            template=PodTemplate(metadata=pod_meta, spec=pod),
            progress_deadline_seconds=deadline_s,
        ),
    )


def make_autoscaler(revision: Revision) -> PodAutoscaler:
    """The PodAutoscaler of a revision, as its routing state and its health have it now."""
    meta = revision.metadata
    ports = [port for container in revision.spec.containers for port in container.ports]
    return PodAutoscaler(
        metadata=ObjectMeta(
            name=meta.name,
            namespace=meta.namespace,
            labels=child_labels(revision),
            annotations=child_annotations(revision),
            owner_references=[revision.owner_reference()],
        ),
        spec=PodAutoscalerSpec(
            scale_target_ref=ObjectReference(
                api_version="apps/v1", kind="Deployment", name=deployment_name(meta.name)
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


def pin_images(ctx: Context, revision: Revision) -> Revision | str:
    """The revision with each container's image pinned, or the sentence that says why it can't be."""
    pinned = {status.name: status for status in revision.status.container_statuses}
    notes: dict[str, str] = {}
    for container in revision.spec.containers:
        if container.name not in pinned:
            try:
                image = ctx.images.resolve(container.image)
            except (LookupError, ValueError) as error:
                return f'Unable to fetch image "{container.image}": {error}'
            pinned[container.name] = ContainerStatus(name=container.name, image_digest=image.pinned)
            if image.note:
                notes[IMAGE_NOTE_ANNOTATION] = image.note
    noted = with_meta(revision, annotations=revision.metadata.annotations | notes)
    return replace(noted, status=replace(revision.status, container_statuses=list(pinned.values())))


def child_of(ctx: Context, revision: Revision, wanted: Deployment | PodAutoscaler) -> Resource | str:
    """The stored child, created if it is not there, or the sentence that says whose it is."""
    stored: Resource | None = ctx.store.find(type(wanted), *wanted.key)
    if stored is None:
        return ctx.store.create(wanted)
    if not is_controlled_by(stored, revision):
        return f'There is an existing {wanted.kind} "{wanted.metadata.name}" that we do not own.'
    return stored


def reconcile(ctx: Context, namespace: str, name: str) -> float | None:
    """Makes a revision's children and reports what they say."""
    revision = ctx.store.find(Revision, namespace, name)
    if revision is None or revision.metadata.deletion_timestamp:
        ctx.enqueue(Key("Endpoints", namespace, name))
        return None
    ctx.paths.ensure(revision)
    now = ctx.now()
    pinned = pin_images(ctx, revision)
    if isinstance(pinned, str):
        status = replace(revision.status, observed_generation=revision.metadata.generation)
        conditions = mark("Revision", status.conditions, now, HEALTHY, FALSE, "ContainerMissing", pinned)
        ctx.store.update(replace(revision, status=replace(status, conditions=conditions)))
        return IMAGE_RETRY_SECONDS
    revision = pinned
    status = replace(revision.status, observed_generation=revision.metadata.generation)
    images = {each.name: each.image_digest for each in status.container_statuses}
    policy = scale_policy(
        ctx.settings.autoscaler,
        revision.metadata.annotations,
        progress_deadline_ns=ctx.settings.deployment.progress_deadline_ns,
    )
    deadline_s = (policy.activation_timeout_ns - ACTIVATION_GRACE_NS) // SECOND_NS
    deployment = child_of(ctx, revision, make_deployment(revision, images, policy.initial_scale, deadline_s))
    autoscaler = child_of(ctx, revision, make_autoscaler(revision))
    conditions = status.conditions
    if isinstance(deployment, Deployment) and isinstance(autoscaler, PodAutoscaler):
        pods = ctx.store.dependents(deployment.metadata.uid, Pod)
        conditions = next_conditions(conditions, deployment, autoscaler, failure_of(pods), now)
        scale = autoscaler.status
        status = replace(status, actual_replicas=scale.actual_scale, desired_replicas=scale.desired_scale)
    else:
        message = deployment if isinstance(deployment, str) else str(autoscaler)
        conditions = mark("Revision", conditions, now, RESOURCES, FALSE, "NotOwned", message)
    revision = ctx.store.update(replace(revision, status=replace(status, conditions=conditions)))
    if isinstance(autoscaler, PodAutoscaler):
        wanted = make_autoscaler(revision).spec
        ctx.store.update(replace(autoscaler, spec=wanted))
    return None
