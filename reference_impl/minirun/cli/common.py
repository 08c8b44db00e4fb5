"""What all commands share: options, tables, and waiting for an object to become Ready, told as it goes."""

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Literal, TypeVar

import click
import msgspec

from minirun.cli.client import Client
from minirun.model.conditions import FALSE, READY, TRUE, find, status_of
from minirun.model.durations import human_duration
from minirun.model.meta import Resource, unix_seconds, with_meta
from minirun.model.resources import Service

Output = Literal["table", "json", "yaml"]
C = TypeVar("C", bound=Callable[..., object])

RECOVERY_SECONDS = 2.0  # a Service that is not Ready gets this long to recover, as in kn

namespaced = click.option("-n", "--namespace", default="default", show_default=True, help="Namespace.")
formatted = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json", "yaml"]),
    default="table",
    show_default=True,
    help="Format of the output.",
)


def api_options(command: C) -> C:
    """--namespace and --output."""
    return namespaced(formatted(command))


def connect() -> Client:
    """The client of a command; it is closed when the command ends."""
    return click.get_current_context().with_resource(Client())


def pairs(_: click.Context, __: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    """Callback of options that are given as KEY=VALUE, many times."""
    for text in values:
        if text.find("=") < 1:
            raise click.BadParameter(f"{text!r} is given, KEY=VALUE is expected, as in --env COLOR=green")
    return dict(text.split("=", 1) for text in values)


def dump(value: object, output: Output) -> str:
    """JSON or YAML text of plain values."""
    if output == "json":
        return msgspec.json.format(msgspec.json.encode(value)).decode()
    import yaml

    return str(yaml.safe_dump(msgspec.to_builtins(value), sort_keys=False)).rstrip()


def show(
    items: Sequence[Resource], output: Output, columns: Mapping[str, Callable[..., object]], one: bool = False
) -> None:
    """Prints objects: `columns` (heading -> cell of an object) as a table, or the objects themselves.

    Who owns which field is left out, as kubectl leaves it out.
    """
    items = [with_meta(item, managed_fields=[]) for item in items]
    if output == "table":
        print_table(list(columns), [[cell(item) for cell in columns.values()] for item in items])
    elif one:
        click.echo(dump(items[0], output))
    else:
        click.echo(dump({"apiVersion": "v1", "kind": "List", "items": list(items)}, output))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Aligned columns, never cut: they can be piped into other tools."""
    cells = [[str(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        click.echo("   ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())


def age(item: Resource) -> str:
    """How long an object has been there, as kubectl writes it."""
    if not item.metadata.creation_timestamp:
        return ""
    return human_duration(int(time.time()) - unix_seconds(item.metadata.creation_timestamp))


def pending(service: Service) -> str:
    """Which condition keeps a Service from being Ready, and why; empty when it is Ready."""
    status = service.status
    if status.observed_generation != service.metadata.generation:
        return "waiting for the platform to see the change"
    for condition in status.conditions:
        if condition.type != READY and condition.status != TRUE:
            why = ": ".join(filter(None, (condition.reason, condition.message)))
            return f"{condition.type} is {condition.status}" + (f" ({why})" if why else "")
    return "" if status_of(status.conditions) == TRUE else "waiting for conditions"


def progress(reason: str) -> None:
    """Tells what a command waits for."""
    note(f"  ... {reason}")


def wait_ready(
    client: Client, service: Service, timeout_seconds: float, say: Callable[[str], object] = progress
) -> Service:
    """Waits until a Service is Ready; `say` hears which condition is pending whenever that changes.

    Raises:
        ClickException: it failed, and did not recover within `RECOVERY_SECONDS`, or the time was over.
    """
    deadline = time.monotonic() + timeout_seconds
    failing_until: float | None = None
    name, said = service.metadata.name, ""
    while reason := pending(service):
        if reason != said:
            say(reason)
            said = reason
        settled = service.status.observed_generation == service.metadata.generation
        failed = settled and status_of(service.status.conditions) == FALSE
        failing_until = (failing_until or time.monotonic() + RECOVERY_SECONDS) if failed else None
        until = min(deadline, failing_until or deadline)
        with closing(
            client.watch(
                Service,
                service.metadata.namespace,
                name=name,
                since=service.metadata.resource_version,
                timeout_seconds=max(0.01, until - time.monotonic()),
            )
        ) as changes:
            change = next(changes, None)
        if change is not None and change.type == "DELETED":
            raise click.ClickException(f"service {name} was deleted meanwhile")
        if change is not None:
            service = change.object
        elif failing_until is not None:
            ready = find(service.status.conditions, READY)
            why = ready and (ready.message or ready.reason)
            raise click.ClickException(f"service {name} failed: {why}")
        elif time.monotonic() >= deadline:
            raise click.ClickException(
                f"service {name} is not ready after {timeout_seconds:.0f} s: {reason}; "
                "it may still become so, see `minirun services describe`"
            )
    return service


def note(text: str) -> None:
    """A line of progress for people, beside the output proper."""
    click.echo(text, file=sys.stderr)
