"""What a new user runs into in the first hour: each failure is one clear sentence."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from liveplatform import Platform


def test_a_command_without_a_platform_says_how_to_start_one(machine: Platform) -> None:
    failed = machine.minirun("services", "list", check=False)
    assert failed.returncode != 0
    assert "minirun up" in failed.stderr


def test_the_public_hello_images_run_our_sample_and_say_so(platform: Platform) -> None:
    for number, image in enumerate(("gcr.io/cloudrun/hello", "ghcr.io/knative/helloworld-go:latest")):
        told = platform.minirun("deploy", f"hello{number}", "--image", image)
        assert "sample" in told.stdout + told.stderr
        assert platform.get(f"hello{number}").status_code == 200


def test_another_registry_image_fails_in_a_second_and_says_what_to_do(platform: Platform) -> None:
    failed = platform.minirun("deploy", "web", "--image", "docker.io/library/nginx:1", check=False)
    assert failed.returncode != 0
    assert "the process runtime runs bundles; build one with `minirun build`" in failed.stderr


def test_an_app_that_does_not_listen_fails_with_that_sentence_and_its_last_lines(platform: Platform) -> None:
    failed = platform.minirun(
        "deploy",
        "deaf",
        "--image",
        "crash",
        "--env",
        "CRASH=never-listen",
        "--annotation",
        "serving.knative.dev/progress-deadline=3s",
        check=False,
    )
    assert failed.returncode != 0
    assert "did not listen on $PORT" in failed.stderr


def test_a_taken_port_names_the_flag(machine: Platform) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", machine.port))
        holder.listen()
        failed = machine.minirun(
            "up", "--listen", f"127.0.0.1:{machine.port}", "--data-dir", str(machine.data_dir), check=False
        )
    assert failed.returncode != 0
    assert "--listen" in failed.stderr
    assert str(os.getpid()) in failed.stderr or sys.platform != "linux"


def test_a_second_platform_on_the_same_directory_is_refused(platform: Platform) -> None:
    assert "in use by another minirun" in platform.refused_up()


def test_a_damaged_store_is_refused_and_left_as_it_is(machine: Platform) -> None:
    machine.start()
    machine.stop()
    store = next(machine.data_dir.glob("*.db"))
    store.write_bytes(b"garbage" * 1000)
    assert "damaged" in machine.refused_up()
    assert store.read_bytes() == b"garbage" * 1000


def test_unknown_fields_are_refused_with_their_path(platform: Platform, tmp_path: Path) -> None:
    wrong = tmp_path / "service.yaml"
    wrong.write_text(
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: x}\n"
        "spec: {template: {spec: {containerz: []}}}\n"
    )
    failed = platform.minirun("apply", "-f", str(wrong), check=False)
    assert failed.returncode != 0
    assert 'unknown field "spec.template.spec.containerz"' in failed.stderr


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium (Debian's package)")
def test_a_browser_shows_the_services_page(platform: Platform, tmp_path: Path) -> None:
    platform.minirun("deploy", "hello", "--image", "hello", "--env", "TARGET=browser")
    shown = subprocess.run(
        [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            f"http://hello.default.localhost:{platform.port}/",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "browser" in shown.stdout
