"""Every recorded step of Knative's code is answered with the same digits, and a wrong digit is noticed."""

import gzip
import json
from pathlib import Path

import pytest

from minirun.replay import ReplayError, replay_file

VECTORS = Path(__file__).parents[1] / "data" / "vectors"
STEPS = {
    "breaker.jsonl": 3835,
    "kpa.jsonl": 4090,
    "pipeline.jsonl": 1998,
    "reqstats.jsonl": 1922,
    "scale.jsonl": 21079,
    "smoothing_coeff.json": 64,
    "throttler.jsonl": 2467,
    "windows.jsonl": 11417,
}


@pytest.mark.parametrize("name", STEPS)
def test_every_recorded_step_is_answered_alike(name: str) -> None:
    report = replay_file(VECTORS / f"{name}.gz")
    assert str(report) == f"{name}: {STEPS[name]} steps, 0 differ"


def test_no_vector_file_is_left_out() -> None:
    assert {path.name.removesuffix(".gz") for path in VECTORS.glob("*.gz")} == set(STEPS)


@pytest.mark.parametrize(
    ("name", "path", "wrong"),
    [
        ("scale.jsonl", ("steps", 3, "desired"), 99),
        ("scale.jsonl", ("steps", 3, "excessBurst"), 99),
        ("scale.jsonl", ("steps", 3, "valid"), None),
        ("scale.jsonl", ("steps", 3, "mp"), 99),
        ("pipeline.jsonl", ("steps", 3, "stable"), 99.5),
        ("pipeline.jsonl", ("steps", 3, "panic"), 99.5),
        ("windows.jsonl", ("ops", 1, 2), 99.5),
        ("kpa.jsonl", ("out", "scale"), 99),
        ("kpa.jsonl", ("out", "newReason"), "Bored"),
        ("smoothing_coeff.json", ("coeff", 7), 0.5),
    ],
)
def test_one_wrong_figure_is_one_difference(
    tmp_path: Path, name: str, path: tuple[str | int, ...], wrong: object
) -> None:
    with gzip.open(VECTORS / f"{name}.gz", "rt", encoding="utf-8") as lines:
        case = json.loads(next(lines))
    *way, last = path
    place = case
    for key in way:
        place = place[key]
    place[last] = wrong
    changed = tmp_path / "changed.jsonl"
    changed.write_text(json.dumps(case), encoding="utf-8")
    report = replay_file(changed)
    assert len(report.differences) == 1
    assert repr(wrong) in report.differences[0]
    assert "1 differ\n  " in str(report)


def test_a_case_that_raises_is_a_difference(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"id": "x", "kind": "max", "window": 6}\n', encoding="utf-8")
    report = replay_file(broken)
    assert report.differences == ["x: raised KeyError: 'granularity'"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"kind": "decider"\n', "line 1: not JSON"),
        ("[1, 2]\n", "line 1: a JSON object is expected"),
        ('\n{"colour": "red"}\n', "line 2: a case of unknown shape"),
    ],
)
def test_a_file_that_is_no_vector_file_is_refused_with_its_line(
    tmp_path: Path, text: str, sentence: str
) -> None:
    path = tmp_path / "file.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ReplayError, match=sentence):
        replay_file(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match="can't be read"):
        replay_file(tmp_path / "absent.jsonl")
