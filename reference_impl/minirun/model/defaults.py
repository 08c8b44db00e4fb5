"""What is filled in at the door: the defaults that a stored object carries and clients see echoed.

Defaulting is pure, and doing it again changes nothing; so a later write of the same document is no change,
and the generation stays. Counterpart: the defaulting webhook, knative/serving pkg/apis/serving/v1
*_defaults.go.
"""

from typing import Final, TypeVar

from msgspec import UNSET

from minirun.model.labels import CREATOR, LAST_MODIFIER, RUN_CREATOR, RUN_LAST_MODIFIER
from minirun.model.meta import Resource, replace, with_meta
from minirun.model.resources import (
    Configuration,
    ConfigurationSpec,
    Container,
    DomainMapping,
    DomainMappingSpec,
    Job,
    Namespace,
    Probe,
    Quantity,
    ResourceRequirements,
    RevisionSpec,
    Route,
    RouteSpec,
    Secret,
    Service,
    ServiceSpec,
    TCPSocketAction,
    TrafficTarget,
)
from minirun.model.settings import DefaultsSettings

R = TypeVar("R", bound=Resource)
DEFAULT_MAX_RETRIES: Final = 3
DEFAULT_TASK_TIMEOUT_SECONDS: Final = 600
USER_CONTAINER: Final = "user-container"


def set_defaults(
    new: R, old: R | None, settings: DefaultsSettings, user: str, signs_metadata: bool = False
) -> R:
    """`new` with defaults filled in.

    Args:
        new: a resource that a client wants to store.
        old: what is stored under its name; None on create.
        settings: `config-defaults`, as the namespace's profile has it.
        user: who writes, for the annotations creator and lastModifier.
        signs_metadata: as the namespace's profile has it.
    """
    if isinstance(new, Secret):
        return _default_secret(new)  # type: ignore[return-value]  # of the type that came
    if isinstance(new, Job):
        return _default_job(new, old, settings, user)  # type: ignore[return-value]
    if isinstance(new, Namespace):
        return replace(new, spec=old.spec if isinstance(old, Namespace) else Namespace().spec)
    spec = getattr(new, "spec", None)
    if isinstance(spec, RevisionSpec) and spec != getattr(old, "spec", None):  # defaults may have changed
        spec = _default_revision_spec(spec, settings)
    if isinstance(spec, ConfigurationSpec):  # a ServiceSpec is one
        template = replace(spec.template, spec=_default_revision_spec(spec.template.spec, settings))
        spec = replace(spec, template=template)
    if isinstance(spec, ServiceSpec) and not spec.traffic:
        spec = replace(spec, traffic=[TrafficTarget(latest_revision=True, percent=100)])
    if isinstance(spec, (ServiceSpec, RouteSpec)):
        spec = replace(spec, traffic=[_default_target(target) for target in spec.traffic])
    if isinstance(spec, DomainMappingSpec) and not spec.ref.namespace:
        spec = replace(spec, ref=replace(spec.ref, namespace=new.metadata.namespace))
    done = new if spec is None else replace(new, spec=spec)
    signed = (
        isinstance(new, (Service, Configuration, Route, DomainMapping)) and not new.metadata.owner_references
    )
    if not signed or _is_same(done, old, signs_metadata):
        return done
    signature = {LAST_MODIFIER: user} if old else {CREATOR: user, LAST_MODIFIER: user}
    return with_meta(done, annotations=new.metadata.annotations | signature)


def _is_same(new: Resource, old: Resource | None, signs_metadata: bool) -> bool:
    """Whether a write changes nothing that its writer signs."""
    if old is None or getattr(new, "spec", None) != getattr(old, "spec", None):
        return False
    now, was = new.metadata, old.metadata
    return not signs_metadata or (now.labels, now.annotations) == (was.labels, was.annotations)


def _default_secret(new: Secret) -> Secret:
    """A Secret with its text folded into its data."""
    text = {} if new.string_data is UNSET else new.string_data
    data = new.data | {key: value.encode() for key, value in text.items()}
    return replace(new, type=new.type or "Opaque", data=data, string_data=UNSET)


def _default_job(new: Job, old: Resource | None, settings: DefaultsSettings, user: str) -> Job:
    """A Job with Cloud Run's counts and timeout (run/docs/create-jobs) filled in, and signed."""
    execution = new.spec.template.spec
    task = execution.template.spec
    task = replace(
        task,
        max_retries=DEFAULT_MAX_RETRIES if task.max_retries is None else task.max_retries,
        timeout_seconds=str(task.timeout_seconds or DEFAULT_TASK_TIMEOUT_SECONDS),
        containers=[
            replace(
                c,
                name=c.name or (f"{USER_CONTAINER}-{index}" if index else USER_CONTAINER),
                resources=_default_resources(c.resources or ResourceRequirements(), settings),
            )
            for index, c in enumerate(task.containers)
        ],
    )
    count = 1 if execution.task_count is None else execution.task_count
    execution = replace(execution, task_count=count, template=replace(execution.template, spec=task))
    new = replace(new, spec=replace(new.spec, template=replace(new.spec.template, spec=execution)))
    kept = old.metadata.annotations if old else {RUN_CREATOR: user}
    kept = {key: kept[key] for key in (RUN_CREATOR, RUN_LAST_MODIFIER) if key in kept}
    new = with_meta(new, annotations=new.metadata.annotations | kept)
    if _is_same(new, old, signs_metadata=True):
        return new
    return with_meta(new, annotations=new.metadata.annotations | {RUN_LAST_MODIFIER: user})


def _default_target(target: TrafficTarget) -> TrafficTarget:
    """A target that says whether it follows the latest revision."""
    return (
        replace(target, latest_revision=not target.revision_name)
        if target.latest_revision is None
        else target
    )


def _default_revision_spec(spec: RevisionSpec, settings: DefaultsSettings) -> RevisionSpec:
    """A revision's spec with timeouts, concurrency, names, resources and the readiness probe filled in."""
    timeout = spec.timeout_seconds or settings.revision_timeout_seconds
    concurrency, links = spec.container_concurrency, spec.enable_service_links
    return replace(
        spec,
        timeout_seconds=timeout,
        response_start_timeout_seconds=_below(
            timeout, spec.response_start_timeout_seconds, settings.revision_response_start_timeout_seconds
        ),
        idle_timeout_seconds=_below(
            timeout, spec.idle_timeout_seconds, settings.revision_idle_timeout_seconds
        ),
        container_concurrency=settings.container_concurrency if concurrency is None else concurrency,
        enable_service_links=settings.enable_service_links if links is None else links,
        containers=_default_containers(spec, settings),
    )


def _below(timeout: int, declared: int | None, default: int) -> int | None:
    """A default timer is set only when it would go off before the timeout does."""
    return default if declared is None and 0 < default < timeout else declared


def _default_containers(spec: RevisionSpec, settings: DefaultsSettings) -> list[Container]:
    containers, writable = spec.containers, {v.name for v in spec.volumes if v.empty_dir is not None}
    taken = {c.name for c in containers}
    free = (name for i in range(2 * len(containers)) if (name := f"{USER_CONTAINER}-{i}") not in taken)
    alone = len(containers) == 1
    return [
        replace(
            c,
            name=c.name or (USER_CONTAINER if alone else next(free)),
            resources=_default_resources(c.resources or ResourceRequirements(), settings),
            readiness_probe=_default_readiness(
                c.readiness_probe, serving=settings.readiness_probe and (alone or bool(c.ports))
            ),
            volume_mounts=[
                mount if mount.name in writable else replace(mount, read_only=True)
                for mount in c.volume_mounts
            ],
        )
        for c in containers
    ]


def _default_resources(resources: ResourceRequirements, settings: DefaultsSettings) -> ResourceRequirements:
    def fill(declared: dict[str, Quantity], cpu: str, memory: str) -> dict[str, Quantity]:
        return {name: value for name, value in (("cpu", cpu), ("memory", memory)) if value} | declared

    return ResourceRequirements(
        limits=fill(resources.limits, settings.revision_cpu_limit, settings.revision_memory_limit),
        requests=fill(resources.requests, settings.revision_cpu_request, settings.revision_memory_request),
    )


def _default_readiness(probe: Probe | None, *, serving: bool) -> Probe | None:
    if probe is None and not serving:
        return None
    probe = probe or Probe()
    if serving and not (probe.tcp_socket or probe.http_get or probe.exec or probe.grpc):
        probe = replace(probe, tcp_socket=TCPSocketAction())
    periodic = probe.period_seconds != 0
    return replace(
        probe,
        success_threshold=probe.success_threshold or 1,
        failure_threshold=probe.failure_threshold or 3 * periodic,
        timeout_seconds=probe.timeout_seconds or 1 * periodic,
    )
