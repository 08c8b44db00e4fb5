"""What is filled in at the door: the defaults that a stored object carries and clients see echoed.

Defaulting is pure, and doing it again changes nothing; so a later write of the same document is no change,
and the generation stays. Counterpart: the defaulting webhook, knative/serving pkg/apis/serving/v1
*_defaults.go.
"""

from typing import Final, TypeVar, cast

from minirun.model.meta import Resource, replace, with_meta
from minirun.model.resources import (
    Configuration,
    Container,
    Probe,
    Quantity,
    ResourceRequirements,
    Revision,
    RevisionSpec,
    RevisionTemplate,
    Route,
    Service,
    TCPSocketAction,
    TrafficTarget,
)
from minirun.model.settings import DefaultsSettings

R = TypeVar("R", bound=Resource)
USER_CONTAINER: Final = "user-container"
CREATOR: Final = "serving.knative.dev/creator"
LAST_MODIFIER: Final = "serving.knative.dev/lastModifier"


def set_defaults(new: R, old: R | None, settings: DefaultsSettings, user: str) -> R:
    """`new` with defaults filled in.

    Args:
        new: a resource that a client wants to store.
        old: what is stored under its name; None on create.
        settings: `config-defaults`, as the namespace's profile has it.
        user: who writes, for the annotations creator and lastModifier.
    """
    done: Resource = new
    if isinstance(new, Service):
        template = default_template(new.spec.template, settings)
        traffic = new.spec.traffic or [TrafficTarget(latest_revision=True, percent=100)]
        done = replace(new, spec=replace(new.spec, template=template, traffic=default_traffic(traffic)))
    elif isinstance(new, Configuration):
        template = default_template(new.spec.template, settings)
        done = replace(new, spec=replace(new.spec, template=template))
    elif isinstance(new, Route):
        done = replace(new, spec=replace(new.spec, traffic=default_traffic(new.spec.traffic)))
    elif isinstance(new, Revision):
        done = replace(new, spec=default_revision_spec(new.spec, settings))
    if isinstance(done, (Service, Configuration, Route)) and not done.metadata.owner_references:
        done = _sign(done, cast("Service | Configuration | Route | None", old), user)
    return cast(R, done)


def default_template(template: RevisionTemplate, settings: DefaultsSettings) -> RevisionTemplate:
    return replace(template, spec=default_revision_spec(template.spec, settings))


def default_revision_spec(spec: RevisionSpec, settings: DefaultsSettings) -> RevisionSpec:
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
        containers=_default_containers(spec.containers, settings),
    )


def default_traffic(traffic: list[TrafficTarget]) -> list[TrafficTarget]:
    """Targets that say whether they follow the latest revision."""
    return [
        replace(t, latest_revision=not t.revision_name) if t.latest_revision is None else t for t in traffic
    ]


def _below(timeout: int, declared: int | None, default: int) -> int | None:
    """A default timer is set only when it would go off before the timeout does."""
    return default if declared is None and 0 < default < timeout else declared


def _default_containers(containers: list[Container], settings: DefaultsSettings) -> list[Container]:
    taken = {c.name for c in containers}
    free = (name for i in range(2 * len(containers)) if (name := f"{USER_CONTAINER}-{i}") not in taken)
    alone = len(containers) == 1
    return [
        replace(
            c,
            name=c.name or (USER_CONTAINER if alone else next(free)),
            resources=_default_resources(c.resources or ResourceRequirements(), settings),
            readiness_probe=_default_readiness(c.readiness_probe, serving=alone or bool(c.ports)),
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


def _sign(
    new: Service | Configuration | Route, old: Service | Configuration | Route | None, user: str
) -> Resource:
    """creator and lastModifier, as Knative's webhook sets them."""
    if old is not None and old.spec == new.spec:
        return new
    signed = {LAST_MODIFIER: user} if old else {CREATOR: user, LAST_MODIFIER: user}
    return with_meta(new, annotations=new.metadata.annotations | signed)
