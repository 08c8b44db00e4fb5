"""`minirun build`: a folder becomes an image. The folder travels as a tar.gz in the Image that is created."""

import base64
import io
import tarfile
from pathlib import Path

import click

from minirun.cli.client import Client
from minirun.cli.common import Output, connect, dump, formatted, note
from minirun.images.source import BuildError, list_files
from minirun.model.resources import Image


def archive(folder: Path) -> bytes:
    """The files that a build takes from a folder, as tar.gz. Raises BuildError."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for path in list_files(folder):
            tar.add(folder / path, arcname=str(path), recursive=False)
    return buffer.getvalue()


def build_image(client: Client, folder: str, reference: str) -> Image:
    """Builds `folder` on the platform as image `reference`; raises ApiError with the build's sentence."""
    note(f"building {folder} as {reference} ...")
    try:
        packed = base64.b64encode(archive(Path(folder))).decode()
    except BuildError as error:
        raise click.ClickException(str(error)) from None
    spec = {"reference": reference, "archive": packed}
    return client.create(Image, "", {"apiVersion": "minirun.dev/v1", "kind": "Image", "spec": spec})


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.option("-t", "--tag", "reference", required=True, metavar="REF", help="Name of the image, NAME[:TAG].")
@formatted
def build(folder: str, reference: str, output: Output) -> None:
    """Its Procfile, minirun.toml or main.py says how it starts."""
    image = build_image(connect(), folder, reference)
    if output != "table":
        click.echo(dump(image, output))
    else:
        click.echo(f"{image.spec.reference} is {image.spec.digest} ({image.spec.size_bytes:,} bytes)")
