"""Lab 01's hidden checks: the same behaviours, on inputs that nobody has seen."""

from random import Random

import pytest

from minilab.part import Part

EVENTS = ("start", "pass", "fail", "exit", "finish", "stop", "deadline")
GONE = ["Starting", "Draining", *["Gone"] * 11]
NAMES = ("A", "B", "COLOR", "PATH", "PORT", "K_SERVICE", "K_REVISION", "HOME", "LANG", "TMPDIR")


def word(rng: Random) -> str:
    return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz/", k=rng.randint(1, 12)))


def some(rng: Random) -> dict[str, str]:
    return {name: word(rng) for name in rng.sample(NAMES, rng.randint(0, len(NAMES)))}


@pytest.mark.task("1.1")
@pytest.mark.parametrize("runs_once", [False, True], ids=["serves", "runs once"])
def test_layers_of_any_kind(part: Part, rng: Random, runs_once: bool) -> None:
    """The environment of any instance: layers, contract and PATH."""
    for _ in range(15):
        names = {"service": word(rng), "configuration": word(rng), "revision": word(rng)}
        instance = {**names, "runs_once": runs_once, "env": list(some(rng).items())}
        port = rng.choice([0, rng.randint(1024, 65535)])
        case = {"instance": instance, "port": port, "image": some(rng), "defaults": some(rng)}
        part.same("variables", case, "invariant 1")


@pytest.mark.task("1.2")
def test_lives_of_any_length(part: Part, rng: Random) -> None:
    """Any life, event by event."""
    for _ in range(40):
        part.same("life", {"events": rng.choices(EVENTS, k=rng.randint(1, 30))}, "invariants 2 and 3")


@pytest.mark.task("1.2")
def test_gone_is_for_good(part: Part, rng: Random) -> None:
    """Whoever is gone stays gone."""
    for last in ("exit", "finish"):
        later = rng.choices(EVENTS, k=10)
        part.gives("life", {"events": ["start", "stop", last, *later]}, GONE, "invariant 3")


@pytest.mark.task("1.3")
def test_verdicts_of_any_row(part: Part, rng: Random) -> None:
    """The verdict after any row of outcomes."""
    for _ in range(25):
        probe = {"success_threshold": rng.randint(1, 5), "failure_threshold": rng.randint(1, 5)}
        steps = rng.choices([True, False], [rng.random() + 0.1, 1], k=60)
        part.same("tally", {"probe": probe, "steps": steps}, "invariant 4")


@pytest.mark.task("1.3")
def test_times_of_any_probe(part: Part, rng: Random) -> None:
    """When the tries of any probe are, and when its verdict comes."""
    for _ in range(20):
        probe = {
            "initial_delay_seconds": rng.choice([0, rng.randint(1, 20)]),
            "period_seconds": rng.choice([0, rng.randint(1, 20)]),
            "timeout_seconds": rng.randint(1, 4),
            "success_threshold": rng.randint(1, 2),
            "failure_threshold": rng.randint(1, 4),
        }
        tries = [[rng.random() < 0.4, True, rng.choice([0, 0.25, 1.5])] for _ in range(12)]
        case = {"probe": probe, "tries": tries, "until": rng.random() < 0.7, "seconds": 90}
        part.same("probing", case, "invariant 4")


@pytest.mark.task("1.4")
def test_ends_of_any_kind(part: Part, rng: Random) -> None:
    """SIGTERM, the grace period and SIGKILL for containers of any temper."""
    for _ in range(15):
        stops_after = rng.choice([None, round(rng.uniform(0, 30), 2)])
        part.same("ending", {"grace": rng.randint(1, 20), "stops_after": stops_after}, "invariant 5")


@pytest.mark.task("1.4")
def test_words_of_any_end(part: Part, rng: Random) -> None:
    """Reason and message for any exit."""
    for _ in range(15):
        lines = [word(rng) * rng.choice([1, 50]) for _ in range(rng.randint(0, 12))]
        case = {"code": rng.randint(0, 255), "oom": rng.random() < 0.3, "lines": lines}
        part.same("words", case, "invariant 5")
