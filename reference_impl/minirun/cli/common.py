"""What all commands share: options, tables, and waiting for an object to become Ready, told as it goes."""

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Literal, TypeVar

import click
import msgspec

from minirun.cli.client import Client, builtins
from minirun.model.conditions import FALSE, READY, TRUE, find, status_of
from minirun.model.meta import Resource, unix_seconds
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
    split = {key: (equals, value) for key, equals, value in (text.partition("=") for text in values)}
    for key, (equals, _value) in split.items():
        if not (key and equals):
            raise click.BadParameter(f"{key!r} is given, KEY=VALUE is expected, as in --env COLOR=green")
    return {key: value for key, (_, value) in split.items()}


def dump(value: object, output: Output) -> str:
    """JSON or YAML text of plain values."""
    if output == "json":
        return msgspec.json.format(msgspec.json.encode(value)).decode()
    import yaml

    return str(yaml.safe_dump(msgspec.to_builtins(value), sort_keys=False)).rstrip()


def show(
    items: Sequence[Resource], output: Output, columns: Mapping[str, Callable[..., object]], one: bool = False
) -> None:
    """Prints objects: `columns` (heading -> cell of an object) as a table, or the objects themselves."""
    if output == "table":
        print_table(list(columns), [[cell(item) for cell in columns.values()] for item in items])
    elif one:
        click.echo(dump(builtins(items[0]), output))
    else:
        click.echo(dump({"apiVersion": "v1", "kind": "List", "items": [builtins(i) for i in items]}, output))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Aligned columns, never cut: they can be piped into other tools."""
    cells = [[str(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        click.echo("   ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())


def age(item: Resource) -> str:
    """How long an object has been there, as kubectl writes it: 61s, 5m, 3h, 2d."""
    if not item.metadata.creation_timestamp:
        return ""
    seconds = max(0, int(datetime.now(UTC).timestamp()) - unix_seconds(item.metadata.creation_timestamp))
    for unit, size, below in (("s", 1, 120), ("m", 60, 7200), ("h", 3600, 172_800)):
        if seconds < below:
            return f"{seconds // size}{unit}"
    return f"{seconds // 86_400}d"


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


def wait_ready(
    client: Client, service: Service, timeout_seconds: float, say: Callable[[str], None]
) -> Service:
    """Waits until a Service is Ready; `say` hears which condition is pending whenever that changes.

    Raises:
        ClickException: it failed, and did not recover within `RECOVERY_SECONDS`, or the time was over.
    """
    deadline = time.monotonic() + timeout_seconds
    failing_until: float | None = None
    said = ""
    while True:
        reason = pending(service)
        if not reason:
            return service
        if reason != said:
            say(reason)
            said = reason
        settled = service.status.observed_generation == service.metadata.generation
        failed = settled and status_of(service.status.conditions) == FALSE
        failing_until = (failing_until or time.monotonic() + RECOVERY_SECONDS) if failed else None
        until = min(deadline, failing_until or deadline)
        change = _next_change(client, service, until - time.monotonic())
        if change is not None:
            service = change
        elif failing_until is not None:
            ready = find(service.status.conditions, READY)
            why = ready and (ready.message or ready.reason)
            raise click.ClickException(f"service {service.metadata.name} failed: {why}")
        elif time.monotonic() >= deadline:
            raise click.ClickException(
                f"service {service.metadata.name} is not ready after {timeout_seconds:.0f} s: {reason}; "
                "it may still become so, see `minirun services describe`"
            )


def _next_change(client: Client, service: Service, timeout_seconds: float) -> Service | None:
    """The next state of a Service, or None if nothing changes in time."""
    if timeout_seconds <= 0:
        return None
    meta = service.metadata
    watch = client.watch(
        Service, meta.namespace, name=meta.name, since=meta.resource_version, timeout_seconds=timeout_seconds
    )
    with closing(watch):
        change = next(watch, None)
    if change is not None and change.type == "DELETED":
        raise click.ClickException(f"service {meta.name} was deleted meanwhile")
    return change.object if change is not None and isinstance(change.object, Service) else None


def note(text: str) -> None:
    """A line of progress for people, beside the output proper."""
    click.echo(text, file=sys.stderr)
