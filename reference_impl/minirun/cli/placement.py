"""The command that replays a trace of GPU pods against placement policies."""

import time
from collections.abc import Sequence
from pathlib import Path

import click

from minirun.cli.common import Output, dump, formatted, print_table
from minirun.scheduling.catalog import DEFAULT_POLICY, POLICIES
from minirun.simulation.placement import LOADS, Experiment, PlacementReport, TraceFileError

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--nodes", type=FILE, required=True, help="CSV: sn,cpu_milli,memory_mib,gpu,model.")
@click.option(
    "--pods", type=FILE, required=True, help="CSV: cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec, and more."
)
@click.option("--order", type=FILE, required=True, help="JSON: `pods` and `node_rank`, of row numbers.")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    type=click.Choice(list(POLICIES)),
    default=[DEFAULT_POLICY],
    show_default=True,
    help="May be given many times.",
)
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw the curves: .png, .svg.")
@click.option("--seed", default=0, help="Of the policy `random`.")
@formatted
def placement(
    nodes: Path,
    pods: Path,
    order: Path,
    policies: Sequence[str],
    plot: Path | None,
    seed: int,
    output: Output,
) -> None:
    """They arrive one after the other, none leaves; aX is how many % of all GPUs are allocated when X % was
    asked for. Files may be packed with gzip."""
    try:
        experiment = Experiment.read(nodes, pods, order)
    except TraceFileError as error:
        raise click.ClickException(str(error)) from None
    reports = [experiment.run(policy, time.perf_counter_ns, seed) for policy in dict.fromkeys(policies)]
    if output == "table":
        _print_tables(reports)
    else:
        click.echo(dump([report.summary() for report in reports], output))
    if plot:
        _draw(reports, plot)


def _print_tables(reports: Sequence[PlacementReport]) -> None:
    """What is allocated and how fast; whom that left out; why the rest is idle."""
    summaries = [report.summary() for report in reports]
    print_table(
        ("POLICY", *(f"A{load}" for load in LOADS), "ATTEMPTS/S", "P50 MS", "P99 MS"),
        [
            (
                each.policy,
                *(_percent(each.allocated.get(f"a{load}")) for load in LOADS),
                each.attempts_per_second,
                f"{each.p50_ms:.3f}",
                f"{each.p99_ms:.3f}",
            )
            for each in summaries
        ],
    )
    sizes = sorted({size for each in summaries for size in each.refused})
    click.echo("\nrefused pods, by the GPUs that they asked for")
    print_table(
        ("POLICY", *sizes, "8 BEFORE 100 %"),
        [
            (each.policy, *(each.refused.get(size, 0) for size in sizes), each.refused_8_before_100)
            for each in summaries
        ],
    )
    click.echo("\nidle GPUs in the end, by why pods like these can't use them")
    causes = list(summaries[0].idle_gpus)
    print_table(
        ("POLICY", *(cause.upper() for cause in causes)),
        [(each.policy, *each.idle_gpus.values()) for each in summaries],
    )


def _percent(allocated: float | None) -> str:
    return "" if allocated is None else f"{allocated:.2f}"


def _draw(reports: Sequence[PlacementReport], file: Path) -> None:
    """The allocation over the demand, one curve for each policy."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"--plot needs {error.name}, which is not installed; run `pip install 'minirun[labs]'`"
        ) from None
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot(
        title="GPU allocation", xlabel="GPUs asked for, % of all", ylabel="GPUs allocated, % of all"
    )
    for report in reports:
        axes.plot(*zip(*report.curve().items(), strict=True), label=report.policy)
    axes.grid(alpha=0.3)
    axes.legend()
    try:
        figure.savefig(file)
    except (OSError, ValueError) as error:
        raise click.ClickException(f"can't draw into {file}: {error}") from None
