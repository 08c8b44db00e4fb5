"""Images over the API: built from an archive, listed, deleted; archives that reach outside are refused."""

import base64
import io
import tarfile
from pathlib import Path
from typing import Any

import httpx
import pytest

IMAGES = "/apis/minirun.dev/v1/images"


def archive(*files: tuple[str, bytes], link: tuple[str, str] | None = None) -> str:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        if link:
            member = tarfile.TarInfo(link[0])
            member.type, member.linkname = tarfile.SYMTYPE, link[1]
            tar.addfile(member)
    return base64.b64encode(buffer.getvalue()).decode()


def image(reference: str, archived: str) -> dict[str, Any]:
    spec = {"reference": reference, "archive": archived}
    return {"apiVersion": "minirun.dev/v1", "kind": "Image", "spec": spec}


async def test_an_image_is_built_listed_read_and_deleted(client: httpx.AsyncClient) -> None:
    answer = await client.post(IMAGES, json=image("team/web:v2", archive(("main.py", b"print(1)"))))
    built = answer.json()
    assert answer.status_code == 201, built
    assert built["metadata"]["name"] == "team-web-v2"
    assert built["spec"]["reference"] == "team/web:v2"
    assert built["spec"]["command"] == ["python", "main.py"]
    assert built["spec"]["digest"].startswith("sha256:")
    listed = (await client.get(IMAGES)).json()
    assert listed["kind"] == "ImageList"
    assert built in listed["items"]
    assert (await client.get(f"{IMAGES}/team-web-v2")).json() == built
    assert (await client.delete(f"{IMAGES}/team-web-v2")).json()["status"] == "Success"
    missing = await client.get(f"{IMAGES}/team-web-v2")
    assert missing.json()["message"] == 'images.minirun.dev "team-web-v2" not found'


async def test_a_folder_that_can_not_start_is_422_with_the_builds_sentence(client: httpx.AsyncClient) -> None:
    answer = await client.post(IMAGES, json=image("web", archive(("readme.txt", b""))))
    assert answer.status_code == 422
    assert answer.json()["message"].startswith("the source has no Procfile, minirun.toml, main.py")


@pytest.mark.parametrize(
    ("archived", "sentence"),
    [
        (archive(("../outside.py", b"")), "spec.archive can't be unpacked"),
        (archive(("main.py", b""), link=("etc", "/etc")), "spec.archive can't be unpacked"),
        (base64.b64encode(b"no archive").decode(), "spec.archive can't be unpacked"),
        ("%%%", "the body is no Image to build"),
    ],
    ids=["a path that leads out", "a link that leads out", "no archive", "no base64"],
)
async def test_an_archive_that_is_not_safe_is_refused(
    client: httpx.AsyncClient, tmp_path: Path, archived: str, sentence: str
) -> None:
    answer = await client.post(IMAGES, json=image("web", archived))
    assert answer.status_code == 400
    assert sentence in answer.json()["message"]


async def test_an_archive_that_unpacks_to_too_much_is_refused(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minirun.api.images.UNPACKED_LIMIT", 1 << 20)
    answer = await client.post(IMAGES, json=image("web", archive(("main.py", b" " * (2 << 20)))))
    assert answer.status_code == 400
    assert "unpacked, the source is larger than 1 MiB" in answer.json()["message"]


async def test_a_malformed_reference_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post(IMAGES, json=image("Not A Name", archive(("main.py", b""))))
    assert answer.status_code == 400


async def test_a_sample_stays(client: httpx.AsyncClient) -> None:
    samples = [i["metadata"]["name"] for i in (await client.get(IMAGES)).json()["items"]]
    answer = await client.delete(f"{IMAGES}/{samples[0]}")
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")


async def test_images_are_not_changed(client: httpx.AsyncClient) -> None:
    answer = await client.put(f"{IMAGES}/x", json={})
    assert answer.status_code == 405
