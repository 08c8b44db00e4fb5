"""`minirun build`: a folder becomes an image. The folder travels as a tar.gz in the Image that is created."""

import base64
import io
import tarfile
from pathlib import Path

import click
import msgspec

from minirun.cli.client import Client, builtins
from minirun.cli.common import Output, connect, dump, formatted, note
from minirun.model.resources import Image

LEFT_OUT = frozenset((".git", ".venv", "__pycache__", "node_modules", ".mypy_cache", ".pytest_cache"))


def archive(folder: Path) -> bytes:
    """The folder as tar.gz, without what a build ignores anyway."""

    def kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if LEFT_OUT & set(Path(member.name).parts) else member

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(folder, arcname=".", filter=kept)
    return buffer.getvalue()


def build_image(client: Client, folder: str, reference: str) -> Image:
    """Builds `folder` on the platform as image `reference`; raises ApiError with the build's sentence."""
    note(f"building {folder} as {reference} ...")
    spec = {"reference": reference, "archive": base64.b64encode(archive(Path(folder))).decode()}
    body = {"apiVersion": "minirun.dev/v1", "kind": "Image", "spec": spec}
    return client.create(Image, "", msgspec.to_builtins(body))


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.option("-t", "--tag", "reference", required=True, metavar="REF", help="Name of the image, NAME[:TAG].")
@formatted
def build(folder: str, reference: str, output: Output) -> None:
    """Build an image from a folder: its Procfile, minirun.toml or main.py says how it starts.

    \b
    Example:
      minirun build ./web -t web:v2
    """
    image = build_image(connect(), folder, reference)
    if output != "table":
        click.echo(dump(builtins(image), output))
    else:
        click.echo(f"{image.spec.reference} is {image.spec.digest} ({image.spec.size_bytes:,} bytes)")
