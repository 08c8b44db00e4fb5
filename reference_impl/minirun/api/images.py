"""Images as the kind Image of minirun.dev/v1: list, get, delete, and create, which builds.

The body of a POST carries `spec.reference` and `spec.archive`, the source folder as a base64 tar.gz. It is
unpacked into a folder of its own with tarfile's data filter (no absolute paths, no links or devices that lead
out of it), built, and answered with 201 when the image is there. Counterpart: `gcloud run deploy --source`
with Cloud Build, and Artifact Registry's list.
"""

import asyncio
import io
import re
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from minirun.api.bodies import read_body
from minirun.api.requests import is_true, json_response
from minirun.api.status import StatusError, details_of, not_found, success
from minirun.images.bundle import Image as Bundle
from minirun.images.engine_images import EngineImage
from minirun.images.references import parse_reference
from minirun.images.source import BuildError
from minirun.model.meta import ObjectMeta
from minirun.model.resources import KIND_OF, Image, ImageSpec

ARCHIVE_LIMIT: Final = 100 << 20
UNPACKED_LIMIT: Final = 500 << 20
_KIND: Final = KIND_OF[Image]


class Images(Protocol):
    """What is asked of the images room."""

    def list(self) -> Iterable[Bundle | EngineImage]: ...
    def remove(self, reference: str) -> None:
        """Raises ValueError when it has to stay."""
        ...

    async def build(self, folder: Path, reference: str) -> Bundle | EngineImage: ...


class _BuildSpec(msgspec.Struct, frozen=True):
    reference: str
    archive: bytes  # msgspec decodes base64


class _BuildBody(msgspec.Struct, frozen=True):
    spec: _BuildSpec


class ImagesAPI:
    """The addresses /apis/minirun.dev/v1/images[/NAME]."""

    def __init__(self, images: Images) -> None:
        self._images = images

    async def handle(self, request: Request, name: str) -> Response:
        """Answers one request. Raises StatusError."""
        if request.method == "POST" and not name:
            return await self._build(request)
        there = {image.metadata.name: image for image in map(to_resource, self._images.list())}
        if request.method == "GET" and not name:
            if is_true(request.query_params, "watch"):
                raise StatusError(405, "images are not watched; list them again instead")
            body = {"kind": "ImageList", "apiVersion": _KIND.api_version, "metadata": {}}
            return json_response(body | {"items": list(there.values())})
        if request.method not in ("GET", "DELETE") or not name:
            raise StatusError(405, "images are listed, read, deleted, and built with POST; nothing else")
        if name not in there:
            raise not_found(_KIND, name)
        if request.method == "GET":
            return json_response(there[name])
        try:
            self._images.remove(there[name].spec.reference)
        except ValueError as error:
            raise StatusError(409, str(error), details_of(_KIND, name)) from None
        return json_response(success(details_of(_KIND, name)))

    async def _build(self, request: Request) -> Response:
        try:
            body = await read_body(request, ARCHIVE_LIMIT * 4 // 3)
            wanted = msgspec.json.decode(body, type=_BuildBody).spec
            parse_reference(wanted.reference)
            with tempfile.TemporaryDirectory(prefix="minirun-source-") as place:
                await asyncio.to_thread(unpack, wanted.archive, Path(place))
                built = await self._images.build(Path(place), wanted.reference)
        except (msgspec.DecodeError, ValueError) as error:
            raise StatusError(400, f"the body is no Image to build: {error}") from None
        except BuildError as error:
            raise StatusError(422, str(error).replace(place, "the source")) from None
        return json_response(to_resource(built), 201)


def to_resource(image: Bundle | EngineImage) -> Image:
    """An image as clients see it; the name is the reference with what no name may have replaced."""
    reference = str(parse_reference(image.reference))
    name = re.sub(r"[^a-z0-9.]+", "-", reference.lower())
    spec = ImageSpec(reference, image.digest, image.size_bytes, list(image.command), image.note)
    return Image(metadata=ObjectMeta(name=name, creation_timestamp=image.created), spec=spec)


def unpack(archive: bytes, target: Path) -> None:
    """Unpacks a tar.gz into a folder. Raises ValueError: no archive, one that leads out, or too large."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            total = 0
            for member in tar:
                total += member.size
                if total > UNPACKED_LIMIT:
                    raise ValueError(f"unpacked, the source is larger than {UNPACKED_LIMIT >> 20} MiB")
                tar.extract(member, target, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"spec.archive can't be unpacked: {error}") from None
