"""The command line itself: help, errors, tables; commands that need no platform."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from minirun.cli.common import print_table
from minirun.cli.main import COMMANDS, LazyGroup, cli
from minirun.cli.manifests import documents
from minirun.cli.observe import figures, reach, top_rows
from minirun.cli.up import taken

NOBODY = "http://127.0.0.1:9"  # the discard port: nothing answers there


def run(*arguments: str, **environment: str) -> tuple[int, str]:
    """Exit status and output, stderr included."""
    result = CliRunner().invoke(cli, arguments, env={"MINIRUN_API": NOBODY, **environment})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def commands(command: click.Command, *path: str) -> list[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        return [path]
    context = click.Context(command)
    children = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
    return [path] * bool(path) + [
        c for name, child in children if child for c in commands(child, *path, name)
    ]


@pytest.mark.parametrize("path", commands(cli), ids=" ".join)
def test_each_command_has_help_with_an_example(path: tuple[str, ...]) -> None:
    status, output = run(*path, "--help")
    assert status == 0
    assert f"minirun {path[0]}" in output.partition("Example:")[2]


@pytest.mark.parametrize(
    "line",
    [
        "deploy hello --image hello",
        "services list",
        "services describe hello",
        "services delete hello",
        "revisions list",
        "traffic hello --latest",
        "logs hello",
        "invoke hello",
        "top --once",
        "images list",
        "images rm hello",
        "export hello",
    ],
)
def test_a_command_without_a_platform_says_how_to_start_one(line: str) -> None:
    status, output = run(*line.split())
    assert status == 1
    assert (
        output == f"Error: no platform answers at {NOBODY}; start one with `minirun up`, or set MINIRUN_API\n"
    )


def test_the_list_of_commands_is_shown_without_importing_them() -> None:
    code = (
        "import sys; from minirun.cli.main import cli\n"
        "try: cli(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'httpx', 'rich', 'yaml', 'asyncio', 'msgspec', 'prometheus_client'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert all(name in output for name in COMMANDS)


@pytest.mark.parametrize("module", ["yaml", "prometheus_client", "psutil", "starlette"])
def test_listing_services_does_not_import_what_it_does_not_need(module: str) -> None:
    code = (
        "import sys; from minirun.cli.main import cli\n"
        "try: cli(['services', 'list'])\n"
        "except SystemExit: pass\n"
        f"assert {module!r} not in sys.modules"
    )
    environment = {**os.environ, "MINIRUN_API": NOBODY}
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment)


def test_an_unknown_command_is_a_wrong_use() -> None:
    status, output = run("deplo")
    assert status == 2
    assert "No such command 'deplo'" in output
    assert isinstance(cli, LazyGroup)


def test_a_pair_without_an_equals_sign_is_refused() -> None:
    status, output = run("deploy", "hello", "--image", "hello", "--env", "COLOR")
    assert status == 2
    assert "'COLOR' is given, KEY=VALUE is expected" in output


@pytest.mark.parametrize("address", ["8080", "localhost:http", "127.0.0.1:70000", ":8080"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    status, output = run("up", "--listen", address)
    assert status == 2
    assert f"{address!r} is given, HOST:PORT is expected" in output


def test_a_taken_port_names_its_holder_and_the_flag() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        sentence = taken({"--listen": "127.0.0.1:0", "--api": f"127.0.0.1:{port}"})
    assert sentence.startswith(f"port {port} is taken by ")
    assert f"process {os.getpid()}" in sentence
    assert sentence.endswith("choose another with --api 127.0.0.1:PORT")


def test_columns_are_aligned_and_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("NAME", "URL"), [("a", "x" * 200), ("longer", "")])
    assert capsys.readouterr().out == f"NAME     URL\na        {'x' * 200}\nlonger\n"


def test_version_is_the_packages_own() -> None:
    status, output = run("version", "-o", "json")
    assert status == 0
    assert json.loads(output)["version"] == __import__("minirun").__version__


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(shell: str) -> None:
    status, output = run("completion", shell)
    assert status == 0
    assert "_MINIRUN_COMPLETE" in output


def test_replaying_says_how_many_steps_differ(tmp_path: Path) -> None:
    vectors = Path(__file__).parents[1] / "data" / "vectors" / "reqstats.jsonl.gz"
    status, output = run("replay", str(vectors))
    assert status == 0
    assert " 0 differ" in output
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"what": 1}\n')
    status, output = run("replay", str(broken))
    assert status == 1
    assert "line 1: a case of unknown shape" in output


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [", "is not YAML"),
        ("- 1", "which has no apiVersion and kind"),
        ("kind: Service", "which has no apiVersion and kind"),
        ("apiVersion: v1\nkind: Endpoints", "v1 Endpoints is no kind here; known are v1 Namespace"),
        ("apiVersion: serving.knative.dev/v1\nkind: Service", "a Service has no metadata.name"),
    ],
)
def test_a_file_that_can_not_be_applied_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "service.yaml"
    file.write_text(text)
    status, output = run("apply", "-f", str(file))
    assert status == 1
    assert sentence in output


def test_a_file_that_is_not_there_is_a_wrong_use() -> None:
    status, output = run("apply", "-f", "/no/such/file.yaml")
    assert status == 2
    assert "'/no/such/file.yaml' does not exist" in output


def test_a_file_may_hold_many_documents_and_lists(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    item = "{apiVersion: v1, kind: ConfigMap, metadata: {name: %s}}"
    file.write_text(
        f"---\n{item % 'a'}\n---\n---\napiVersion: v1\nkind: List\nitems: [{item % 'b'}, {item % 'c'}]\n"
    )
    assert [d["metadata"] for d in documents(file)] == [{"name": "a"}, {"name": "b"}, {"name": "c"}]


@pytest.mark.parametrize(
    ("url", "address", "host"),
    [
        ("http://a.default.localhost:8080", "http://127.0.0.1:8080", "a.default.localhost:8080"),
        ("http://a.default.localhost", "http://127.0.0.1:80", "a.default.localhost"),
        ("http://a.default.example.com", "http://127.0.0.1:80", "a.default.example.com"),
    ],
)
def test_a_services_url_is_reached_where_the_platform_is(url: str, address: str, host: str) -> None:
    assert reach("http://127.0.0.1:8081", url) == (address, host)


def test_top_shows_rates_and_panic() -> None:
    labels = '{namespace_name="default",service_name="s",configuration_name="s",revision_name="s-1"'

    def scrape(requests: int, panic: int) -> str:
        return (
            f'revision_request_count{labels},response_code="200"}} {requests}\n'
            f'revision_request_count{labels},response_code="500"}} 5\n'
            f"autoscaler_desired_pods{labels}}} 3\nautoscaler_actual_pods{labels}}} 2\n"
            f"autoscaler_stable_request_concurrency{labels}}} 1.25\nautoscaler_panic_mode{labels}}} {panic}\n"
        )

    before, now = figures(scrape(10, 0), 1.0), figures(scrape(50, 1), 3.0)
    (row,) = top_rows(now, before, "default")
    assert row == ("s", "s-1", "3", "2", "1.2", "0.0", "panic", "20.0")
    assert list(top_rows(now, before, "other")) == []
