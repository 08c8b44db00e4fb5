"""A learner's work under `my/`: begun from the starter, never overwritten, checked task by task."""

import shutil
from collections.abc import Callable
from pathlib import Path

from minilab.child import Child
from minilab.judging import Verdict, judge
from minilab.labs import MY, Asked, Lab, LabError
from minilab.part import Part


def folder(lab: Lab) -> Path:
    """Where the learner's files of a lab are."""
    return MY / lab.id


def start(lab: Lab) -> list[Path]:
    """Copy the starter files that are not there yet; returns them."""
    copied = []
    for file in lab.files:
        path = folder(lab) / file
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(lab.starter / file, path)
            copied.append(path)
    return copied


def check(asked: Asked, tell: Callable[[Verdict], None] = lambda verdict: None) -> list[Verdict]:
    """Run the public checks of a lab, or of one task, against what the learner has."""
    lab = asked.lab
    if not folder(lab).is_dir():
        raise LabError(f"{folder(lab)} is not there; begin with `lab start {lab.number}`")
    part = Part(lab.id, lambda: Child([folder(lab)]))
    return judge([lab.checks], part, lab.number, asked.task.id if asked.task else None, tell)
