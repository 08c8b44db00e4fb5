"""A platform whose instances are containers: images of its own, and what Docker's accidents do to it."""

import signal
from pathlib import Path

import pytest
from dockerengine import containers_of, has_gvisor
from liveplatform import SERVING, Platform, manifest

from minirun.runtime.docker.engine import Engine
from minirun.runtime.docker.runtime import BASE_IMAGES

pytestmark = pytest.mark.runtime

SERVER = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # the first process of a container has no default for it
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    wbufsize = -1
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{os.environ['COLOUR']} {os.getcwd()} {os.getuid()}".encode())
print("serving", flush=True)
HTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""


def write_source(folder: Path, dockerfile: str) -> Path:
    folder.mkdir()
    (folder / "server.py").write_text(SERVER)
    (folder / "Dockerfile").write_text(dockerfile)
    return folder


def test_a_folder_with_a_dockerfile_is_built_pinned_deployed_and_removed(
    docker_platform: Platform, tmp_path: Path
) -> None:
    lines = (f"FROM {BASE_IMAGES[0]}", "COPY server.py /srv/", "WORKDIR /srv", "ENV COLOUR=green")
    source = write_source(tmp_path / "web", "\n".join((*lines, 'CMD ["python3", "server.py"]', "USER 1234")))
    tag = f"minirun-test-{tmp_path.name.replace('_', '-')}:v1"
    docker_platform.minirun("build", str(source), "-t", tag)
    docker_platform.minirun("deploy", "web", "--image", tag)
    assert docker_platform.get("web").text == "green /srv 1234"
    assert "serving" in docker_platform.minirun("logs", "web").stdout
    revision = docker_platform.api.get(f"{SERVING}/revisions/web-00001").json()
    digest = revision["status"]["containerStatuses"][0]["imageDigest"]
    assert digest.startswith(f"{tag.partition(':')[0]}@sha256:")

    assert "in use by a revision" in docker_platform.minirun("images", "rm", tag, check=False).stderr
    docker_platform.minirun("services", "delete", "web")
    docker_platform.wait_until(
        lambda: docker_platform.minirun("images", "rm", tag, check=False).returncode == 0,
        what="the revision's end",
    )


def test_a_dockerfile_that_fails_says_so_in_its_last_lines(docker_platform: Platform, tmp_path: Path) -> None:
    source = write_source(tmp_path / "web", f"FROM {BASE_IMAGES[0]}\nCOPY nowhere.py /srv/")
    failed = docker_platform.minirun("build", str(source), "-t", "web:broken", check=False)
    assert failed.returncode != 0
    assert "nowhere.py" in failed.stderr


def test_the_execution_environment_is_chosen_by_the_annotation(docker_platform: Platform) -> None:
    if not has_gvisor():
        pytest.skip("the Docker engine has no runtime runsc")
    key = "run.googleapis.com/execution-environment"
    docker_platform.api.post(
        f"{SERVING}/services", json=manifest("first", **{key: "gen1"})
    ).raise_for_status()
    docker_platform.wait_until(lambda: docker_platform.get("first").status_code == 200)
    engine = Engine.connect()
    seen = [engine.client.inspect_container(one) for one in containers_of(docker_platform.data_dir)]
    engine.close()
    assert "runsc" in {container["HostConfig"]["Runtime"] for container in seen}


def test_an_unknown_image_is_a_sentence_in_the_revision(docker_platform: Platform) -> None:
    failed = docker_platform.minirun("deploy", "web", "--image", "gcr.io/nowhere/nothing", check=False)
    assert "docker pull gcr.io/nowhere/nothing" in failed.stderr


def test_a_killed_container_is_started_again_and_a_killed_platform_leaves_none(
    docker_platform: Platform,
) -> None:
    docker_platform.minirun("deploy", "hello", "--image", "hello")
    engine = Engine.connect()
    serving = next(
        one["Id"]
        for one in engine.client.containers(filters={"label": "dev.minirun.revision=hello-00001"})
        if one["Id"] in containers_of(docker_platform.data_dir)
    )
    engine.client.kill(serving)
    docker_platform.wait_until(
        lambda: docker_platform.pods("hello")[0]["status"]["containerStatuses"][0]["restartCount"] == 1
    )
    docker_platform.wait_until(lambda: docker_platform.get("hello").status_code == 200)

    before = set(containers_of(docker_platform.data_dir))
    docker_platform.stop(signal.SIGKILL)
    assert before & set(containers_of(docker_platform.data_dir))
    docker_platform.start("--runtime", "docker")
    assert not before & set(containers_of(docker_platform.data_dir))
    assert docker_platform.get("hello").status_code == 200
    engine.close()
