"""The trace gives the published figures, and the default policy better ones."""

import csv
import gzip
import itertools
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from minirun.cli.main import cli
from minirun.scheduling.cluster import Node, PodRequest
from minirun.scheduling.fgd import target_classes
from minirun.scheduling.fgdplus import cpu_per_gpu, scarcity
from minirun.scheduling.policy import Workload
from minirun.simulation.placement import Experiment, Order, idle_by_cause

DATA = Path(__file__).parent.parent / "data" / "gpu-trace"
NODES, PODS = DATA / "nodes.csv.gz", DATA / "pods_default.csv.gz"
MINI = ["placement", "--nodes", str(DATA / "mini/nodes.csv.gz"), "--pods", str(PODS)]
MINI += ["--order", str(DATA / "mini/default_1.json.gz")]


def experiment(trace: str) -> Experiment:
    return Experiment.read(NODES, DATA / f"pods_{trace}.csv.gz", DATA / "orders" / f"{trace}_42.json.gz")


@pytest.mark.parametrize(
    ("policy", "published"),
    [
        ("fgd", "FGD"),
        ("best-fit", "BestFit"),
        ("packing", "GpuPacking"),
        ("clustering", "GpuClustering"),
        ("dot-product", "DotProd"),
    ],
)
def test_the_published_allocation_comes_out(policy: str, published: str) -> None:
    with gzip.open(DATA / "published_alloc.csv.gz", "rt") as file:
        rows = [row for row in csv.DictReader(file) if row["trace"] == "default" and row["seed"] == "42"]
    expected = next(row for row in rows if row["policy"] == published)
    found = experiment("default").run(policy, itertools.count().__next__).curve()
    for load in (80, 90, 100, 110, 130):
        assert found[load] == pytest.approx(float(expected[f"a{load}"]), abs=0.01), load


@pytest.mark.parametrize(("trace", "a100"), [("default", 95.7), ("gpuspec20", 94.9), ("gpushare60", 91.5)])
def test_the_default_policy_allocates_more(trace: str, a100: float) -> None:
    report = experiment(trace).run("fgd+", itertools.count().__next__)
    assert report.curve()[100] >= a100
    assert report.refused_8_early <= {"default": 2, "gpuspec20": 6, "gpushare60": 2}[trace]


def test_what_the_policies_know_of_a_workload() -> None:
    known = {
        trace: Workload(made.pods, made.nodes)
        for trace in ("default", "gpuspec20", "gpushare60")
        for made in (experiment(trace),)
    }
    assert [len(target_classes(each.pods)) for each in known.values()] == [35, 102, 33]
    assert [round(cpu_per_gpu(each), 3) for each in known.values()] == [10882.255, 10882.255, 10761.717]
    assert scarcity(known["default"]) == {}
    assert {model: round(value, 4) for model, value in scarcity(known["gpuspec20"]).items()} == {
        "A10": 0.0130,
        "G2": 0.0610,
        "G3": 0.1897,
        "P100": 0.5708,
        "T4": 0.7187,
        "V100M16": 0.4243,
        "V100M32": 0.4875,
    }


def test_the_curve_is_what_is_allocated_at_each_demand() -> None:
    """Two nodes of a device each: the share fits twice, the whole device once, then nothing fits."""
    share, whole = PodRequest(0, 0, 1, 500), PodRequest(0, 0, 1, 1000)
    nodes = (Node("a", 1000, 1000, 1), Node("b", 1000, 1000, 1))
    order = Order([0, 0, 1, 1], [1, 0])
    ticks = itertools.count(0, 2_000_000)
    report = Experiment(nodes, (share, whole), order).run("best-fit", ticks.__next__)
    assert report.curve() == {25: 25.0, 50: 50.0, 100: 100.0, 150: 100.0}
    summary = report.summary()
    assert summary.allocated == {"a100": 100.0}
    assert summary.refused == {"1": 1}
    assert (summary.p50_ms, summary.p99_ms, summary.attempts_per_second) == (2.0, 2.0, 500)


def test_idle_gpus_are_told_by_cause() -> None:
    """Half of the pods want much CPU, half a T4: the empty node serves only the first."""
    full, empty = Node("a", 1000, 1000, 2, "T4"), Node("b", 8000, 1000, 2, "L4")
    pods = (PodRequest(4000, 0, 1, 1000), PodRequest(500, 0, 1, 500, ("T4",)))
    assert idle_by_cause((full, empty), pods) == {
        "lack of CPU": 1.0,
        "wrong model": 1.0,
        "lack of GPU": 0.0,
        "leftover": 0.0,
        "usable": 2.0,
    }


def test_the_command_compares_policies_and_draws_them(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawing = tmp_path / "curves.svg"
    line = [*MINI, "--policy", "random", "--policy", "best-fit", "--plot", str(drawing)]
    output = CliRunner().invoke(cli, line, catch_exceptions=False).output.splitlines()
    assert output[0].split()[:7] == ["POLICY", "A80", "A90", "A95", "A100", "A110", "A130"]
    assert output[2].split()[:5] == ["best-fit", "79.94", "90.06", "92.44", "92.44"]
    assert "8 BEFORE 100 %" in output[5]
    assert "LACK OF CPU" in output[10]
    assert drawing.read_text().startswith("<?xml")


def test_the_command_answers_as_json() -> None:
    output = CliRunner().invoke(cli, [*MINI, "-o", "json"], catch_exceptions=False).output
    (summary,) = json.loads(output)
    assert summary["policy"] == "fgd+"
    assert summary["allocated"]["a100"] > 95
    assert summary["attemptsPerSecond"] > 0


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("nodes", "sn,cpu_milli\nn,1000\n", "line 2: there is no column 'memory_mib'"),
        (
            "pods",
            "cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n1,1,2,500,\n",
            "several devices are given whole",
        ),
        ("order", '{"pods": [0]}', "`pods` and `node_rank`"),
        ("order", '{"pods": [9999], "node_rank": []}', "that has 8152"),
        ("order", '{"pods": [0], "node_rank": [0, 0]}', "each of the 151 nodes one rank"),
        ("order", "\x00", "`pods` and `node_rank`"),
    ],
)
def test_a_file_of_another_kind_is_refused_by_name(tmp_path: Path, name: str, text: str, said: str) -> None:
    file = tmp_path / "given"
    file.write_text(text)
    line = list(MINI)
    line[line.index(f"--{name}") + 1] = str(file)
    result = CliRunner().invoke(cli, line)
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {file}")
    assert said in result.output
