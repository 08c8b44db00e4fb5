"""The commands against a real API: the test plays the part of the platform behind it."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace as Request
from typing import TYPE_CHECKING

import pytest
import yaml
from click.testing import CliRunner

from minirun.cli.main import cli
from minirun.model.meta import Condition
from minirun.model.resources import Service, TrafficTarget
from minirun.store.store import Event
from minirun.telemetry.metrics import RevisionLabels

if TYPE_CHECKING:
    from conftest import World

READY = Condition(type="Ready", status="True")
SERVICE = """\
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: hello, annotations: {own: "yes"}}
spec:
  template:
    spec:
      containers: [{image: hello, env: [{name: A, value: "1"}]}]
      timeoutSeconds: 20
"""


def run(*arguments: str, status: int = 0) -> str:
    """The output of a command that ends with `status`."""
    result = CliRunner().invoke(cli, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result.output


def stored(world: "World", name: str = "hello") -> Service:
    return world.call(lambda: world.store.get(Service, "default", name))


def when_written(world: "World", act: Callable[[], None]) -> None:
    """Runs `act` once, beside, after the next change of a Service's spec."""
    armed = True

    def on_event(event: Event) -> None:
        nonlocal armed
        spec_changed = event.old is None or event.old.metadata.generation != event.object.metadata.generation
        if armed and isinstance(event.object, Service) and spec_changed:
            armed = False
            threading.Thread(target=act).start()

    world.call(lambda: world.store.subscribe(on_event))


def test_a_deploy_creates_and_the_next_one_updates(world: "World") -> None:
    output = run("deploy", "hello", "--image", "hello", "--env", "A=1", "--concurrency", "5", "--no-wait")
    assert "hello was accepted" in output
    run("deploy", "hello", "--env", "A=2", "--max", "3", "--no-wait")
    service = stored(world)
    assert service.metadata.generation == 2
    assert service.spec.template.spec.container_concurrency == 5
    assert service.spec.template.spec.containers[0].env[0].value == "2"
    assert service.spec.template.metadata.annotations["autoscaling.knative.dev/max-scale"] == "3"


def test_a_new_service_needs_an_image(world: "World") -> None:
    assert "give --image REF or --source DIR" in run("deploy", "hello", status=2)


def test_a_deploy_that_the_api_refuses_shows_its_sentence(world: "World") -> None:
    output = run("deploy", "hello", "--image", "hello", "--concurrency", "5000", status=1)
    assert "expected 0 <= 5000 <= 1000: spec.template.spec.containerConcurrency" in output


def test_a_deploy_waits_and_says_what_for(world: "World") -> None:
    def become_ready() -> None:
        world.report("hello", Condition(type="RoutesReady", status="Unknown", reason="Deploying"))
        world.report("hello", READY)

    when_written(world, become_ready)
    output = run("deploy", "hello", "--image", "hello")
    assert "hello is ready at http://hello.default.localhost:8080" in output
    assert "waiting for the platform" in output


def test_a_deploy_that_fails_is_one_sentence(world: "World") -> None:
    failed = Condition(
        type="Ready", status="False", reason="RevisionFailed", message="the app did not listen"
    )
    when_written(world, lambda: world.report("hello", failed))
    assert "service hello failed: the app did not listen" in run(
        "deploy", "hello", "--image", "hello", status=1
    )


def test_a_deploy_does_not_wait_for_ever(world: "World") -> None:
    output = run("deploy", "hello", "--image", "hello", "--wait-timeout", "1", status=1)
    assert "service hello is not ready after 1 s" in output


def test_a_folder_is_built_and_deployed_by_its_digest(world: "World", tmp_path: Path) -> None:
    source = tmp_path / "my web"
    source.mkdir()
    (source / "main.py").write_text("print('hi')\n")
    run("deploy", "web", "--source", str(source), "--no-wait")
    image = stored(world, "web").spec.template.spec.containers[0].image
    assert image.startswith("web@sha256:")
    assert json.loads(run("images", "list", "-o", "json"))["items"][0]["spec"]["digest"] in image
    run("images", "rm", "web")
    assert "no image web; `minirun images list`" in run("images", "rm", "web", status=1)


def test_a_build_that_fails_shows_its_sentence(world: "World", tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    output = run("build", str(tmp_path / "empty"), "-t", "web", status=1)
    assert output.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in output


def test_a_listed_service_has_its_url_and_its_state(world: "World") -> None:
    run("deploy", "hello", "--image", "hello", "--no-wait")
    world.report("hello", READY)
    heading, line = run("services", "list").splitlines()
    assert heading.split() == ["NAME", "URL", "LATEST", "READY", "REASON", "AGE"]
    assert line.split()[:4] == ["hello", "http://hello.default.localhost:8080", "hello-00001", "True"]
    assert yaml.safe_load(run("services", "list", "-o", "yaml"))["items"][0]["metadata"]["name"] == "hello"
    assert run("services", "list", "-n", "other").splitlines() == [
        "NAME   URL   LATEST   READY   REASON   AGE"
    ]


def test_what_is_applied_from_one_file_is_one_list_in_json_and_yaml(world: "World", tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(
        "\n---\n".join(f"{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {n}}}}}" for n in "ab")
    )
    applied = yaml.safe_load(run("apply", "-f", str(file), "-o", "yaml"))
    assert [item["metadata"]["name"] for item in applied["items"]] == ["a", "b"]
    assert json.loads(run("apply", "-f", str(file), "-o", "json"))["kind"] == "List"


@pytest.mark.parametrize(
    "command", [("services", "delete", "x"), ("images", "rm", "x"), ("invoke", "x")], ids=" ".join
)
def test_a_command_that_prints_no_objects_has_no_format(command: tuple[str, ...]) -> None:
    assert "No such option" in run(*command, "-o", "json", status=2)


def test_a_described_service_says_why(world: "World") -> None:
    run("deploy", "hello", "--image", "hello", "--no-wait")
    world.report("hello", Condition(type="Ready", status="False", reason="RevisionFailed", message="no port"))
    output = run("services", "describe", "hello")
    assert "RevisionFailed" in output
    assert "no port" in output
    assert "image: hello" in output
    assert json.loads(run("services", "describe", "hello", "-o", "json"))["kind"] == "Service"


def test_a_deleted_service_is_gone_when_the_command_ends(world: "World") -> None:
    run("deploy", "hello", "--image", "hello", "--no-wait")
    assert run("services", "delete", "hello") == "service hello is deleted\n"
    assert world.call(lambda: world.store.find(Service, "default", "hello")) is None
    output = run("services", "delete", "hello", status=1)
    assert output == 'Error: services.serving.knative.dev "hello" not found\n'


def test_traffic_is_split_and_a_wrong_sum_is_refused(world: "World") -> None:
    run("deploy", "hello", "--image", "hello", "--no-wait")
    run("traffic", "hello", "--to", "hello-00001=80", "--to", "LATEST=20", "--no-wait")
    assert stored(world).spec.traffic == [
        TrafficTarget(revision_name="hello-00001", latest_revision=False, percent=80),
        TrafficTarget(latest_revision=True, percent=20),
    ]
    output = run("traffic", "hello", "--to", "hello-00001=80", "--no-wait", status=1)
    assert "Traffic targets sum to 80, want 100" in output


def test_applying_a_file_again_changes_nothing_and_a_removed_field_goes(
    world: "World", tmp_path: Path
) -> None:
    file = tmp_path / "service.yaml"
    file.write_text(SERVICE)
    assert run("apply", "-f", str(file), "--no-wait") == "Service hello created\n"
    assert run("apply", "-f", str(file), "--no-wait") == "Service hello unchanged\n"
    file.write_text(SERVICE.replace("      timeoutSeconds: 20\n", "").replace('{own: "yes"}', "{}"))
    assert run("apply", "-f", str(file), "--no-wait") == "Service hello configured\n"
    service = stored(world)
    assert service.spec.template.spec.timeout_seconds == 300
    assert "own" not in service.metadata.annotations


def test_a_file_with_an_unknown_field_is_refused(world: "World", tmp_path: Path) -> None:
    file = tmp_path / "service.yaml"
    file.write_text(SERVICE.replace("timeoutSeconds", "timeoutSecondz"))
    assert 'unknown field "spec.template.spec.timeoutSecondz"' in run("apply", "-f", str(file), status=1)


def test_an_exported_service_can_be_applied_again(world: "World", tmp_path: Path) -> None:
    file = tmp_path / "service.yaml"
    file.write_text(SERVICE)
    run("apply", "-f", str(file), "--no-wait")
    exported = run("export", "hello")
    assert "status" not in yaml.safe_load(exported)
    assert yaml.safe_load(exported)["metadata"] == {"name": "hello", "annotations": {"own": "yes"}}
    run("services", "delete", "hello")
    file.write_text(exported)
    assert run("apply", "-f", str(file), "--no-wait") == "Service hello created\n"
    assert run("export", "hello") == exported


def test_logs_show_the_last_lines_of_the_service(world: "World") -> None:
    run("deploy", "hello", "--image", "hello", "--no-wait")

    def print_lines() -> None:
        for n, (service, line) in enumerate(
            [("hello", b"one"), ("other", b"two"), ("hello", b'{"severity":"ERROR","message":"three","k":1}')]
        ):
            world.logs.append_line("stdout", line, namespace="default", service=service, revision=f"r{n}")

    world.call(print_lines)
    assert [line.split(" ", 1)[1] for line in run("logs", "hello").splitlines()] == ["one", "ERROR three"]
    assert run("logs", "hello", "--tail", "1").count("\n") == 1
    assert "one" in run("logs", "hello", "--revision", "r0")
    assert run("logs", "hello", "--revision", "r9") == ""
    assert "not found" in run("logs", "nobody", status=1)


def test_followed_logs_go_on_until_the_platform_ends(world: "World") -> None:
    run("deploy", "hello", "--image", "hello", "--no-wait")

    def line(text: bytes) -> None:
        world.call(
            lambda: world.logs.append_line("stdout", text, namespace="default", service="hello", revision="r")
        )

    line(b"past")
    following: list[str] = []
    reader = threading.Thread(target=lambda: following.append(run("logs", "hello", "-f", status=1)))
    reader.start()
    while not world.call(lambda: bool(world.logs._followers)):
        threading.Event().wait(0.01)
    line(b"new")
    world.__exit__()
    reader.join(10)
    assert [text in following[0] for text in ("past", "new", "broke off")] == [True, True, True]


def test_top_reads_the_platforms_metrics(world: "World") -> None:
    destination = RevisionLabels("default", "hello", "hello", "hello-00001")
    world.call(
        lambda: world.metrics.request_done(
            Request(destination=destination, status=200, latency_ns=1, queue_ns=0)
        )
    )
    _, line = run("top", "--once", "--interval", "0.01").splitlines()
    assert line.split()[:4] == ["hello", "hello-00001", "2", "0"]


def test_invoking_a_service_that_is_not_reachable_is_one_sentence(world: "World") -> None:
    run("deploy", "hello", "--image", "hello", "--no-wait")
    assert "service hello has no URL yet" in run("invoke", "hello", status=1)
    assert "service hello has no tag x" in run("invoke", "hello", "--tag", "x", status=1)


def test_a_kubeconfig_leads_to_the_platform_and_keeps_its_token_secret(
    world: "World", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = yaml.safe_load(run("kubeconfig"))
    assert plain["clusters"][0]["cluster"] == {"server": world.address}
    assert plain["users"][0]["user"] == {}
    monkeypatch.setenv("MINIRUN_TOKEN", "s3cret")
    file = tmp_path / "config"
    file.write_text("old")
    run("kubeconfig", "--write", str(file))
    assert yaml.safe_load(file.read_text())["users"][0]["user"] == {"token": "s3cret"}
    assert file.stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("MINIRUN_API", "http://127.0.0.1:9")
    assert "minirun up" in run("kubeconfig", status=1)
