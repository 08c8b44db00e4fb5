"""`minirun services|revisions|images`: list, describe and delete, from one table of columns."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import click

from minirun.cli.client import SERVICE_LABEL, Client
from minirun.cli.common import Output, age, api_options, connect, dump, formatted, print_table, show
from minirun.model.conditions import READY, find, status_of
from minirun.model.meta import Condition, Resource
from minirun.model.resources import Image, Revision, Service

R = TypeVar("R", Service, Revision)
Columns = Mapping[str, Callable[[R], object]]


def _reason(conditions: list[Condition]) -> str:
    ready = find(conditions, READY)
    return ready.reason if ready else ""


def _replicas(revision: Revision) -> str:
    return f"{revision.status.actual_replicas or 0}/{revision.status.desired_replicas or 0}"


SERVICE_COLUMNS: Columns[Service] = {
    "NAME": lambda s: s.metadata.name,
    "URL": lambda s: s.status.url,
    "LATEST": lambda s: s.status.latest_ready_revision_name,
    "READY": lambda s: status_of(s.status.conditions),
    "REASON": lambda s: _reason(s.status.conditions),
    "AGE": age,
}
REVISION_COLUMNS: Columns[Revision] = {
    "NAME": lambda r: r.metadata.name,
    "SERVICE": lambda r: r.metadata.labels.get(SERVICE_LABEL, ""),
    "INSTANCES": _replicas,
    "READY": lambda r: status_of(r.status.conditions),
    "REASON": lambda r: _reason(r.status.conditions),
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
    print_table(("\nCONDITION", "STATUS", "REASON", "MESSAGE"), rows)
    if isinstance(item, Service):
        shares = [(f"{t.percent or 0} %", t.revision_name, t.tag, t.url) for t in item.status.traffic]
        print_table(("\nTRAFFIC", "REVISION", "TAG", "URL"), shares)
    spec = item.spec.template.spec if isinstance(item, Service) else item.spec
    click.echo("\n" + dump(spec, "yaml"))


def _group(type_: type[R], plural: str, columns: Columns[R]) -> click.Group:
    """The commands of one kind."""
    word = plural.removesuffix("s")
    example = f"minirun {plural}"

    @click.group(name=plural, help=f"List, describe and delete {plural}.\n\n\b\nExample:\n  {example} list")
    def group() -> None: ...

    @group.command("list", help=f"List {plural}.\n\n\b\nExample:\n  {example} list -o json")
    @api_options
    def list_(namespace: str, output: Output) -> None:
        show(connect().list(type_, namespace), output, columns)

    @group.command(help=f"Show a {word}: its conditions and why.\n\n\b\nExample:\n  {example} describe hello")
    @click.argument("name")
    @api_options
    def describe(name: str, namespace: str, output: Output) -> None:
        item = connect().get(type_, namespace, name)
        show([item], output, columns, one=True)
        if output == "table":
            describe_text(item)

    @group.command(
        help=f"Delete {plural}, wait until they are gone.\n\n\b\nExample:\n  {example} delete hello"
    )
    @click.argument("names", nargs=-1, required=True)
    @click.option("--wait/--no-wait", default=True, help="Wait until it is gone (default).")
    @api_options
    def delete(names: tuple[str, ...], wait: bool, namespace: str, output: Output) -> None:
        client = connect()
        for name in names:
            delete_object(client, type_, namespace, name, wait)
            click.echo(f"{word} {name} is deleted")

    return group


def delete_object(client: Client, type_: type[Resource], namespace: str, name: str, wait: bool) -> None:
    """Deletes an object; waits until it is gone if it shall. Raises ApiError."""
    version = client.get(type_, namespace, name).metadata.resource_version
    client.delete(type_, namespace, name)
    if wait:
        for change in client.watch(type_, namespace, name=name, since=version):
            if change.type == "DELETED":
                return
        raise click.ClickException(f"{name} is still being deleted; look again later")


services = _group(Service, "services", SERVICE_COLUMNS)
revisions = _group(Revision, "revisions", REVISION_COLUMNS)


@click.group()
def images() -> None:
    """List and remove built images.

    \b
    Example:
      minirun images list
    """


@images.command("list")
@formatted
def list_images(output: Output) -> None:
    """List images.

    \b
    Example:
      minirun images list -o json
    """
    show(connect().list(Image, ""), output, IMAGE_COLUMNS)


@images.command()
@click.argument("references", nargs=-1, required=True)
@formatted
def rm(references: tuple[str, ...], output: Output) -> None:
    """Remove images that no revision uses.

    \b
    Example:
      minirun images rm web:v1
    """
    client = connect()
    there = {key: i for i in client.list(Image, "") for key in (i.spec.digest, i.spec.reference)}
    for reference in references:
        image = there.get(reference) or there.get(f"{reference}:latest")
        if image is None:
            raise click.ClickException(f"no image {reference}; `minirun images list` shows what is there")
        client.delete(Image, "", image.metadata.name)
        click.echo(f"image {reference} is removed")
