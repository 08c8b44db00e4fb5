"""What a learner reads after a check: a line for each task, and for each check that failed what happened.

Never "all passed": public checks are not all that a grade is made of.
"""

import os
from collections.abc import Iterator, Sequence
from itertools import groupby

import click

from minilab.judging import Verdict
from minilab.labs import ROOT, Asked
from minilab.part import CheckFailed

HIDDEN_SHARE = "A grade is made of these and of hidden checks: the same behaviours, other inputs."
LABEL = 10


def report(asked: Asked, verdicts: Sequence[Verdict], only_first: bool = False) -> Iterator[str]:
    """The lines of a report.

    only_first: details of the first task that fails alone, for who works on one task after the other.
    """
    by_task = sorted(verdicts, key=lambda verdict: verdict.task)
    next_task, shown = "", False
    for task_id, group in groupby(by_task, key=lambda verdict: verdict.task):
        checks = list(group)
        failures = [verdict for verdict in checks if verdict.failure]
        unwritten = len(failures) == len(checks) and all(v.failure and v.failure.unwritten for v in failures)
        count = f"{len(checks) - len(failures)} of {len(checks)} public checks"
        colour = "green" if not failures else "yellow" if unwritten else "red"
        others = {v.failure.unwritten for v in failures if v.failure} - {"", f"task {task_id}"}
        whose = f"  it needs {', '.join(sorted(others))}, which is" if others else " "
        note = f"{whose} not written yet" if unwritten else ""
        yield f"{task_id}  {asked.lab.task(task_id).title:36} " + click.style(count, fg=colour) + note
        if failures and not unwritten and not (only_first and shown):
            yield from _failures(failures)
            shown = True
        next_task = next_task or (task_id if failures else "")
    yield click.style(HIDDEN_SHARE, dim=True)
    if next_task:
        yield f"next: `lab check {next_task}`; stuck: `lab hint {next_task}`"


def _failures(failures: Sequence[Verdict]) -> Iterator[str]:
    """Each failure; those that end in the same way, as with a syntax error, are shown once."""
    told: dict[str, str] = {}
    for verdict in failures:
        failure = verdict.failure
        assert failure is not None
        cross = click.style("✗", fg="red")
        if failure.expected == "an answer" and failure.came in told:
            yield f"  {cross} {verdict.behaviour} (as above: {told[failure.came]})"
        else:
            told[failure.came] = verdict.behaviour
            yield f"  {cross} {verdict.behaviour}"
            yield from _details(failure)


def _details(failure: CheckFailed) -> Iterator[str]:
    if failure.unwritten:
        yield f"      {failure.came}"
        return
    texts = ("called", failure.called), ("came", failure.came), ("expected", failure.expected)
    for label, text in (*texts, ("because", failure.because)):
        first, *more = text.replace(f"{ROOT}{os.sep}", "").splitlines() or [""]
        if text:
            yield f"      {click.style(f'{label:{LABEL}}', bold=True)}{first}"
            yield from (f"      {'':{LABEL}}{line}" for line in more)
