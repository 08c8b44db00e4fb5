"""Images: from a folder to a content-addressed bundle, by name and by digest."""

import asyncio
import json
import os
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun.images.builder import build
from minirun.images.bundle import BundleStore, sample_names
from minirun.images.references import (
    STAND_INS,
    ImageNotFound,
    ImageNotRunnable,
    Reference,
    parse_reference,
)
from minirun.images.source import BuildError, digest_of, find_command, list_files

DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def store(tmp_path):
    return BundleStore(tmp_path / "data")


@pytest.fixture
def source(tmp_path):
    """A folder with a space in its name and one script."""
    folder = tmp_path / "my app"
    folder.mkdir()
    (folder / "main.py").write_text("print('hi')\n")
    return folder


def left_in(store) -> set[str]:
    return {path.name for path in store.root.glob("*")} | {path.name for path in store.root.glob("bundles/*")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello", Reference("hello")),
        ("samples/hello:v1.0", Reference("samples/hello", "v1.0")),
        (f"hello@{DIGEST}", Reference("hello", digest=DIGEST)),
        ("localhost:5000/a/b_c:Tag", Reference("localhost:5000/a/b_c", "Tag")),
        (
            f"ghcr.io/knative/hello-world:latest@{DIGEST}",
            Reference("ghcr.io/knative/hello-world", digest=DIGEST),
        ),
        (
            "us-docker.pkg.dev/cloudrun/container/hello",
            Reference("us-docker.pkg.dev/cloudrun/container/hello"),
        ),
    ],
)
def test_references_are_parsed_as_docker_parses_them(text, expected):
    assert parse_reference(text) == expected


@pytest.mark.parametrize(
    "text", ["", "Hello", "a b", "hello:", "hello@sha256:12", "../x", "a//b", "-a", "a/", ":v1"]
)
def test_what_is_no_reference_is_refused_with_a_sentence(text):
    with pytest.raises(ValueError, match="is not an image reference; write NAME"):
        parse_reference(text)


@given(st.from_regex(r"[a-z0-9]{1,9}(/[a-z0-9]{1,9}){0,2}(:[A-Za-z0-9][A-Za-z0-9_.-]{0,9})?", fullmatch=True))
def test_a_reference_survives_being_written_and_read(text):
    reference = parse_reference(text)
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize(
    ("name", "text", "command"),
    [
        (
            "Procfile",
            "release: x\nweb: gunicorn 'my app' --bind :$PORT\n",
            ("gunicorn", "my app", "--bind", ":$PORT"),
        ),
        ("minirun.toml", 'command = "python -u app.py"', ("python", "-u", "app.py")),
        ("minirun.toml", 'command = ["python", "a b.py"]', ("python", "a b.py")),
        ("main.py", "", ("python", "main.py")),
        ("app.py", "", ("python", "app.py")),
        ("server.py", "", ("python", "server.py")),
    ],
)
def test_the_start_command_comes_from_a_procfile_minirun_toml_or_a_usual_script(
    tmp_path, name, text, command
):
    (tmp_path / name).write_text(text)
    assert find_command(tmp_path) == command


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("README", "", "has no Procfile, minirun.toml, main.py, app.py or server.py; write a Procfile"),
        ("Procfile", "worker: x\n", "has no line `web: COMMAND`; add one"),
        ("minirun.toml", "command = 3", "has no command; write command ="),
        ("minirun.toml", "command", "is not TOML"),
    ],
)
def test_a_folder_without_a_start_command_is_refused_with_a_sentence(tmp_path, name, text, sentence):
    (tmp_path / name).write_text(text)
    with pytest.raises(BuildError, match=sentence):
        find_command(tmp_path)


async def test_a_built_image_is_found_by_name_tag_and_digest(store, source):
    image = await build(store, source, "web:v1")
    assert image.command == ("python", "main.py")
    assert (image.folder / "main.py").read_text() == "print('hi')\n"
    assert image.pinned == f"web@{image.digest}"
    for reference in ("web:v1", image.pinned, f"anything@{image.digest}"):
        assert store.resolve(reference).digest == image.digest
    assert left_in(store) == {"bundles", "tags.json", image.digest.removeprefix("sha256:")}


async def test_builds_at_the_same_time_all_leave_their_tags(store, source):
    names = [f"web:v{number}" for number in range(8)]
    await asyncio.gather(*(build(store, source, name) for name in names))
    assert [image.reference for image in store.list()] == [*names, *sample_names()]


async def test_the_same_content_is_the_same_image_whatever_its_folder_and_times(store, source, tmp_path):
    first = await build(store, source, "web")
    copy = tmp_path / "copy"
    shutil.copytree(source, copy, copy_function=shutil.copy)
    for ignored in (".git", "__pycache__", ".venv"):
        (copy / ignored).mkdir()
        (copy / ignored / "x").touch()
    second = await build(store, copy, "web:second")
    assert second.digest == first.digest
    assert not (second.folder / ".git").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "main.py").write_text("print('ho')\n"),
        lambda folder: (folder / "main.py").rename(folder / "app.py"),
        lambda folder: (folder / "empty").touch(),
        lambda folder: (folder / "main.py").chmod(0o755),
        lambda folder: (folder / "Procfile").write_text("web: python -u main.py"),
        lambda folder: (folder / "link").symlink_to("main.py"),
    ],
    ids=["content", "name", "new file", "mode", "command", "link"],
)
def test_any_change_of_content_changes_the_digest(source, change):
    before = digest_of(source, find_command(source))
    change(source)
    assert digest_of(source, find_command(source))[0] != before[0]


async def test_a_tag_moves_and_the_pinned_digest_stays(store, source):
    first = await build(store, source, "web")
    (source / "main.py").write_text("print('two')\n")
    second = await build(store, source, "web")
    assert store.resolve("web").digest == second.digest != first.digest
    assert (store.resolve(first.pinned).folder / "main.py").read_text() == "print('hi')\n"


async def test_a_link_inside_the_folder_is_kept_and_one_that_leaves_it_is_refused(store, source, tmp_path):
    (source / "inside").symlink_to("main.py")
    assert (await build(store, source, "web")).folder.joinpath("inside").is_symlink()
    (tmp_path / "secret").mkdir()
    (source / "outside").symlink_to(tmp_path / "secret")
    with pytest.raises(BuildError, match="is a symbolic link that leaves the folder"):
        await build(store, source, "web:bad")
    assert not [path for path in store.root.iterdir() if path.name.startswith("build-")]


def test_what_is_neither_file_nor_link_is_left_out(source):
    os.mkfifo(source / "pipe")
    assert list_files(source) == [Path("main.py")]


async def test_requirements_are_installed_into_the_bundle_and_found_by_the_app(store, source, tmp_path):
    wheel = tmp_path / "greeting-1-py3-none-any.whl"
    make_wheel(wheel)
    (source / "requirements.txt").write_text(f"{wheel.as_uri()}\n")
    (source / "main.py").write_text("import greeting; print(greeting.WORD)\n")
    image = await build(store, source, "web")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "main.py", cwd=image.folder, env=dict(image.env), stdout=asyncio.subprocess.PIPE
    )
    assert (await process.communicate())[0] == b"hi\n"
    assert (await build(store, source, "again")).digest == image.digest


def make_wheel(path: Path) -> None:
    info = "greeting-1.dist-info"
    files = {
        "greeting.py": "WORD = 'hi'\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: greeting\nVersion: 1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)


async def test_a_failed_installation_gives_pips_last_lines_and_leaves_nothing(store, source):
    (source / "requirements.txt").write_text("./not-there.whl\n")
    with pytest.raises(
        BuildError, match=r"pip could not install requirements.txt; its last lines:\n.*not-there"
    ):
        await build(store, source, "web")
    assert left_in(store) == set()
    with pytest.raises(ImageNotFound):
        store.resolve("web")


def test_a_name_that_is_not_there_is_told_what_is(store):
    with pytest.raises(ImageNotFound, match=r"There is no image 'web', only crash, hello, .*`minirun build`"):
        store.resolve("web")


def test_an_image_of_a_registry_can_not_be_run_by_a_process(store):
    with pytest.raises(ImageNotRunnable) as caught:
        store.resolve("docker.io/library/nginx:1")
    assert str(caught.value) == (
        "the process runtime runs bundles; build one with `minirun build`, or use --runtime docker"
    )


@pytest.mark.parametrize("name", STAND_INS)
def test_the_public_hello_images_run_our_sample_and_say_so(store, name):
    for suffix in ("", ":latest", f"@{DIGEST}"):
        image = store.resolve(name + suffix)
        assert image.note == f"the sample {STAND_INS[name]!r} runs in place of {name}"
        assert image.digest == store.resolve(STAND_INS[name]).digest
        assert store.resolve(image.pinned).folder == image.folder


def test_samples_need_no_build(store):
    assert sample_names() == ["crash", "hello", "job", "sleep", "slow-start", "stream", "websocket"]
    for name in sample_names():
        image = store.resolve(name)
        assert store.resolve(f"{name}:latest").folder == image.folder
        assert store.resolve(f"samples/{name}").folder == image.folder
        assert store.resolve(image.pinned).digest == image.digest
    with pytest.raises(ImageNotFound):
        store.resolve(f"hello@{DIGEST}")


async def test_an_own_image_goes_before_a_sample_of_the_same_name(store, source):
    image = await build(store, source, "hello")
    assert store.resolve("hello").digest == image.digest


async def test_the_list_has_what_was_built_and_the_samples(store, source):
    await build(store, source, "web:v1")
    assert [image.reference for image in store.list()] == ["web:v1", *sample_names()]


async def test_a_bundle_goes_with_its_last_tag_unless_a_revision_needs_it(store, source):
    image = await build(store, source, "web:v1")
    await build(store, source, "web:v2")
    store.remove("web:v1", in_use={image.digest})
    with pytest.raises(ValueError, match="is in use by a revision; delete the revision first"):
        store.remove("web:v2", in_use={image.digest})
    assert store.resolve("web:v2").folder.exists()
    store.remove("web:v2")
    assert not image.folder.exists()
    with pytest.raises(ImageNotFound):
        store.remove("web:v2")
    with pytest.raises(ValueError, match="is a sample"):
        store.remove("hello")


async def test_removing_a_digest_removes_all_its_tags(store, source):
    image = await build(store, source, "web:v1")
    await build(store, source, "web:v2")
    store.remove(image.pinned)
    assert json.loads((store.root / "tags.json").read_text()) == {}


async def test_garbage_is_what_no_tag_and_no_revision_needs(store, source):
    digests = []
    for text in ("1", "2", "3"):
        (source / "main.py").write_text(text)
        digests.append((await build(store, source, "web")).digest)
    (store.root / "build-killed").mkdir()
    assert store.collect_garbage(in_use={digests[0]}) == 1
    assert left_in(store) == {"bundles", "tags.json"} | {
        d.removeprefix("sha256:") for d in (digests[0], digests[2])
    }


async def test_a_reference_with_a_digest_can_not_be_built(store, source):
    with pytest.raises(ValueError, match="has a digest"):
        await build(store, source, f"web@{DIGEST}")
