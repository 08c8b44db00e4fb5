"""Instances as real processes: the contract, the end, the crashes, the logs, the limits."""

import asyncio
import json
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import uvloop

from minirun.runtime import instance as instance_module
from minirun.runtime.base import Probe, Stage, StartError
from minirun.runtime.child import Child
from minirun.runtime.process import ProcessRuntime

MIB = 1024 * 1024

LISTEN = """
import json, os, signal, socket, subprocess, sys, time
def listen():
    server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
    while True:
        server.accept()[0].close()
"""


@pytest.fixture
def no_back_off(monkeypatch):
    """Restarts come at once; the list has the numbers of failures that a pause was asked for."""
    asked: list[int] = []

    def none(failures: int) -> float:
        asked.append(failures)
        return 0.0

    monkeypatch.setattr(instance_module, "back_off_seconds", none)
    return asked


async def test_an_app_is_ready_once_it_listens_and_is_told_where(bench):
    observed = bench.start("hello")
    state = await observed.ready()
    reader, writer = await asyncio.open_connection(state.host, state.port)
    writer.write(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert b"Hello World!" in await reader.read()
    writer.close()
    assert [state.stage for state in observed.states] == [Stage.STARTING, Stage.STARTING, Stage.READY]
    assert state.ready_unix_ns >= state.started_unix_ns > 0


async def test_the_environment_is_the_contract_and_nothing_of_the_platforms(bench, monkeypatch):
    monkeypatch.setenv("PLATFORM_SECRET", "x")
    observed = bench.start(
        LISTEN
        + 'print("env", json.dumps(dict(os.environ)), flush=True)\nprint("cwd", os.getcwd())\nlisten()',
        env=(("COLOUR", "blue"), ("K_SERVICE", "forged")),
    )
    state = await observed.ready()
    env = json.loads(await observed.line("env "))
    assert {name: env[name] for name in ("PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION", "COLOUR")} == {
        "PORT": str(state.port),
        "K_SERVICE": "greeter",
        "K_CONFIGURATION": "greeter",
        "K_REVISION": "greeter-00001",
        "COLOUR": "blue",
    }
    assert "PLATFORM_SECRET" not in env
    assert env["HOME"] == env["TMPDIR"] != os.environ.get("HOME")
    assert await observed.line("cwd ") == str(bench.folder / "app 0")


async def test_command_and_arguments_name_variables_also_those_of_the_contract(either_bench):
    observed = either_bench.start(
        LISTEN + 'print("argv", json.dumps(sys.argv[1:]), flush=True)\nlisten()',
        command=("python", "$(SCRIPT)"),
        args=("--listen=$(PORT)", "$(K_REVISION)$(NOBODY)", "$$(SCRIPT)"),
        env=(("SCRIPT", "main.py"),),
    )
    state = await observed.ready()
    argv = json.loads(await observed.line("argv "))
    assert argv == [f"--listen={state.port}", "greeter-00001$(NOBODY)", "$(SCRIPT)"]


async def test_a_stop_lets_the_app_finish_and_ends_as_succeeded(bench):
    observed = bench.start(
        LISTEN
        + """
def bye(*_):
    print("bye", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, bye)
listen()"""
    )
    await observed.ready()
    await observed.instance.stop()
    assert observed.output() == [b"bye"]
    assert [state.stage for state in observed.states[-2:]] == [Stage.DRAINING, Stage.GONE]
    assert (observed.states[-1].phase, observed.states[-1].exit_code) == ("Succeeded", 0)
    await bench.close()
    assert not list((bench.folder / "data/runtime/scratch").iterdir())


async def test_sigterm_ends_an_app_that_does_nothing_about_it(either_bench):
    observed = either_bench.start(LISTEN + "listen()")
    await observed.ready()
    await observed.instance.stop()
    assert observed.states[-1].exit_code == 128 + 15


async def test_an_app_that_ignores_sigterm_is_killed_after_the_grace_period(bench):
    observed = bench.start("crash", env=(("CRASH", "ignore-sigterm"),))
    await observed.ready()
    await observed.instance.stop(grace_seconds=0.05)
    assert observed.states[-1].exit_code == 128 + 9


async def test_an_instance_can_be_stopped_before_its_process_is_there(bench):
    observed = bench.start("hello")
    await observed.instance.stop()
    assert observed.instance.state.stage is Stage.GONE
    assert not observed.instance.state.ready


CHILDREN = (
    LISTEN
    + """
sleep = [sys.executable, "-c", "import time; time.sleep(1000)"]
here, away = subprocess.Popen(sleep), subprocess.Popen(sleep, start_new_session=True)
print("pids", here.pid, away.pid, flush=True)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
listen()"""
)


async def test_grandchildren_die_with_a_killed_instance_even_in_sessions_of_their_own(bench):
    observed = bench.start(CHILDREN)
    await observed.ready()
    pids = [int(pid) for pid in (await observed.line("pids ")).split()]
    await observed.instance.stop(0)
    assert await bench.all_gone(*pids)


async def test_grandchildren_die_when_the_app_ends_by_itself(bench, no_back_off):
    observed = bench.start(CHILDREN.removesuffix("listen()") + "sys.exit(7)")
    pids = [int(pid) for pid in (await observed.line("pids ")).split()]
    await observed.state(lambda state: state.exit_code == 7)
    assert await bench.all_gone(pids[0])
    await observed.instance.stop(0)
    await bench.runtime.close()
    assert await bench.all_gone(pids[1])


async def test_an_app_that_keeps_exiting_is_restarted_with_growing_pauses_and_says_why(bench, no_back_off):
    observed = bench.start("crash", env=(("CRASH", "exit:3"),))
    await observed.state(lambda state: state.restart_count == 3)
    assert no_back_off[:3] == [1, 2, 3]
    state = await observed.state(lambda state: state.stage is Stage.CRASH_LOOP_BACK_OFF)
    assert (state.reason, state.exit_code, state.ready) == ("ExitCode3", 3, False)
    assert state.message.startswith("Container failed with: ")
    assert "ending with exit code 3" in state.message


async def test_an_app_that_never_listens_is_given_up_at_the_deadline_with_its_last_lines(bench):
    observed = bench.start("crash", env=(("CRASH", "never-listen"),), progress_deadline_seconds=1)
    state = await observed.state(lambda state: state.stage is Stage.GONE)
    assert (state.phase, state.reason) == ("Failed", "ProgressDeadlineExceeded")
    start = f"The app did not listen on $PORT (PORT={state.port}) within 1 s. Its last log lines: "
    assert state.message.startswith(start)
    assert "running, and listening nowhere" in state.message


async def test_a_crash_loop_is_given_up_at_the_deadline_with_the_crash_as_its_reason(bench):
    observed = bench.start("crash", env=(("CRASH", "exit:4"),), progress_deadline_seconds=0.8)
    state = await observed.state(lambda state: state.stage is Stage.GONE)
    assert (state.phase, state.reason) == ("Failed", "ExitCode4")


@pytest.mark.parametrize(
    "fields", [{"command": ("no-such-program",)}, {"working_dir": "nowhere"}, {"env": (("A", "\0"),)}]
)
async def test_a_start_command_that_can_not_be_run_is_a_sentence(bench, fields):
    spec = bench.spec("hello", **fields)
    with pytest.raises(StartError, match=r"The start command '.*' can't be run in .*; correct the command\."):
        await bench.runtime.start(spec, lambda *_: None)
    assert not list((bench.folder / "data/runtime/scratch").iterdir())


async def test_a_probe_command_that_does_not_exist_is_a_failed_probe(bench):
    startup = Probe("exec", command=("no-such-program",), failure_threshold=1)
    state = await bench.start("hello", startup=startup).state(lambda state: bool(state.reason))
    assert "no-such-program" in state.message


async def test_an_image_that_is_not_there_is_reported_as_missing(bench):
    observed = bench.start("hello", image="nowhere")
    state = await observed.state(lambda state: bool(state.reason))
    assert state.reason == "ContainerMissing"


async def test_each_line_of_both_streams_arrives_once_also_the_last_without_its_end(bench, no_back_off):
    observed = bench.start(
        "import sys, os\nprint('one\\n\\ntwo')\nos.write(2, b'err\\xff\\r\\nno end')\nsys.exit(1)"
    )
    await observed.state(lambda state: state.exit_code == 1)
    lines = observed.lines[:5]
    assert [line for stream, line in lines if stream == "stdout"] == [b"one", b"", b"two"]
    assert [line for stream, line in lines if stream == "stderr"] == [b"err\xff\r", b"no end"]


async def test_a_line_without_end_is_cut_in_pieces(bench, no_back_off):
    observed = bench.start("import os\nos.write(1, b'x' * 1_000_000)\nos._exit(1)")
    await observed.state(lambda state: state.exit_code == 1)
    pieces = [line for line in observed.output() if line]
    assert sum(map(len, pieces)) % 1_000_000 == 0
    assert max(map(len, pieces)) < 400_000


async def test_a_flood_of_logs_is_slowed_down_and_costs_no_memory(bench):
    spec = bench.spec("import sys\nfor _ in range(40_000): sys.stdout.write('x' * 99 + chr(10))\n")
    counts: Counter[str] = Counter()
    before = psutil.Process().memory_info().rss
    process = await bench.runtime.start(spec, lambda stream, line: counts.update({stream: len(line) + 1}))
    pauses = 0
    pause = process._pause

    def counting_pause(fd):
        nonlocal pauses
        pauses += 1
        pause(fd)

    process._pause = counting_pause
    assert (await process.wait()).code == 0
    assert counts["stdout"] == 4_000_000
    assert pauses >= 10
    assert psutil.Process().memory_info().rss - before < 16 * MIB


GREEDY = "import time\nheld = []\nwhile True:\n    held.append(b'x' * 4_000_000)\n    time.sleep(0.005)\n"


@pytest.mark.parametrize("fork", ["", "import os\nif os.fork(): os.wait()\n"], ids=["itself", "a child"])
async def test_more_memory_than_the_limit_ends_the_instance_as_oom_killed(bench, fork):
    observed = bench.start(fork + GREEDY, memory_limit_bytes=100 * MIB)
    state = await observed.state(lambda state: bool(state.reason))
    assert (state.reason, state.exit_code) == ("OOMKilled", 137)


async def test_an_instance_within_its_memory_limit_is_left_alone(bench):
    observed = bench.start(LISTEN + "listen()", memory_limit_bytes=100 * MIB)
    greedy = bench.start(GREEDY, memory_limit_bytes=60 * MIB)
    await observed.ready()
    await greedy.state(lambda state: state.reason == "OOMKilled")
    assert observed.instance.state.ready


async def test_instances_get_different_ports_also_those_of_two_platforms_at_once(bench, tmp_path):
    other = ProcessRuntime(tmp_path / "other", bench.bundles.__getitem__, random.Random(5), warm_size=0)
    await other.open()
    specs = [bench.spec("crash", env=(("CRASH", "never-listen"),)) for _ in range(3)]
    processes = [await runtime.start(spec, print) for spec in specs for runtime in (bench.runtime, other)]
    assert len({process.port for process in processes}) == 6
    await other.close()


async def test_a_failing_liveness_probe_restarts_the_container(bench):
    liveness = Probe("http", path="/healthz", period_seconds=0.01, failure_threshold=2)
    observed = bench.start("crash", env=(("CRASH", "unready:1"),), liveness=liveness)
    state = await observed.state(lambda state: state.restart_count == 1 and state.ready)
    assert state.restart_count == 1
    failed = await observed.state(lambda state: state.reason == "Unhealthy")
    assert failed.message == "Liveness probe failed: HTTP 503"


async def test_lost_readiness_is_reported_and_can_come_back(bench):
    readiness = Probe("http", path="/healthz", period_seconds=0.01, failure_threshold=1)
    observed = bench.start("crash", readiness=readiness)
    state = await observed.ready()
    for value, wanted in (("1", Stage.STARTING), ("0", Stage.READY)):
        observed.states.clear()
        reader, writer = await asyncio.open_connection(state.host, state.port)
        writer.write(f"GET /?unready={value} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
        await observed.state(lambda state, wanted=wanted: state.stage is wanted)
        await reader.read()
        writer.close()
    assert observed.states[-1].restart_count == 0


async def test_the_startup_probe_comes_first_and_its_failure_restarts(bench):
    startup = Probe("exec", command=("sh", "-c", "exit 9"), period_seconds=0.01, failure_threshold=2)
    observed = bench.start("hello", startup=startup)
    state = await observed.state(lambda state: bool(state.reason))
    assert state.message == "Startup probe failed: exit code 9"
    assert not any(state.ready for state in observed.states)


async def test_an_exec_probe_runs_in_the_instances_own_folder_and_environment(bench):
    command = ("sh", "-c", 'test "$K_REVISION" = greeter-00001 && test -f main.py')
    observed = bench.start("hello", readiness=Probe("exec", command=command, period_seconds=0))
    assert (await observed.ready()).ready


async def test_what_a_dead_platform_left_is_found_by_identity_and_by_mark_and_nothing_else_is(bench):
    observed = bench.start(CHILDREN)
    state = await observed.ready()
    pids = [int(pid) for pid in (await observed.line("pids ")).split()]
    me, other = psutil.Process(), bench.start("hello")
    await other.ready()
    recycled = f"{me.pid}:{me.create_time() - 100:.2f}"
    assert await bench.runtime.remove_leftovers([state.identity, recycled, "nonsense"]) == 4
    assert await bench.all_gone(*pids, int(state.identity.split(":")[0]))


class Watched(Child):
    """Calls `told` when its process has ended and its output has not."""

    told: Callable[[], None]

    def process_exited(self) -> None:
        super().process_exited()
        self._loop.call_soon(self.told)


def test_one_that_has_ended_while_its_output_is_open_can_be_told_to_end(tmp_path: Path) -> None:
    keep_output_open = "setsid sh -c 'echo > fled; exec sleep 1' & until [ -e fled ]; do :; done"

    async def terminate_late() -> None:
        env, exited = {"PATH": os.environ["PATH"]}, asyncio.Event()
        Watched.told = staticmethod(exited.set)
        child = await Watched.spawn(("sh", "-c", keep_output_open), env, tmp_path, lambda *_: None)
        await exited.wait()
        assert child.alive
        child.terminate()
        assert (await child.wait()).code == 0

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # asyncio's own loop forgives it
        runner.run(terminate_late())


async def test_an_instance_that_runs_once_gets_no_port_and_succeeds_with_exit_code_0(either_bench):
    observed = either_bench.start(
        """
        import os
        print(sorted(name for name in os.environ if name == "PORT" or name.startswith("K_")))
        """,
        runs_once=True,
    )
    state = await observed.state(lambda state: state.stage is Stage.GONE)
    assert (state.phase, state.exit_code, state.reason, state.port) == ("Succeeded", 0, "", 0)
    assert observed.output() == [b"[]"]
    assert any(seen.stage is Stage.READY for seen in observed.states)


async def test_an_instance_that_runs_once_is_not_restarted_when_it_fails(bench):
    observed = bench.start("import sys\nsys.exit('no luck')\n", runs_once=True)
    state = await observed.state(lambda state: state.stage is Stage.GONE)
    assert (state.phase, state.reason, state.exit_code, state.restart_count) == ("Failed", "ExitCode1", 1, 0)
    assert "no luck" in state.message


async def test_an_instance_that_runs_once_is_asked_to_end_when_its_time_is_up(bench):
    observed = bench.start("import time\ntime.sleep(60)\n", runs_once=True, active_deadline_seconds=0.2)
    state = await observed.state(lambda state: state.stage is Stage.GONE)
    assert (state.phase, state.reason) == ("Failed", "DeadlineExceeded")
    assert state.exit_code == 128 + signal.SIGTERM
    assert "did not end within its 0.2 s" in state.message
