"""What learners type."""

import asyncio
import contextlib
from datetime import datetime
from pathlib import Path

import click

from minilab import labs, learner, progress, showing

ASKED = click.argument("asked", metavar="LAB[.TASK]")
LAB = click.argument("asked", metavar="LAB")
POLL_SECONDS = 0.3


@click.command()
def list_command() -> None:
    """The labs, and how far you are: public checks passed when they last ran, task by task."""
    known = progress.load()
    for lab in labs.all_labs():
        tasks = "  ".join(f"{task.id} {known.of(task)}" for task in lab.tasks)
        state = tasks if learner.folder(lab).is_dir() else f"`lab start {lab.number}`"
        click.echo(f"{lab.number:3}  {lab.title:28} {lab.minutes:3} min  {state}")


@click.command()
@LAB
def start_command(asked: str) -> None:
    """Begin a lab: copies its starter files to my/lab05 and never overwrites what is there."""
    lab = labs.find(asked).lab
    for path in learner.start(lab):
        click.echo(f"made {path.relative_to(labs.ROOT)}")
    click.echo(f"read {lab.starter.relative_to(labs.ROOT)}/README.md; then `lab check {lab.number}`")


@click.command()
@click.argument("asked", metavar="[LAB[.TASK]]", required=False)
@click.option("--prints", is_flag=True, help="Show what your part prints, too.")
def check_command(asked: str | None, prints: bool) -> None:
    """Run the public checks of a lab or of one task against your files; of all that you have begun."""
    wanted = [labs.find(asked)] if asked else [labs.Asked(lab, None) for lab in learner.begun()]
    if not wanted:
        raise labs.LabError("no lab has been begun; `lab list` shows them, `lab start 0` begins the first")
    passed = True
    for each in wanted:
        verdicts = learner.check(each, prints=prints)
        passed &= all(verdict.passed for verdict in verdicts)
        click.echo("\n".join(showing.report(each, verdicts)))
    if not passed:
        raise SystemExit(1)


@click.command()
@ASKED
@click.option("--prints", is_flag=True, help="Show what your part prints, too.")
def watch_command(asked: str, prints: bool) -> None:
    """Check again each time that you save, until Ctrl-C; details of the first task that fails alone."""
    wanted = labs.find(asked)
    learner.must_have_begun(wanted.lab)

    async def watch() -> None:
        async for _ in learner.saves(learner.folder(wanted.lab), POLL_SECONDS):
            verdicts = learner.check(wanted, prints=prints)
            click.clear()
            click.echo("\n".join(showing.report(wanted, verdicts, only_first=True)))

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(watch())


@click.command()
@ASKED
def hint_command(asked: str) -> None:
    """The next hint for a task, one step more each time."""
    wanted = labs.find(asked)
    if wanted.task is None:
        tasks = ", ".join(task.id for task in wanted.lab.tasks)
        raise labs.LabError(f"a hint is for one task; lab {wanted.lab.number} has {tasks}")
    number, text = learner.next_hint(wanted.task)
    click.echo(f"hint {number} of {len(wanted.task.hints)}: {text}")
    if number == len(wanted.task.hints):
        click.echo(f"That was the last one. `lab solution {wanted.task.id} --give-up` shows the answer.")


@click.command()
@LAB
def reset_command(asked: str) -> None:
    """Begin a lab anew from its starter; your files are kept as a backup."""
    backup = learner.reset(labs.find(asked).lab, datetime.now())
    click.echo(f"your files are in {backup.relative_to(labs.ROOT)} now; the lab begins anew")


@click.command()
@ASKED
@click.option("--give-up", is_flag=True, help="Show it although the checks have not passed.")
def solution_command(asked: str, give_up: bool) -> None:
    """The reference's answer, once the public checks have passed."""
    wanted = labs.find(asked)
    click.echo(learner.solution(wanted, give_up))
    if wanted.task is None:
        click.echo(f"\nThe questions: {wanted.lab.source.relative_to(labs.ROOT)}/SOLUTION.md")


@click.command()
@LAB
@click.option("--to", required=True, type=click.Path(file_okay=False, path_type=Path), help="Shared folder.")
@click.option("--name", required=True, help="Yours: the folder that is made there.")
def hand_in_command(asked: str, to: Path, name: str) -> None:
    """Copy your files of a lab, and nothing else, to where they are collected."""
    click.echo(f"handed in: {learner.hand_in(labs.find(asked).lab, to, name)}")
