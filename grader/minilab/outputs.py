"""What becomes of a batch's results: files for Gradescope and for CI, a table, and pages.

Each format is a function from the results to texts by their path below the output folder; nothing here reads
a submission. All that a learner controls (a folder's name, an error's text) is escaped as its format asks.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree as Xml

from minilab.pages import class_page, learner_page
from minilab.results import NOT_ISOLATED, CheckResult, Result, TaskResult

NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
FORMULA = ("=", "+", "-", "@", "\t", "\r")

Texts = dict[str, str]


def gradescope(results: Sequence[Result]) -> Texts:
    """`results.json` of each submission, as Gradescope's autograder specification has it.

    A check's points are its share of its task's. Hidden checks are visible by their behaviour.
    """
    return {f"gradescope/{result.name}.json": _gradescope(result) for result in results}


def _gradescope(result: Result) -> str:
    said = [*([] if result.isolated else [NOT_ISOLATED]), *result.notes]
    tests = [
        {
            "name": _title(check),
            "number": f"{task.id}.{number}",
            "score": share if check.passed else 0.0,
            "max_score": share,
            "status": "passed" if check.passed else "failed",
            "output": check.message,
            "output_format": "text",
            "visibility": "visible",
        }
        for task in result.tasks
        for number, check, share in _shares(task, result)
    ]
    document = {
        "score": result.points,
        "execution_time": result.seconds,
        "output": "\n".join(said),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _shares(task: TaskResult, result: Result) -> Iterable[tuple[int, CheckResult, float]]:
    own = result.of(task)
    share = round(task.possible / len(own), 4) if own else 0.0
    return ((number, check, share) for number, check in enumerate(own, 1))


def _title(check: CheckResult) -> str:
    return f"{check.task} {'(hidden) ' if check.hidden else ''}{check.behaviour}"


def junit(results: Sequence[Result]) -> Texts:
    """One JUnit XML file a submission: a test suite a task, a test case a check."""
    return {f"junit/{result.name}.xml": _junit(result) for result in results}


def _junit(result: Result) -> str:
    facts = {"name": _xml(result.name), "time": str(result.seconds), **_counts(result.checks)}
    root = Xml.Element("testsuites", facts)
    for task in result.tasks:
        own = result.of(task)
        suite = Xml.SubElement(root, "testsuite", {"name": f"{task.id} {task.title}", **_counts(own)})
        properties = Xml.SubElement(suite, "properties")
        for name, value in ("runtime", result.runtime), ("points", f"{task.points:g}"):
            Xml.SubElement(properties, "property", name=name, value=value)
        for check in own:
            kind = "hidden" if check.hidden else "public"
            where = f"lab{result.lab:02}.{task.id}.{kind}"
            case = Xml.SubElement(suite, "testcase", classname=where, name=check.behaviour or check.name)
            if not check.passed:
                text = _xml(check.message)
                Xml.SubElement(case, "failure", message=text.partition("\n")[0]).text = text
        said = [*([] if result.isolated else [NOT_ISOLATED]), *result.notes]
        Xml.SubElement(suite, "system-out").text = _xml("\n".join(said))
    Xml.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def _counts(checks: Sequence[CheckResult]) -> dict[str, str]:
    failed = sum(not check.passed for check in checks)
    return {"tests": str(len(checks)), "failures": str(failed), "errors": "0", "skipped": "0"}


def _xml(text: str) -> str:
    """A text without the characters that no XML document may hold."""
    return NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def table(results: Sequence[Result]) -> Texts:
    """`grades.csv`: a row a learner, a column a task."""
    tasks = list(dict.fromkeys(task.id for result in results for task in result.tasks))
    head = ["name", "lab", *tasks, "points", "possible", "percent", "isolated", "runtime", "seconds", "notes"]
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(head)
    for result in results:
        earned = {task.id: f"{task.points:g}" for task in result.tasks}
        isolated = "yes" if result.isolated else "NOT ISOLATED"
        rows.writerow([
            _cell(result.name), result.lab, *(earned.get(task, "") for task in tasks),
            f"{result.points:g}", result.possible, f"{result.percent:.1f}",
            isolated, result.runtime, result.seconds, _cell("; ".join(result.notes)),
        ])  # fmt: skip
    return {"grades.csv": text.getvalue()}


def _cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def pages(results: Sequence[Result]) -> Texts:
    """`html/index.html` of the class, and a page a learner beside it."""
    learners = {f"html/learners/{result.name}.html": learner_page(result) for result in results}
    return {"html/index.html": class_page(results)} | learners


FORMATS: dict[str, Callable[[Sequence[Result]], Texts]] = {
    "gradescope": gradescope,
    "junit": junit,
    "csv": table,
    "html": pages,
}


def export(results: Sequence[Result], out: Path, formats: Iterable[str] = FORMATS) -> list[Path]:
    """Write the formats of these names (all of them) below `out`; returns the files."""
    written = []
    for name in formats:
        for place, text in FORMATS[name](results).items():
            path = out / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())  # bytes: line ends are the format's, not the system's
            written.append(path)
    return written
