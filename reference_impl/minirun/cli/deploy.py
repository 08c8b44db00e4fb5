"""`minirun deploy` and `minirun traffic`: changes of a Service, as `gcloud run deploy` and `kn` make them.

What the options say is a pure change of the Service (`changed_service`, `changed_traffic`); the commands read
it, change it, write it back, and wait. Each deploy makes a new revision.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import click

from minirun.cli.client import ApiError, Client
from minirun.cli.common import Output, api_options, connect, dump, note, pairs, wait_ready
from minirun.model.clock import SystemClock
from minirun.model.labels import IMAGE_NOTE_ANNOTATION, ROLLOUT_DURATION
from minirun.model.meta import ObjectMeta, replace, rfc3339
from minirun.model.names import generated_revision_name
from minirun.model.resources import (
    Container,
    ContainerPort,
    EnvVar,
    ResourceRequirements,
    Revision,
    Service,
    TrafficTarget,
)

AUTOSCALING = "autoscaling.knative.dev/"
UPDATED = "client.knative.dev/updateTimestamp"  # kn's own mark: it makes every deploy a revision
SERVICE_ANNOTATIONS = (ROLLOUT_DURATION, "networking.knative.dev/")  # not revisions'


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What a deploy changes; None or empty leaves a field as it is."""

    image: str | None = None
    env: Mapping[str, str]
    concurrency: int | None = None
    min_scale: int | None = None
    max_scale: int | None = None
    timeout_seconds: int | None = None
    annotations: Mapping[str, str]
    cpu: str | None = None
    memory: str | None = None
    port: int | None = None
    command: Sequence[str] = ()
    args: Sequence[str] = ()
    no_traffic: bool = False
    tag: str | None = None


def changed_service(service: Service, changes: Changes, now: str) -> Service:
    """The Service after a deploy.

    Args:
        service: as it is, or a new one that has a name only.
        now: time of the deploy, RFC 3339.

    Where a tag must refer to the new revision, it gets the name here that it would get from its generation.
    """
    template = service.spec.template
    spec = template.spec
    container = spec.containers[0] if spec.containers else Container()
    scale = {"min-scale": changes.min_scale, "max-scale": changes.max_scale}
    on_service = {k: v for k, v in changes.annotations.items() if k.startswith(SERVICE_ANNOTATIONS)}
    on_template = {k: v for k, v in changes.annotations.items() if k not in on_service}
    on_template |= {AUTOSCALING + k: str(v) for k, v in scale.items() if v is not None}
    metadata = service.metadata
    name = generated_revision_name(metadata.name, metadata.generation + 1) if changes.tag else ""
    template = replace(
        template,
        metadata=replace(
            template.metadata,
            name=name,
            annotations={**template.metadata.annotations, **on_template, UPDATED: now},
        ),
        spec=replace(
            spec,
            containers=[_changed_container(container, changes), *spec.containers[1:]],
            container_concurrency=_or(changes.concurrency, spec.container_concurrency),
            timeout_seconds=_or(changes.timeout_seconds, spec.timeout_seconds),
        ),
    )
    traffic = service.spec.traffic
    if changes.no_traffic:
        latest = service.status.latest_ready_revision_name
        if not latest:
            raise click.UsageError("--no-traffic needs a service that is ready; deploy it without first")
        traffic = [
            replace(t, latest_revision=False, revision_name=t.revision_name or latest) for t in traffic
        ]
    if changes.tag:
        kept = [t for t in traffic if t.tag != changes.tag or t.percent]
        traffic = [*kept, TrafficTarget(tag=changes.tag, revision_name=name, percent=0)]
    metadata = replace(metadata, annotations={**metadata.annotations, **on_service})
    return replace(service, metadata=metadata, spec=replace(service.spec, template=template, traffic=traffic))


def _changed_container(container: Container, changes: Changes) -> Container:
    env = {e.name: e.value for e in container.env} | dict(changes.env)
    limits = dict(container.resources.limits) if container.resources else {}
    limits |= {k: v for k, v in (("cpu", changes.cpu), ("memory", changes.memory)) if v}
    resources = replace(container.resources or ResourceRequirements(), limits=limits)
    return replace(
        container,
        image=changes.image or container.image,
        env=[EnvVar(name=k, value=v) for k, v in env.items()],
        ports=[ContainerPort(container_port=changes.port)] if changes.port else container.ports,
        command=list(changes.command) or container.command,
        args=list(changes.args) or container.args,
        resources=resources if resources != ResourceRequirements() else None,
    )


def _or(new: int | None, old: int | None) -> int | None:
    return old if new is None else new


def changed_traffic(
    service: Service, percents: Mapping[str, str], tags: Mapping[str, str], latest: bool
) -> list[TrafficTarget]:
    """A Service's traffic after `minirun traffic`.

    Args:
        percents: revision (or LATEST) -> percent; empty keeps the split. The API checks their sum.
        tags: tag -> revision, or "" to take the tag away; other tags stay.
        latest: everything goes to the latest ready revision.
    """
    if latest and percents:
        raise click.UsageError("--latest and --to are given, only one of them can be")
    split = [t for t in service.spec.traffic if t.percent]
    if latest or percents:
        split = [_target(r, p) for r, p in ({"LATEST": "100"} if latest else percents).items()]
    kept = {t.tag: t for t in service.spec.traffic if t.tag}
    tagged = {t: replace(target, percent=None) for t, target in kept.items()}
    tagged |= {tag: replace(_target(r, ""), tag=tag) for tag, r in tags.items() if r}
    for tag in [t for t, revision in tags.items() if not revision]:
        tagged.pop(tag, None)
    return [*(replace(t, tag="") for t in split), *tagged.values()]


def _target(revision: str, percent: str) -> TrafficTarget:
    if percent and not percent.isdigit():
        raise click.UsageError(f"{percent!r} is no percentage; give a whole number, as in --to REV=20")
    number = int(percent) if percent else None
    if revision.upper().lstrip("@") == "LATEST":
        return TrafficTarget(latest_revision=True, percent=number)
    return TrafficTarget(revision_name=revision, latest_revision=False, percent=number)


def update(client: Client, namespace: str, name: str, changes: Changes) -> Service:
    """Creates or changes a Service; done anew when somebody else changed it meanwhile."""
    now = rfc3339(SystemClock().unix_ns())
    while True:
        old = client.find(Service, namespace, name)
        if not (old or changes.image):
            raise click.UsageError(f"service {name} is new: give --image REF or --source DIR")
        service = old or Service(metadata=ObjectMeta(name=name, namespace=namespace))
        service = changed_service(service, changes, now)
        try:
            return client.replace(Service, service) if old else client.create(Service, namespace, service)
        except ApiError as error:
            if error.reason not in ("Conflict", "AlreadyExists"):
                raise


@click.command()
@click.argument("name")
@click.option("--image", help="Image to run: a sample (hello, sleep, ...), a built one, or NAME@DIGEST.")
@click.option("--source", type=click.Path(exists=True, file_okay=False), help="Folder to build and run.")
@click.option("--env", multiple=True, callback=pairs, metavar="K=V", help="Environment variable.")
@click.option("--concurrency", "concurrency", type=int, help="Requests an instance takes at once (0: any).")
@click.option("--min", "min_scale", type=int, help="Instances that are always there.")
@click.option("--max", "max_scale", type=int, help="Instances at most.")
@click.option("--timeout", "timeout_seconds", type=int, help="Seconds a request may take.")
@click.option("--annotation", "annotations", multiple=True, callback=pairs, metavar="K=V", help="Annotation.")
@click.option("--cpu", help="CPU limit, as 500m or 2.")
@click.option("--memory", help="Memory limit, as 256Mi.")
@click.option("--port", type=int, help="Port on which the container listens.")
@click.option("--command", multiple=True, help="Replaces the image's command; once for each word.")
@click.option("--args", multiple=True, help="Replaces the image's arguments; once for each word.")
@click.option("--no-traffic", is_flag=True, help="Traffic stays where it is.")
@click.option("--tag", help="Gives the new revision a URL of its own.")
@click.option("--wait/--no-wait", default=True, help="Wait until it is ready (default).")
@click.option("--wait-timeout", default=600, show_default=True, help="Seconds to wait.")
@api_options
def deploy(
    name: str,
    source: str | None,
    wait: bool,
    wait_timeout: int,
    namespace: str,
    output: Output,
    **options: object,
) -> None:
    """What is not given stays as it is; a new service needs --image or --source."""
    client = connect()
    if source:
        from minirun.cli.images import build_image

        built = build_image(client, source, f"{name}:latest")
        options["image"] = f"{name}@{built.spec.digest}"
    service = update(client, namespace, name, Changes(**options))  # type: ignore[arg-type]
    finish(client, service, wait, wait_timeout, output)


@click.command()
@click.argument("name")
@click.option("--to", "percents", multiple=True, callback=pairs, metavar="REV=PERCENT", help="Share.")
@click.option("--tag", "tags", multiple=True, callback=pairs, metavar="T=REV", help="Tag; T= takes it away.")
@click.option("--latest", is_flag=True, help="Everything to the latest ready revision.")
@click.option("--wait/--no-wait", default=True, help="Wait until it is routed (default).")
@click.option("--wait-timeout", default=600, show_default=True, help="Seconds to wait.")
@api_options
def traffic(
    name: str,
    percents: dict[str, str],
    tags: dict[str, str],
    latest: bool,
    wait: bool,
    wait_timeout: int,
    namespace: str,
    output: Output,
) -> None:
    """Tags that are not named stay, and so does the split if none is given."""
    client = connect()
    service = client.get(Service, namespace, name)
    targets = changed_traffic(service, percents, tags, latest)
    patch = {"spec": {"traffic": targets}}
    finish(client, client.patch(Service, namespace, name, patch), wait, wait_timeout, output)


def finish(client: Client, service: Service, wait: bool, timeout_seconds: float, output: Output) -> None:
    """Waits if it shall, and says what was reached."""
    if wait:
        service = wait_ready(client, service, timeout_seconds)
    if output != "table":
        click.echo(dump(service, output))
        return
    status = service.status
    revision = client.find(Revision, service.metadata.namespace, status.latest_created_revision_name)
    if revision is not None and (about := revision.metadata.annotations.get(IMAGE_NOTE_ANNOTATION)):
        note(f"  {about}")
    for target in status.traffic:
        tag = f"  {target.tag}: {target.url}" if target.tag else ""
        note(f"  {target.percent or 0:3d} % {target.revision_name}{tag}")
    click.echo(f"{service.metadata.name} {'is ready at' if wait else 'was accepted;'} {status.url}")
