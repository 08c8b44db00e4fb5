"""The commands that need no platform: replay, simulate, bench, completion, version."""

import sys
from importlib import import_module
from pathlib import Path

import click

from minirun.cli.common import Output, dump, formatted, pairs


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@formatted
def replay(files: tuple[str, ...], output: Output) -> None:
    """They go through the platform's own parts; the status is 1 if any step differs."""
    from minirun.replay import ReplayError, replay_file

    reports = []
    for file in files:
        try:
            reports.append(replay_file(file))
        except ReplayError as error:
            raise click.ClickException(str(error)) from None
        if output == "table":
            click.echo(str(reports[-1]))
    if output != "table":
        click.echo(dump(reports, output))
    if any(report.differences for report in reports):
        sys.exit(1)


@click.command()
@click.argument("trace", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--service-time", default="0.1", show_default=True, help="Seconds, or exp:MEAN and the like.")
@click.option("--start-time", default="0.5", show_default=True, help="Of an instance: seconds, as above.")
@click.option("--concurrency", default=0, help="Requests an instance takes at once (0: any).")
@click.option("--annotation", "annotations", multiple=True, callback=pairs, metavar="K=V")
@click.option("--settings", type=click.Path(exists=True, path_type=Path), help="YAML file of ConfigMaps.")
@click.option("--poisson", is_flag=True, help="Requests arrive at random in their second.")
@click.option("--seed", default=0, help="The same seed gives the same result.")
@formatted
def simulate(
    trace: Path, service_time: str, start_time: str, settings: Path | None, output: Output, **options: object
) -> None:
    """The trace is CSV: second,service,requests."""
    from minirun.api.operator_settings import read_settings
    from minirun.runtime.virtual import Profile, distribution
    from minirun.simulation.trace import DeployError, SimulationOptions, simulate_csv

    try:
        profile = Profile(distribution(start_time), distribution(service_time))
        maps = read_settings(settings) if settings else {}
        how = SimulationOptions(profile=profile, settings=maps, **options)  # type: ignore[arg-type]
        report = simulate_csv(trace, how)
    except (ValueError, DeployError) as error:
        raise click.ClickException(str(error)) from None
    click.echo("\n".join(report.lines()) if output == "table" else dump(report.as_dict(), output))


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> None:
    """What follows is theirs."""
    try:
        benchmarks = import_module("minirun_bench.__main__")
    except ModuleNotFoundError as error:
        hint = "run `pip install -e '.[dev]'` in a clone of the repository"
        raise click.ClickException(f"the benchmarks are not here ({error}); {hint}") from None
    sys.exit(benchmarks.main(list(arguments)))


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Source it in the shell's start-up file."""
    from click.shell_completion import get_completion_class

    from minirun.cli.main import cli

    class_ = get_completion_class(shell)
    assert class_ is not None
    click.echo(class_(cli, {}, "minirun", "_MINIRUN_COMPLETE").source())


@click.command()
@formatted
def version(output: Output) -> None:
    """Of minirun, and of the Python that runs it."""
    from minirun import __version__

    python = ".".join(map(str, sys.version_info[:3]))
    if output == "table":
        click.echo(f"minirun {__version__} (Python {python})")
    else:
        click.echo(dump({"version": __version__, "python": python}, output))
