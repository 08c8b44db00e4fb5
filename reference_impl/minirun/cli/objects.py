"""`minirun services|revisions|images`: list, describe and delete, from one table of columns."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import click

from minirun.cli.common import (
    Output,
    age,
    api_options,
    connect,
    dump,
    formatted,
    namespaced,
    print_table,
    show,
)
from minirun.cli.main import help_text
from minirun.model.conditions import READY, UNKNOWN, find
from minirun.model.labels import SERVICE
from minirun.model.meta import Condition
from minirun.model.resources import Image, Revision, Service

R = TypeVar("R", Service, Revision)
Columns = Mapping[str, Callable[[R], object]]


def _ready(item: Service | Revision) -> Condition:
    return find(item.status.conditions, READY) or Condition(type=READY, status=UNKNOWN)


SERVICE_COLUMNS: Columns[Service] = {
    "NAME": lambda s: s.metadata.name,
    "URL": lambda s: s.status.url,
    "LATEST": lambda s: s.status.latest_ready_revision_name,
    "READY": lambda s: _ready(s).status,
    "REASON": lambda s: _ready(s).reason,
    "AGE": age,
}
REVISION_COLUMNS: Columns[Revision] = {
    "NAME": lambda r: r.metadata.name,
    "SERVICE": lambda r: r.metadata.labels.get(SERVICE, ""),
    "INSTANCES": lambda r: f"{r.status.actual_replicas or 0}/{r.status.desired_replicas or 0}",
    "READY": lambda r: _ready(r).status,
    "REASON": lambda r: _ready(r).reason,
    "AGE": age,
}
IMAGE_COLUMNS: Mapping[str, Callable[[Image], object]] = {
    "REFERENCE": lambda i: i.spec.reference,
    "DIGEST": lambda i: i.spec.digest[:19],
    "SIZE": lambda i: f"{i.spec.size_bytes:,}",
    "AGE": age,
}


def describe_text(item: Service | Revision) -> None:
    """What a person asks of an object after its line in the list: why, and what it runs."""
    rows = [(c.type, c.status, c.reason, c.message) for c in item.status.conditions]
    click.echo()
    print_table(("CONDITION", "STATUS", "REASON", "MESSAGE"), rows)
    if isinstance(item, Service):
        shares = [(f"{t.percent or 0} %", t.revision_name, t.tag, t.url) for t in item.status.traffic]
        click.echo()
        print_table(("TRAFFIC", "REVISION", "TAG", "URL"), shares)
    spec = item.spec.template.spec if isinstance(item, Service) else item.spec
    click.echo("\n" + dump(spec, "yaml"))


def _group(type_: type[R], plural: str, columns: Columns[R]) -> click.Group:
    """The commands of one kind."""
    word = plural.removesuffix("s")
    group = click.Group(plural)

    @group.command("list", help=help_text(f"List {plural}.", "", f"{plural} list -o json"))
    @api_options
    def list_(namespace: str, output: Output) -> None:
        show(connect().list(type_, namespace), output, columns)

    @group.command(help=help_text(f"Show a {word}: its conditions and why.", "", f"{plural} describe hello"))
    @click.argument("name")
    @api_options
    def describe(name: str, namespace: str, output: Output) -> None:
        item = connect().get(type_, namespace, name)
        show([item], output, columns, one=True)
        if output == "table":
            describe_text(item)

    @group.command(
        help=help_text(f"Delete {plural}, wait until they are gone.", "", f"{plural} delete hello")
    )
    @click.argument("names", nargs=-1, required=True)
    @click.option("--wait/--no-wait", default=True, help="Wait until it is gone (default).")
    @namespaced
    def delete(names: tuple[str, ...], wait: bool, namespace: str) -> None:
        client = connect()
        for name in names:
            version = client.get(type_, namespace, name).metadata.resource_version
            client.delete(type_, namespace, name)
            changes = client.watch(type_, namespace, name=name, since=version) if wait else ()
            if wait and not any(change.type == "DELETED" for change in changes):
                raise click.ClickException(f"{name} is still being deleted; look again later")
            click.echo(f"{word} {name} is deleted")

    return group


services = _group(Service, "services", SERVICE_COLUMNS)
revisions = _group(Revision, "revisions", REVISION_COLUMNS)


images = click.Group("images")


@images.command("list", help=help_text("List images.", "", "images list -o json"))
@formatted
def list_images(output: Output) -> None:
    show(connect().list(Image, ""), output, IMAGE_COLUMNS)


@images.command(help=help_text("Remove images that no revision uses.", "", "images rm web:v1"))
@click.argument("references", nargs=-1, required=True)
def rm(references: tuple[str, ...]) -> None:
    client = connect()
    there = {key: i for i in client.list(Image, "") for key in (i.spec.digest, i.spec.reference)}
    for reference in references:
        image = there.get(reference) or there.get(f"{reference}:latest")
        if image is None:
            raise click.ClickException(f"no image {reference}; `minirun images list` shows what is there")
        client.delete(Image, "", image.metadata.name)
        click.echo(f"image {reference} is removed")
