"""A warm interpreter is, to the app, a fresh one; and it never outlives its platform."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from minirun.runtime.base import Stage
from minirun.runtime.warm import warm_order

SHOW = """
import os, sys, json, signal, threading
print("seen", json.dumps({
    "argv": sys.argv, "orig_argv": sys.orig_argv, "path": sys.path, "name": __name__, "file": __file__,
    "package": __package__, "spec": __spec__ and __spec__.name, "names": sorted(globals()),
    "main": sys.modules["__main__"].__dict__ is globals(), "executable": sys.executable, "prefix": sys.prefix,
    "flags": str(sys.flags), "stdout": repr(sys.stdout), "buffer": repr(sys.stdout.buffer),
    "write_through": sys.stdout.write_through, "stdin": sys.stdin.read(), "input": os.read(0, 1).decode(),
    "cwd": os.getcwd(), "threads": threading.active_count(), "hooks": sys.excepthook is sys.__excepthook__,
    "term": signal.getsignal(signal.SIGTERM), "int": signal.getsignal(signal.SIGINT).__name__,
    "pgid": os.getpgid(0) == os.getpid(), "sid": os.getsid(0) == os.getpid(),
    "env": {key: value for key, value in os.environ.items() if key not in ("PORT", "HOME", "TMPDIR")},
    "child_env": os.popen("echo $COLOUR").read(), "fds": sorted(os.listdir("/proc/self/fd"))[:3],
}), flush=True)
"""
COMMANDS = [
    ("python", "main.py"),
    ("python3", "-u", "main.py", "--port", "x y"),
    ("python", "-m", "main", "a"),
    ("python", "-u", "-m", "package.inner"),
    ("python", "package/inner.py"),
]


async def run(bench, spec) -> tuple[bool, int, list[tuple[str, bytes]]]:
    """Runs an app to its end: whether its process had been warm, the exit code, the output by stream."""
    lines: list[tuple[str, bytes]] = []
    idle = {child.pid for child in bench.runtime.pool._idle}
    process = await bench.runtime.start(spec, lambda stream, line: lines.append((stream, line)))
    code = (await process.wait()).code
    return process.pid in idle, code, sorted(lines, key=lambda line: line[0])


async def run_both(bench, spec):
    """The results of a warm and of a plain start."""
    warm = await run(bench, spec)
    await bench.runtime.pool.close()
    plain = await run(bench, spec)
    assert (warm[0], plain[0]) == (True, False)
    return warm[1:], plain[1:]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
async def test_an_app_can_not_tell_a_warm_start_from_a_plain_one(warm_bench, command):
    env = (("COLOUR", "blue"), ("PYTHONPATH", f"relative:{Path(__file__).parent}:relative:/nowhere"))
    spec = warm_bench.spec(SHOW + "sys.exit(5)", command=command, env=env)
    inner = warm_bench.bundles[spec.image].folder / "package" / "inner.py"
    inner.parent.mkdir()
    inner.write_text(SHOW + "sys.exit(5)")
    warm, plain = await run_both(warm_bench, spec)
    assert warm == plain
    assert plain[0] == 5
    assert plain[1][-1][1].startswith(b"seen {")


ENDINGS = {
    "an exception": "def f():\n    1 / 0\nf()",
    "a message": "import sys; sys.exit('enough')",
    "a syntax error": "def (",
    "exit handlers": "import atexit; atexit.register(print, 'bye')",
    "a thread that goes on": (
        "import threading\nx = 1\n"
        "threading.Thread(target=lambda: [threading.main_thread().join(), print(x)]).start()"
    ),
    "a cause": "try:\n    {}['a']\nexcept KeyError as e:\n    raise ValueError('b') from e",
}


@pytest.mark.parametrize("source", ENDINGS.values(), ids=ENDINGS.keys())
async def test_an_app_ends_alike_after_a_warm_and_a_plain_start(warm_bench, source):
    warm, plain = await run_both(warm_bench, warm_bench.spec(source + "\n"))
    assert warm == plain
    assert plain[1]


async def test_the_sample_starts_from_the_pool_which_is_filled_again_once_it_is_ready(warm_bench):
    first = warm_bench.start("hello")
    assert not warm_bench.runtime.pool._idle or (await first.ready()).ready
    await first.ready()
    await warm_bench.runtime.pool.filled()
    assert len(warm_bench.runtime.pool._idle) == 1
    second = warm_bench.start("hello")
    await second.ready()
    assert second.instance.state.stage is Stage.READY


async def test_a_pool_that_can_not_be_filled_lets_instances_start_cold_and_is_filled_once_it_can(
    warm_bench, caplog
):
    pool = warm_bench.runtime.pool
    interpreter = warm_bench.folder / "data" / "runtime" / "bin" / "python"
    hidden = interpreter.rename(interpreter.with_suffix(".away"))
    pool._common["PATH"] = str(interpreter.parent)
    command = (str(hidden), "main.py")
    first = warm_bench.start("hello")  # takes the one that was warm
    await first.ready()
    await pool.filled()
    assert (pool._idle, "no interpreter could be warmed" in caplog.text) == ([], True)
    second = warm_bench.start("hello", command=command)
    await second.ready()
    await pool.filled()
    hidden.rename(interpreter)
    third = warm_bench.start("hello")
    await third.ready()
    await pool.filled()
    assert [child.alive for child in pool._idle] == [True]


COMMON = {"PATH": "/bin", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}


@pytest.mark.parametrize(
    "argv",
    [
        ("python3.9", "main.py"),
        ("/usr/bin/python", "main.py"),
        ("python",),
        ("python", "-c", "pass"),
        ("python", "-O", "main.py"),
        ("python", "-m"),
        ("python", "missing.py"),
        ("python", "."),
        ("sh", "main.py"),
    ],
    ids=" ".join,
)
def test_anything_but_a_plain_script_or_module_starts_a_process_of_its_own(tmp_path, argv):
    (tmp_path / "main.py").touch()
    assert warm_order(argv, COMMON, COMMON, tmp_path) is None


@pytest.mark.parametrize(
    "name", ["PYTHONHASHSEED", "PYTHONPROFILEIMPORTTIME", "LD_PRELOAD", "LC_ALL", "LANG"]
)
def test_a_variable_that_the_interpreter_reads_early_asks_for_a_fresh_one(tmp_path, name):
    (tmp_path / "main.py").touch()
    argv = ("python", "main.py")
    assert warm_order(argv, {**COMMON, name: "0"}, COMMON, tmp_path) is None
    assert warm_order(argv, {**COMMON, "COLOUR": "0", "PYTHONPATH": "x"}, COMMON, tmp_path) is not None


PLATFORM = """
import asyncio, os, random, sys
from pathlib import Path
from types import SimpleNamespace
from minirun.runtime.base import InstanceSpec
from minirun.runtime.process import ProcessRuntime

async def main(data, app):
    bundle = SimpleNamespace(folder=Path(app), command=("python", "main.py"), env=())
    runtime = ProcessRuntime(Path(data), lambda image: bundle, random.Random(1), warm_size=2)
    await runtime.open()
    await runtime.pool.filled()
    heard = asyncio.Event()
    pids = [child.pid for child in runtime.pool._idle]
    spec = InstanceSpec("default", "pod", "uid", "s", "s", "s-1", "image")
    await runtime.start(spec, lambda stream, line: (print(line.decode()), heard.set()))
    await heard.wait()
    print("idle", pids[-1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""
FORKING = """
import os, subprocess, sys, time
away = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)
print("app", os.getpid(), away.pid, flush=True)
time.sleep(1000)
"""


async def test_a_platform_killed_at_once_takes_its_idle_interpreters_along_and_the_next_finds_the_rest(bench):
    app = bench.bundles[bench.spec(FORKING).image].folder
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PLATFORM, str(bench.folder / "data"), str(app), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout
    pid, away = (int(word) for word in (await parent.stdout.readline()).split()[1:])
    idle = int((await parent.stdout.readline()).split()[1])
    assert psutil.pid_exists(idle)
    os.kill(parent.pid, signal.SIGKILL)
    await parent.communicate()
    assert await bench.all_gone(idle)
    assert psutil.pid_exists(pid)
    assert psutil.pid_exists(away)
    assert await bench.runtime.remove_leftovers([]) == 2
    assert await bench.all_gone(pid, away)
