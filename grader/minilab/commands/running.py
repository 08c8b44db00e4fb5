"""The real platform with a learner's parts in it, and whether this machine is fit for the workshop."""

import contextlib
import importlib.util
import subprocess
import sys
from itertools import chain

import click

from minilab import labs, learner

PASSED_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.command(context_settings=PASSED_ON)
@click.option("--all-mine", is_flag=True, help="The parts of all labs that you have begun.")
@click.argument("arguments", metavar="[LAB]... [OPTIONS OF minirun up]", nargs=-1, type=click.UNPROCESSED)
def run_command(all_mine: bool, arguments: tuple[str, ...]) -> None:
    """Run the platform with your part in it; what you have not written is the reference's.

    \b
    Example:
      lab run 5
      lab run --all-mine --listen 127.0.0.1:9080
    """
    from minirun.cli.up import up

    asked, options = split(arguments)
    wanted = learner.begun() if all_mine else [labs.find(each).lab for each in asked]
    if not wanted:
        raise labs.LabError("which lab? give one that you have begun, as in `lab run 5`, or --all-mine")
    overlays = [("--overlay", str(folder)) for folder in learner.overlays(wanted)]
    up.main([*chain.from_iterable(overlays), *options], prog_name="lab run")


def split(arguments: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The labs that are named first, and the options after them."""
    first = next((n for n, each in enumerate(arguments) if each.startswith("-")), len(arguments))
    return arguments[:first], arguments[first:]


@click.command(context_settings=PASSED_ON)
@click.argument("asked", metavar="LAB")
@click.argument("options", metavar="[OPTIONS OF jupyter lab]", nargs=-1, type=click.UNPROCESSED)
def notebook_command(asked: str, options: tuple[str, ...]) -> None:
    """Open a lab's notebook in JupyterLab: your own copy, in my/lab05, which is never overwritten."""
    lab = labs.find(asked).lab
    if not installed("jupyterlab"):
        raise labs.LabError(
            "JupyterLab is not installed; `python -m pip install -c constraints.txt -e '.[labs]'` brings it, "
            f"and {lab.starter.relative_to(labs.ROOT)}/README.md has the same text without it"
        )
    learner.start(lab)
    path = learner.own_notebook(lab)
    place = [f"--ServerApp.root_dir={labs.ROOT}", str(path)]
    jupyter = subprocess.Popen([sys.executable, "-m", "jupyterlab", *place, *options])
    while True:
        with contextlib.suppress(KeyboardInterrupt):  # JupyterLab hears Ctrl-C too, and asks what is meant
            raise SystemExit(jupyter.wait())


def installed(module: str) -> bool:
    """Whether a module can be imported; it is not."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@click.command()
def doctor_command() -> None:
    """Look at this machine, and say the one command that mends each thing; fails only for what labs need."""
    from minilab import doctor
    from minilab.gates import verdicts

    def fails(lab: labs.Lab) -> list[str]:
        return [verdict.name for verdict in verdicts(lab, lab.solved) if not verdict.passed]

    unfit = False
    for finding in doctor.examine(fails):
        unfit |= finding.needed and not finding.fine
        sign, colour = ("✓", "green") if finding.fine else ("✗", "red") if finding.needed else ("○", "yellow")
        click.echo(f"{click.style(sign, fg=colour)} {finding.name:18} {finding.text}")
        if not finding.fine:
            click.echo(f"  {'':18} {'mend' if finding.needed else 'if you want it'}: {finding.mend}")
    if unfit:
        raise SystemExit(1)
    click.echo("This machine is fit for the labs; `lab start 0` begins the first.")
