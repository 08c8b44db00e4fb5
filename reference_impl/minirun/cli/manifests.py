"""`minirun apply` and `minirun export`: Services and the like as YAML, in and out.

Applying is kubectl's client-side apply: what was applied last is kept in an annotation, so a field that the
file no longer has is taken away, and a field that only the server set stays (`three_way_patch`).
"""

from collections.abc import Mapping
from pathlib import Path

import click
import msgspec

from minirun.cli.client import Client, kind_of
from minirun.cli.common import Output, api_options, connect, dump, namespaced, show, wait_ready
from minirun.model.labels import CREATOR, LAST_APPLIED, LAST_MODIFIER
from minirun.model.manifests import Document, read_documents
from minirun.model.meta import ObjectMeta, Resource, replace
from minirun.model.resources import KINDS, Service

SERVER_MADE = (CREATOR, LAST_MODIFIER, LAST_APPLIED)
CLIENT_MADE = "client.knative.dev/"

YAML_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


def three_way_patch(last: Mapping[str, object], new: Mapping[str, object]) -> Document:
    """The merge patch (RFC 7396) to `new` that deletes what `last` had and `new` has not."""
    patch: Document = {**dict.fromkeys(last), **new}
    for key, value in new.items():
        if isinstance(value, dict):
            before = last.get(key)
            patch[key] = three_way_patch(before if isinstance(before, dict) else {}, value)
    return patch


def documents(path: Path) -> list[Document]:
    """The objects of a YAML (or JSON) file; a `List` is what it holds.

    Raises:
        ClickException: not YAML, or a document that is no object.
    """
    try:
        with click.open_file(str(path), encoding="utf-8") as file:
            return read_documents(file.read())
    except ValueError as error:
        raise click.ClickException(f"{path} {error}") from None


def apply_document(client: Client, document: Document, namespace: str) -> tuple[Resource, str]:
    """Creates or patches one object; the result, and the word for what was done. Raises ApiError."""
    type_ = kind_of(str(document["apiVersion"]), str(document["kind"]))
    if type_ is None:
        what = f"{document['apiVersion']} {document['kind']}"
        known = ", ".join(f"{row.api_version} {row.kind}" for row in KINDS if not row.read_only)
        raise click.ClickException(f"{what} is no kind here; known are {known}")
    metadata = document.setdefault("metadata", {})
    if not (isinstance(metadata, dict) and isinstance(metadata.get("name"), str)):
        raise click.ClickException(f"a {document['kind']} has no metadata.name; give it one")
    document.pop("status", None)
    namespace, name = str(metadata.get("namespace") or namespace), metadata["name"]
    applied = msgspec.json.encode(document).decode()
    old = client.find(type_, namespace, name)
    metadata["annotations"] = {**(metadata.get("annotations") or {}), LAST_APPLIED: applied}
    if old is None:
        return client.create(type_, namespace, document), "created"
    before = msgspec.json.decode(old.metadata.annotations.get(LAST_APPLIED, "{}"), type=Document)
    new = client.patch(type_, namespace, name, three_way_patch(before, document))
    same = new.metadata.generation == old.metadata.generation
    return new, "unchanged" if same else "configured"


@click.command()
@click.option("-f", "--filename", type=YAML_FILE, required=True, help="File, or -.")
@click.option("--wait/--no-wait", default=True, help="Wait until services are ready (default).")
@click.option("--wait-timeout", default=600, show_default=True, help="Seconds to wait.")
@api_options
def apply(filename: Path, wait: bool, wait_timeout: int, namespace: str, output: Output) -> None:
    """What an earlier apply set and the file no longer has is taken away."""
    client = connect()
    done = [apply_document(client, document, namespace) for document in documents(filename)]
    items: list[Resource] = []
    for item, verb in done:
        items.append(wait_ready(client, item, wait_timeout) if wait and isinstance(item, Service) else item)
        if output == "table":
            click.echo(f"{item.kind} {item.metadata.name} {verb}")
    if output != "table":
        show(items, output, {}, one=len(items) == 1)


def portable(service: Service) -> Document:
    """The Service as somebody would have written it: no status, nothing that a server or client filled in.

    Elsewhere there will be one revision, the latest: traffic that names others, and its name, are left out.
    """
    template = service.spec.template
    template = replace(template, metadata=replace(_own(template.metadata), name=""))
    only_latest = all(target.latest_revision for target in service.spec.traffic)
    spec = replace(service.spec, template=template, traffic=service.spec.traffic if only_latest else [])
    document: Document = msgspec.to_builtins(replace(service, metadata=_own(service.metadata), spec=spec))
    del document["status"]
    return document


def _own(metadata: ObjectMeta) -> ObjectMeta:
    kept = {
        key: value
        for key, value in metadata.annotations.items()
        if key not in SERVER_MADE and not key.startswith(CLIENT_MADE)
    }
    return ObjectMeta(name=metadata.name, labels=metadata.labels, annotations=kept)


@click.command()
@click.argument("name")
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@namespaced
def export(name: str, namespace: str, output: Output) -> None:
    """Without what a server filled in, and without traffic that names revisions: elsewhere there are none."""
    click.echo(dump(portable(connect().get(Service, namespace, name)), output))
