"""Lab 01's public checks: environment, life cycle, readiness, and the end."""

import os
from random import Random

import pytest

from minilab.part import Part

INVARIANT = {
    1: "invariant 1: of several that set a variable the later wins, and the contract is the last",
    2: "invariant 2: nothing becomes ready without a probe that passed",
    3: "invariant 3: whoever was told to stop never gets ready again",
    4: "invariant 4: a verdict takes as many tries in a row as its threshold says",
    5: "invariant 5: a container is asked before it is killed, and both end with it gone",
}
DEFAULTS = {"PATH": "/usr/bin", "LANG": "C.UTF-8"}
CONTRACT = {"K_SERVICE": "web", "K_CONFIGURATION": "web", "K_REVISION": "web-00001"}


@pytest.mark.task("1.1")
def test_contract(part: Part) -> None:
    """A container finds PORT and its Service, Configuration and Revision."""
    case = {"instance": {}, "port": 8080, "image": {}, "defaults": DEFAULTS}
    part.gives("variables", case, {**DEFAULTS, "PORT": "8080", **CONTRACT}, INVARIANT[1])


@pytest.mark.task("1.1")
def test_contract_wins(part: Part) -> None:
    """Nobody can take PORT or K_SERVICE from the platform."""
    instance = {"env": [["PORT", "1"], ["K_SERVICE", "mine"], ["COLOR", "blue"]]}
    case = {"instance": instance, "port": 8080, "image": {"PORT": "2"}, "defaults": {}}
    part.gives("variables", case, {"PORT": "8080", **CONTRACT, "COLOR": "blue"}, INVARIANT[1])


@pytest.mark.task("1.1")
def test_layers(part: Part) -> None:
    """The user's variables win over the image's, and the image's over the defaults."""
    case = {
        "instance": {"env": [["A", "user"]]},
        "port": 8080,
        "image": {"A": "image", "B": "image"},
        "defaults": {"A": "default", "B": "default", "C": "default"},
    }
    own = {"A": "user", "B": "image", "C": "default"}
    part.gives("variables", case, {**own, "PORT": "8080", **CONTRACT}, INVARIANT[1])


@pytest.mark.task("1.1")
def test_path(part: Part) -> None:
    """The image's PATH comes first, and the default one is not lost."""
    case = {"instance": {}, "port": 8080, "image": {"PATH": "/app/bin"}, "defaults": {"PATH": "/usr/bin"}}
    path = os.pathsep.join(["/app/bin", "/usr/bin"])
    part.gives("variables", case, {"PATH": path, "PORT": "8080", **CONTRACT}, INVARIANT[1])


@pytest.mark.task("1.1")
def test_job(part: Part) -> None:
    """A container that runs once serves nothing: no port, no Service."""
    case = {"instance": {"runs_once": True}, "port": 0, "image": {}, "defaults": DEFAULTS}
    part.gives("variables", case, DEFAULTS, INVARIANT[1])


@pytest.mark.task("1.2")
@pytest.mark.parametrize(
    ("events", "stages", "because"),
    [
        (["start", "pass", "stop", "exit"], ["Starting", "Ready", "Draining", "Gone"], INVARIANT[2]),
        (["start", "pass", "fail", "pass"], ["Starting", "Ready", "Starting", "Ready"], INVARIANT[2]),
        (["start", "exit", "start"], ["Starting", "CrashLoopBackOff", "Starting"], INVARIANT[2]),
        (["start", "stop", "pass", "exit"], ["Starting", "Draining", "Draining", "Gone"], INVARIANT[3]),
        (["start", "exit", "stop"], ["Starting", "CrashLoopBackOff", "Gone"], INVARIANT[3]),
        (["start", "pass", "deadline"], ["Starting", "Ready", "Ready"], INVARIANT[2]),
        (["start", "finish", "start", "pass"], ["Starting", "Gone", "Gone", "Gone"], INVARIANT[3]),
    ],
    ids=["a good life", "unready", "crash", "stopped early", "stopped between", "deadline", "runs once"],
)
def test_life(part: Part, events: list[str], stages: list[str], because: str) -> None:
    """The usual lives of an instance, event by event."""
    part.gives("life", {"events": events}, stages, because)


@pytest.mark.task("1.2")
def test_every_pair(part: Part) -> None:
    """Every event in every stage leads where the reference's does."""
    ways = {
        "Pending": [],
        "Starting": ["start"],
        "Ready": ["start", "pass"],
        "Back off": ["start", "exit"],
        "Draining": ["start", "stop"],
        "Gone": ["stop"],
    }
    for way in ways.values():
        for event in ("start", "pass", "fail", "exit", "finish", "stop", "deadline"):
            part.same("life", {"events": [*way, event]}, INVARIANT[3])


@pytest.mark.task("1.3")
def test_thresholds(part: Part) -> None:
    """A verdict changes only after as many tries in a row as its threshold says."""
    probe = {"success_threshold": 2, "failure_threshold": 3}
    tries = [True, True, False, False, True, False, False, False, True, True]
    verdicts = [None, True, True, True, True, True, True, False, False, True]
    part.gives("tally", {"probe": probe, "steps": tries}, verdicts, INVARIANT[4])


@pytest.mark.task("1.3")
def test_no_verdict_yet(part: Part) -> None:
    """Before the first threshold is reached there is no verdict, neither good nor bad."""
    part.gives("tally", {"probe": {"failure_threshold": 2}, "steps": [False]}, [None], INVARIANT[4])


@pytest.mark.task("1.3")
def test_period(part: Part) -> None:
    """A try that takes long does not move the next one: the period counts from beginning to beginning."""
    case = {
        "probe": {"initial_delay_seconds": 3, "period_seconds": 10, "timeout_seconds": 5},
        "tries": [[False, True, 0.5], [False, True, 2.0], [True, True, 0.25]],
        "until": True,
        "seconds": 100,
    }
    part.gives("probing", case, {"tries": [3.0, 13.0, 23.0], "found": True, "at": 23.25}, INVARIANT[4])


@pytest.mark.task("1.3")
def test_fast(part: Part) -> None:
    """Without a period it looks every 2 ms until it is ready, and every 10 s after that."""
    case = {
        "probe": {"period_seconds": 0, "failure_threshold": 3},
        "tries": [[False, True, 0], [False, True, 0], [True, True, 0], [False, True, 0]],
        "until": False,
        "seconds": 60,
    }
    tries = [0.0, 0.002, 0.004, 10.004, 20.004, 30.004]
    part.gives("probing", case, {"tries": tries, "found": False, "at": 30.004}, INVARIANT[4])


@pytest.mark.task("1.4")
@pytest.mark.parametrize(
    ("stops_after", "expected"),
    [
        (2.0, [["SIGTERM", 0.0], ["gone", 2.0], ["returned", 2.0]]),
        (None, [["SIGTERM", 0.0], ["SIGKILL", 10.0], ["gone", 10.05], ["returned", 10.05]]),
    ],
    ids=["obeys", "ignores"],
)
def test_end(part: Part, stops_after: float | None, expected: list[object]) -> None:
    """Asked first, killed after the grace period, and gone in either case."""
    part.gives("ending", {"grace": 10, "stops_after": stops_after}, expected, INVARIANT[5])


@pytest.mark.task("1.4")
@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize(("obeys", "code"), [(True, 143), (False, 137)], ids=["obeys", "ignores"])
def test_real_process(part: Part, obeys: bool, code: int) -> None:
    """A real process: 143 if it obeyed SIGTERM, 137 if it had to be killed."""
    part.gives("real_end", {"grace": 0.3 if not obeys else 5, "obeys": obeys}, code, INVARIANT[5])


@pytest.mark.task("1.4")
@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (
            {"code": 3, "lines": ["loading", "no database"]},
            ["ExitCode3", "Container failed with: loading\nno database"],
        ),
        ({"code": 1, "lines": []}, ["ExitCode1", "Container failed with: exit code 1 and no output"]),
        (
            {"code": 137, "oom": True, "lines": ["loading"]},
            ["OOMKilled", "Container failed with: out of memory; raise the memory limit or use less"],
        ),
    ],
    ids=["words", "silent", "memory"],
)
def test_words(part: Part, case: dict[str, object], expected: list[str]) -> None:
    """What a person reads of a container that ended."""
    part.gives("words", case, expected, INVARIANT[5])


@pytest.mark.task("1.3")
def test_rows(part: Part, rng: Random) -> None:
    """Long rows of mixed outcomes have the reference's verdicts."""
    for _ in range(20):
        probe = {"success_threshold": rng.randint(1, 3), "failure_threshold": rng.randint(1, 4)}
        steps = [rng.random() < 0.6 for _ in range(40)]
        part.same("tally", {"probe": probe, "steps": steps}, INVARIANT[4])
