"""nbgrader's step between a submitted notebook and its grades: outputs that no cell of it has written.

It stands where `nbgrader.preprocessors.Execute` would run the notebook. All outputs are dropped, the answers
are graded as by `lab grade`, and each cell that carries points gets what its task earned as its result, which
nbgrader reads as partial credit. A cell always gets one: nbgrader gives full points to a cell without output,
none to one that has written to standard error, and runs whatever it is given in the instructor's account.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from nbconvert.exporters.exporter import ResourcesDict
from nbconvert.preprocessors.sanitize import SanitizeHTML
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Bool, Integer, Unicode

from minilab import grading, labs, submissions
from minilab.course import grade_id, source
from minilab.results import NOT_ISOLATED, CheckResult, Result, load, path_of, save


class TrustedOutputs(NbGraderPreprocessor):  # type: ignore[misc]  # nbgrader has no types
    """Grades a submission and puts what its tasks earned into the notebook's cells."""

    seed = Integer(help="Of the hidden checks.").tag(config=True)
    runtime = Unicode("runc", help="Docker's runtime: runc or runsc.").tag(config=True)
    base = Unicode("python:3.11-slim", help="Image that the labs' images are built on.").tag(config=True)
    strict = Bool(False, help="Fail where there is no Docker.").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: ResourcesDict) -> tuple[NotebookNode, ResourcesDict]:
        """The notebook with trusted outputs; raises what can't be graded, so that it earns nothing."""
        about = resources["nbgrader"]
        here = Path(resources["metadata"]["path"])
        lab = labs.find(about["assignment"]).lab
        result = self._result(lab, here, about["student"], f"{about['notebook']}.ipynb")
        earned = {grade_id(task.id): outputs_of(result, task.id) for task in result.tasks}
        chapter = _texts(lab)
        for cell in nb.cells:
            if cell.cell_type != "code":
                text = cell.source
                cell.source = text if text in chapter else _harmless(text)
                continue
            marks = cell.metadata.get("nbgrader", {})
            cell.execution_count = None
            cell.outputs = earned.get(marks.get("grade_id"), points_output(0.0)) if marks.get("grade") else []
        return nb, resources

    def _result(self, lab: labs.Lab, here: Path, student: str, notebook: str) -> Result:
        """What a submission earned, from before if nothing has changed; kept in the course's `results/`."""
        terms = _terms(lab.number, self.seed, self.runtime, self.base, self.strict)
        # Where a lab asks for answers, their file lies beside the notebook; else the cells are the work.
        path = here if lab.solved else here / notebook
        submission = submissions.read(path, submissions.NAME.sub("_", student), lab)
        out = Path("results") / lab.id
        kept = path_of(out, submission.name)
        if kept.exists() and (before := load(kept)).digest == terms.digest(lab, submission):
            return before
        result = grading.grade(submission, terms)
        save(result, out)
        return result


def _texts(lab: labs.Lab) -> frozenset[str]:
    """The texts of the course's own cells; in others may be a script for whoever looks at them."""
    return frozenset("".join(cell["source"]) for cell in json.loads(source(lab))["cells"])


def _harmless(text: str) -> str:
    """Markdown without tags that do anything."""
    return str(SanitizeHTML().sanitize_html_tags(text))  # type: ignore[no-untyped-call]


@cache
def _terms(lab: int, seed: int, runtime: str, base: str, strict: bool) -> grading.Terms:
    grading.alone()
    return grading.terms(labs.find(str(lab)).lab, seed, runtime, base, print, scenario=False, strict=strict)


def outputs_of(result: Result, task_id: str) -> list[NotebookNode]:
    """The outputs of the cell that carries a task's points: what to read, and the points."""
    task = next(task for task in result.tasks if task.id == task_id)
    said = [*([] if result.isolated else [NOT_ISOLATED]), *result.notes, *_lines(result.of(task))]
    return [_output("stream", name="stdout", text="\n".join(said) + "\n"), *points_output(task.points)]


def points_output(points: float) -> list[NotebookNode]:
    """A result that nbgrader takes for so many points."""
    return [_output("execute_result", data={"text/plain": str(float(points))}, execution_count=None)]


def _output(kind: str, **fields: object) -> NotebookNode:
    output: NotebookNode = new_output(kind, **fields)  # type: ignore[no-untyped-call]
    return output


def _lines(checks: Sequence[CheckResult]) -> list[str]:
    return [
        f"{'✓' if check.passed else '✗'} {check.behaviour}{' (hidden check)' if check.hidden else ''}"
        + "".join(f"\n    {line}" for line in check.message.splitlines())
        for check in checks
    ]
