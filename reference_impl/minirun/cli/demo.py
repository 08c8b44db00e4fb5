"""`minirun demo`: a whole platform in a minute, told as it goes. Everything shown is measured.

The platform is a child process with short windows, on free ports, in a folder that goes with it. The story
is told in chapters, each a function that talks to the same API as any other client.
"""

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import httpx
from rich.console import Console
from rich.live import Live

from minirun.cli.client import Client
from minirun.cli.common import print_table, wait_ready
from minirun.cli.deploy import Changes, changed_traffic, update
from minirun.cli.load import Load
from minirun.cli.observe import TOP_COLUMNS, Figures, figures, top_rows, top_table
from minirun.model.resources import Service

SETTINGS = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: config-autoscaler, namespace: knative-serving}
data:
  stable-window: 6s
  panic-window-percentage: "20.0"
  scale-to-zero-grace-period: 6s
"""
NAMESPACE, NAME, HOST = "default", "hello", "hello.default.localhost"
SCALING = {"metric": "rps", "target": "40", "max-scale": "8"}
RATE, LOAD_SECONDS = 200.0, 14.0
SPLIT_SECONDS = 4.0
NEXT_STEPS = """
What to try next:
  minirun up                                  run a platform that stays
  minirun deploy hello --image hello          deploy this service to it, from another terminal
  minirun invoke hello                        ask it
  minirun top                                 watch it scale
"""


@dataclass
class Stage:
    """What the chapters share."""

    client: Client
    port: int  # of the gateway
    console: Console

    def tell(self, text: str) -> None:
        """A line of the story."""
        self.console.print(text, highlight=False)

    def deploy(self, changes: Changes) -> Service:
        """Deploys `hello` and waits until it is ready."""
        return wait_ready(self.client, update(self.client, NAMESPACE, NAME, changes), 60, len)

    def route(self, percents: dict[str, str]) -> None:
        """Splits the traffic and waits until it is routed."""
        traffic = changed_traffic(self.client.get(Service, NAMESPACE, NAME), percents, {}, latest=False)
        service = self.client.patch(Service, NAMESPACE, NAME, {"spec": {"traffic": traffic}})
        wait_ready(self.client, service, 60, len)

    def load(self, rate: float, seconds: float) -> Load:
        """A load of `hello` at a rate; answers are counted by their body."""
        return Load(
            host="127.0.0.1",
            port=self.port,
            host_header=HOST,
            rate=rate,
            duration_seconds=seconds,
            count_body=True,
        )

    def figures(self) -> Figures:
        """What the platform's metrics say now."""
        return figures(self.client.metrics(), time.monotonic())

    def watch(self, done: Callable[[Figures], bool], timeout_seconds: float) -> None:
        """Shows the figures each second, live or as lines, until `done` says so."""
        deadline = time.monotonic() + timeout_seconds
        before = self.figures()
        with Live(console=self.console, auto_refresh=False) as live:
            while time.monotonic() < deadline:
                time.sleep(1)
                now = self.figures()
                if self.console.is_terminal:
                    live.update(top_table(now, before, NAMESPACE), refresh=True)
                else:
                    print_table(TOP_COLUMNS, list(top_rows(now, before, NAMESPACE)))
                if done(now):
                    return
                before = now
        raise click.ClickException(f"nothing came of it in {timeout_seconds:.0f} s; see `minirun top`")


def instances(now: Figures) -> float:
    """Ready instances of all revisions."""
    return sum(seen["autoscaler_actual_pods"] for seen in now.values.values())


def cold_start(stage: Stage) -> None:
    """Deploy and first request."""
    stage.tell("\n[bold]1. Deploy[/bold]  minirun deploy hello --image hello --env TARGET=blue")
    annotations = {f"autoscaling.knative.dev/{key}": value for key, value in SCALING.items()}
    began = time.monotonic()
    service = stage.deploy(Changes(image="hello", env={"TARGET": "blue"}, annotations=annotations))
    stage.tell(f"   {service.status.latest_ready_revision_name} is ready after {_ms(began)} ms")


def scale_up(stage: Stage) -> None:
    """Load; instances follow."""
    stage.tell(f"\n[bold]2. Load[/bold]  {RATE:.0f} requests/s; an instance is meant for {SCALING['target']}")
    load = stage.load(RATE, LOAD_SECONDS)
    beside = threading.Thread(target=lambda: asyncio.run(load.run()), daemon=True)
    beside.start()
    stage.watch(lambda _: not beside.is_alive(), LOAD_SECONDS + 10)
    result = load.result
    stage.tell(
        f"   {result.latencies.count} answers, p50 {result.latencies.percentile(50):.1f} ms, "
        f"p99 {result.latencies.percentile(99):.1f} ms, {sum(result.errors.values())} errors"
    )


def split(stage: Stage) -> None:
    """A second revision gets a fifth of the traffic."""
    stage.tell("\n[bold]3. Split[/bold]  a second revision, TARGET=green, gets 20 %")
    first = stage.client.get(Service, NAMESPACE, NAME).status
    old = first.latest_ready_revision_name
    second = stage.deploy(Changes(env={"TARGET": "green"}, annotations={}, no_traffic=True))
    new = second.status.latest_created_revision_name
    stage.route({old: "80", new: "20"})
    result = asyncio.run(stage.load(100, SPLIT_SECONDS).run())
    for answer, count in result.values.most_common():
        stage.tell(f"   {count / result.latencies.count:6.1%}  {answer.splitlines()[0] if answer else ''}")
    stage.tell(f"\n[bold]4. Roll back[/bold]  minirun traffic hello --to {old}=100")
    began = time.monotonic()
    stage.route({old: "100"})
    stage.tell(f"   routed after {_ms(began)} ms")


def to_zero_and_back(stage: Stage) -> None:
    """No traffic, no instances; one request wakes it."""
    stage.tell("\n[bold]5. Sleep[/bold]  no requests: down to zero after the window and the grace period")
    stage.watch(lambda now: instances(now) == 0, 60)
    stage.tell("\n[bold]6. Wake[/bold]  minirun invoke hello")
    began = time.monotonic()
    url = f"http://127.0.0.1:{stage.port}/"
    answer = httpx.get(url, headers={"Host": HOST}, trust_env=False, timeout=30)
    stage.tell(f"   {answer.status_code} {answer.text.splitlines()[0]}: a cold start of {_ms(began)} ms")


def _ms(began: float) -> str:
    return f"{(time.monotonic() - began) * 1000:.0f}"


@contextmanager
def platform() -> Iterator[tuple[str, int]]:
    """A platform of its own, gone with all it wrote at the end: its API and its gateway's port."""
    with tempfile.TemporaryDirectory(prefix="minirun-demo-", ignore_cleanup_errors=True) as folder:
        settings = Path(folder, "settings.yaml")
        settings.write_text(SETTINGS)
        addresses = ("--listen", "127.0.0.1:0", "--api", "127.0.0.1:0")
        places = ("--data-dir", str(Path(folder, "data")), "--settings", str(settings))
        with subprocess.Popen(
            (sys.executable, "-m", "minirun", "up", *addresses, *places),
            stdout=subprocess.PIPE,
            text=True,
            env={key: value for key, value in os.environ.items() if key != "MINIRUN_TOKEN"},
            start_new_session=True,  # Ctrl-C is ours to pass on
        ) as child:
            try:
                ready = child.stdout.readline() if child.stdout else ""
                ports = re.findall(r"http://\S+:(\d+)", ready)
                if len(ports) != 2:
                    raise click.ClickException("the platform did not start; `minirun up` says more")
                listen, api = ports
                yield f"http://127.0.0.1:{api}", int(listen)
            finally:
                child.send_signal(signal.SIGTERM)


def play(console: Console) -> None:
    """The whole story."""
    began = time.monotonic()
    with platform() as (api, port), Client(api) as client:
        stage = Stage(client, port, console)
        stage.tell(f"A platform is up after {_ms(began)} ms: requests on port {port}, API at {api}")
        for chapter in (cold_start, scale_up, split, to_zero_and_back):
            chapter(stage)
    console.print(f"\nAll gone again, after {time.monotonic() - began:.0f} s.{NEXT_STEPS}", highlight=False)


@click.command()
def demo() -> None:
    """Ctrl-C cleans up."""
    play(Console())
