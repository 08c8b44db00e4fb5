"""The benchmarks run, and their verdicts say what was measured."""

import json

import pytest

from minirun_bench.__main__ import BENCHMARKS, main


def test_a_benchmark_prints_its_table_and_a_verdict_for_each_aim(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--quick"]) == 0
    shown = capsys.readouterr().out
    assert "1 h at 1 request/s" in shown
    assert "<= 60 s" in shown


def test_the_machine_readable_form_has_rows_and_verdicts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decider", "--quick", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert [row["revisions"] for row in result["rows"]] == ["1", "1000", "2000"]
    assert all(isinstance(verdict["met"], bool) for verdict in result["verdicts"])


def test_a_name_that_is_no_benchmark_is_refused_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["speed"]) == 2
    assert "coldstart" in capsys.readouterr().err


@pytest.mark.soak
@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_benchmark_runs_to_its_end(name: str) -> None:
    assert main([name, "--quick"]) == 0
