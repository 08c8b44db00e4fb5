"""`minirun logs`, `invoke` and `top`: what services print, answer and do."""

import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import click

from minirun.cli.client import LOOPBACK, LogObject
from minirun.cli.common import Output, api_options, connect, dump, namespaced, print_table
from minirun.model.labels import REVISION, SERVICE
from minirun.model.resources import Service

if TYPE_CHECKING:
    from rich.table import Table

FOLLOW_SECONDS = 30 * 86_400.0  # without a line; then `logs -f` ends


@click.command()
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is printed from now on.")
@click.option("--revision", help="Only of this revision.")
@click.option("--tail", type=int, default=100, show_default=True, help="The last so many entries.")
@api_options
def logs(name: str, follow: bool, revision: str | None, tail: int, namespace: str, output: Output) -> None:
    """An entry a line: its time, its severity if it has one, its text."""
    client = connect()
    client.get(Service, namespace, name)
    labels = {SERVICE: name} | ({REVISION: revision} if revision else {})
    if not follow:
        _print_entries(client.list(LogObject, namespace, labels, tailLines=str(tail)), output)
        return
    for change in client.watch(
        LogObject, namespace, labels=labels, timeout_seconds=FOLLOW_SECONDS, tailLines=str(tail)
    ):
        _print_entries([change.object], output)


def _print_entries(entries: Iterable[LogObject], output: Output) -> None:
    for entry in entries:
        if output != "table":
            click.echo("---\n" * (output == "yaml") + dump(entry, output))
            continue
        text = entry.message
        if entry.json_payload is not None and not text:
            text = str(entry.json_payload.get("message", entry.json_payload))
        severity = "" if entry.severity == "DEFAULT" else f"{entry.severity} "
        click.echo(f"{entry.timestamp} {severity}{text}")


@click.command()
@click.argument("name")
@click.argument("path", default="/")
@click.option("-X", "--request", "method", help="Method; GET, or POST with --data.")
@click.option("-d", "--data", help="Body; @FILE reads a file, @- the input.")
@click.option("-H", "--header", "headers", multiple=True, metavar="NAME:VALUE", help="A header.")
@click.option("--tag", help="Ask the revision with this tag.")
@click.option("--identity", is_flag=True, help="Show an ID token of the project's owner (private services).")
@namespaced
def invoke(
    name: str,
    path: str,
    method: str | None,
    data: str | None,
    headers: tuple[str, ...],
    tag: str | None,
    identity: bool,
    namespace: str,
) -> None:
    """The answer is printed; the status is 1 when it is an error."""
    import httpx

    client = connect()
    status = client.get(Service, namespace, name).status
    url = next((t.url for t in status.traffic if tag and t.tag == tag), "" if tag else status.url)
    if not url:
        raise click.ClickException(f"service {name} has no {f'tag {tag}' if tag else 'URL yet'}")
    address, host = reach(client.api, url)
    sent = {key.strip(): value.strip() for key, _, value in (header.partition(":") for header in headers)}
    if identity:
        sent["X-Serverless-Authorization"] = f"Bearer {client.id_token(status.url)}"
    target = address + "/" + path.lstrip("/")
    try:
        with httpx.stream(
            method or ("POST" if data is not None else "GET"),
            target,
            headers={"Host": host, **sent},
            content=_body(data),
            timeout=httpx.Timeout(30, read=None),
            trust_env=False,
        ) as answer:
            for piece in answer.iter_bytes():
                click.echo(piece, nl=False)
    except httpx.HTTPError as error:
        raise click.ClickException(f"{url} can't be reached at {address}: {error}") from None
    if answer.is_error:
        raise click.ClickException(f"{url} answered {answer.status_code} {answer.reason_phrase}")


def reach(api: str, url: str) -> tuple[str, str]:
    """Where to connect for a service's URL, and the Host header to send.

    `*.localhost` is not resolved on every system; the platform that serves it is where its API is.
    """
    parts = urlsplit(url)
    local = parts.hostname is not None and parts.hostname.endswith(".localhost")
    api_host = urlsplit(api).hostname or "127.0.0.1"
    host = api_host if local or api_host.startswith(LOOPBACK) else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or 80}", parts.netloc


def _body(data: str | None) -> bytes | None:
    if data is None or not data.startswith("@"):
        return data.encode() if data is not None else None
    try:
        with click.open_file(data[1:], "rb") as file:
            return bytes(file.read())
    except OSError as error:
        raise click.ClickException(f"{data[1:]} can't be read: {error.strerror}") from None


Owner = tuple[str, ...]  # the values of namespace_name, service_name and revision_name


class Figures(NamedTuple):
    """The samples of one scrape: whose -> metric -> sum over the other labels, 0 where there is none."""

    at: float
    values: Mapping[Owner, defaultdict[str, float]]


def figures(text: str, at: float) -> Figures:
    """The samples in `text`, Prometheus' text format, scraped at time `at` (seconds)."""
    from prometheus_client.parser import text_string_to_metric_families

    values: defaultdict[Owner, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            owner = tuple(
                sample.labels.get(f"{kind}_name", "") for kind in ("namespace", "service", "revision")
            )
            if owner[2] and "le" not in sample.labels:
                values[owner][sample.name] += sample.value
    return Figures(at, values)


TOP_COLUMNS = ("SERVICE", "REVISION", "DESIRED", "ACTUAL", "STABLE", "PANIC", "MODE", "REQUESTS/S")


def top_rows(now: Figures, before: Figures, namespace: str) -> Iterator[tuple[str, ...]]:
    """The rows of `minirun top`: a revision each, with rates since the scrape `before`."""
    for (space, service, revision), seen in sorted(now.values.items()):
        if space != namespace:
            continue
        stable, panic = (
            seen[f"autoscaler_{window}_request_concurrency"]
            or seen[f"autoscaler_{window}_requests_per_second"]
            for window in ("stable", "panic")
        )
        past = before.values.get((space, service, revision))
        requests = seen["revision_request_count"] - (past["revision_request_count"] if past else 0)
        yield (
            service,
            revision,
            f"{seen['autoscaler_desired_pods']:.0f}",
            f"{seen['autoscaler_actual_pods']:.0f}",
            f"{stable:.1f}",
            f"{panic:.1f}",
            "panic" if seen["autoscaler_panic_mode"] else "stable",
            f"{max(0.0, requests / (now.at - before.at)) if now.at > before.at else 0:.1f}",
        )


def top_table(now: Figures, before: Figures, namespace: str) -> "Table":
    """The rows as a table for a terminal."""
    from rich.table import Table

    table = Table(*TOP_COLUMNS, box=None)
    for row in top_rows(now, before, namespace):
        table.add_row(*row, style="bold red" if "panic" in row else "")
    return table


@click.command()
@click.option("--interval", default=1.0, show_default=True, help="Seconds between two looks.")
@click.option("--once", is_flag=True, help="Look once and end; so too where there is no terminal.")
@api_options
def top(interval: float, once: bool, namespace: str, output: Output) -> None:
    """Ctrl-C ends it."""
    client = connect()
    now = figures(client.metrics(), time.monotonic())
    if once or output != "table" or not sys.stdout.isatty():
        time.sleep(interval)
        before, now = now, figures(client.metrics(), time.monotonic())
        rows = list(top_rows(now, before, namespace))
        if output == "table":
            print_table(TOP_COLUMNS, rows)
        else:
            click.echo(dump([dict(zip(TOP_COLUMNS, row, strict=True)) for row in rows], output))
        return
    from rich.live import Live

    with Live(top_table(now, now, namespace), screen=True) as live:
        while True:
            time.sleep(interval)
            before, now = now, figures(client.metrics(), time.monotonic())
            live.update(top_table(now, before, namespace))
