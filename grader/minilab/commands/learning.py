"""What learners type."""

from itertools import groupby

import click

from minilab import labs, learner
from minilab.judging import Verdict
from minilab.labs import Asked

ASKED = click.argument("asked", metavar="LAB[.TASK]")


@click.command()
def list_command() -> None:
    """The labs, and how far you are."""
    for lab in labs.all_labs():
        state = "begun" if learner.folder(lab).is_dir() else ""
        click.echo(f"{lab.number:3}  {lab.title:28} {lab.minutes:3} min  {state}")


@click.command()
@ASKED
def start_command(asked: str) -> None:
    """Begin a lab: copies its starter files to my/lab05 and never overwrites what is there."""
    lab = labs.find(asked).lab
    for path in learner.start(lab):
        click.echo(f"made {path.relative_to(labs.ROOT)}")
    click.echo(f"read {lab.starter.relative_to(labs.ROOT)}/README.md; then `lab check {lab.number}`")


@click.command()
@ASKED
def check_command(asked: str) -> None:
    """Run the public checks of a lab or of one task against your files."""
    wanted = labs.find(asked)
    verdicts = learner.check(wanted)
    report(wanted, verdicts)
    if not all(verdict.passed for verdict in verdicts):
        raise SystemExit(1)


def report(asked: Asked, verdicts: list[Verdict]) -> None:
    """A line for each task, and for each check that failed what was called, came and was expected."""
    by_task = sorted(verdicts, key=lambda verdict: verdict.task)
    for task_id, group in groupby(by_task, key=lambda verdict: verdict.task):
        checks = list(group)
        passed = sum(verdict.passed for verdict in checks)
        title = asked.lab.task(task_id).title
        click.echo(f"{task_id}  {title:36} {passed} of {len(checks)} public checks")
        for verdict in checks:
            if verdict.failure is not None:
                _show(verdict)


def _show(verdict: Verdict) -> None:
    failure = verdict.failure
    assert failure is not None
    click.echo(f"  ✗ {verdict.behaviour}")
    if failure.unwritten:
        click.echo(f"      {failure.came}")
        return
    came = failure.came.replace("\n", "\n                ")
    for label, text in (("called", failure.called), ("came", came), ("expected", failure.expected)):
        click.echo(f"      {label:9} {text}")
    if failure.because:
        click.echo(f"      {'because':9} {failure.because}")
