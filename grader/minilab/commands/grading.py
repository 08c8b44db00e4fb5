"""What instructors type."""

import json
import time
from pathlib import Path

import click

from minilab import course, grading, labs, outputs, submissions
from minilab.labs import LabError
from minilab.results import Result, load_all

BASE = "python:3.11-slim"
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("folder", metavar="SUBMISSIONS", type=FOLDER)
@click.option("--lab", "asked", required=True, metavar="LAB", help="The lab that they are of, as 5.")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Where the results go.")
@click.option("-j", "--jobs", type=click.IntRange(1), default=2, show_default=True, help="So many at a time.")
@click.option("--runtime", type=click.Choice(["runc", "runsc"]), default="runc", show_default=True)
@click.option("--base", default=BASE, show_default=True, help="Image that the lab's is built on.")
@click.option("--seed", type=int, help="Of the hidden checks; a new one for each batch if it is left out.")
@click.option("--resume", is_flag=True, help="Keep results whose submission, checks and image are the same.")
@click.option("--strict", is_flag=True, help="Fail where there is no Docker, instead of grading unisolated.")
@click.option("--scenario/--no-scenario", default=True, help="Run the whole platform too (default).")
def grade_command(
    folder: Path,
    asked: str,
    out: Path,
    jobs: int,
    runtime: str,
    base: str,
    seed: int | None,
    resume: bool,
    strict: bool,
    scenario: bool,
) -> None:
    """Grade a folder of submissions: one entry of it a learner, each in containers of its own.

    An entry is a folder like my/lab05, a notebook, or a Python file. Without Docker the same checks run in a
    child process, and every output says NOT ISOLATED.
    """
    lab = labs.find(asked).lab
    wanted = list(submissions.find(folder, lab))
    out.mkdir(parents=True, exist_ok=True)
    seed = _seed(out, seed, resume)
    terms = grading.terms(lab, seed, runtime, base, click.echo, scenario=scenario, strict=strict)
    if not terms.isolated:
        click.echo("NOT ISOLATED: no Docker here; the submissions run as you, and may do what you may")
    began = time.monotonic()
    results = []
    for result, before in grading.grade_all(wanted, terms, out, jobs, resume):
        results.append(result)
        click.echo(_line(result, before))
    outputs.export(results, out)
    _summary(results, time.monotonic() - began, out)


def _seed(out: Path, seed: int | None, resume: bool) -> int:
    """The batch's seed: the one given, the one of the batch that is resumed, or a new one; it is kept."""
    path = out / "batch.json"
    if seed is None and resume and path.exists():
        try:
            seed = int(json.loads(path.read_text())["seed"])
        except (ValueError, KeyError, TypeError) as error:
            raise LabError(
                f"{path} is damaged ({error}); give the batch's --seed, or another folder"
            ) from None
    seed = grading.new_seed() if seed is None else seed
    path.write_text(json.dumps({"seed": seed}))
    return seed


def _line(result: Result, before: bool) -> str:
    tasks = "  ".join(f"{task.id} {task.passed}/{task.checks}" for task in result.tasks)
    how = "from before" if before else f"{result.seconds:.2f} s"
    notes = f"  ({'; '.join(result.notes)})" if result.notes else ""
    return f"{result.name:24} {result.points:6.2f} of {result.possible}  {tasks}  {how}{notes}"


def _summary(results: list[Result], seconds: float, out: Path) -> None:
    count, containers = len(results), sum(result.container_seconds for result in results)
    share = containers / max(sum(result.seconds for result in results), 1e-9)
    mean = sum(result.points for result in results) / count
    click.echo(
        f"{count} submissions, mean {mean:.2f} points, {seconds:.1f} s: {seconds / count:.2f} s each, "
        f"{share:.0%} of it for containers; results in {out}"
    )


@click.command()
@click.argument("out", metavar="OUT", type=FOLDER)
@click.option(
    "--format",
    "formats",
    type=click.Choice(list(outputs.FORMATS)),
    multiple=True,
    help="Only this one; may be repeated. All of them if it is left out.",
)
def export_command(out: Path, formats: tuple[str, ...]) -> None:
    """Write Gradescope's results.json, JUnit XML, grades.csv and the pages again, from OUT's results."""
    written = outputs.export(load_all(out), out, formats or outputs.FORMATS)
    for name in sorted({path.relative_to(out).parts[0] for path in written}):
        click.echo(f"wrote {out / name}")


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--base", default=BASE, show_default=True, help="Image that the labs' images are built on.")
def course_command(folder: Path, base: str) -> None:
    """Make an nbgrader course of all labs in DIR, outside of the repository; settings there are kept.

    \b
    Then, in DIR:
      nbgrader generate_assignment lab05
      nbgrader autograde lab05
      nbgrader generate_feedback lab05
    """
    for path in course.make(folder, labs.all_labs(), grading.new_seed(), base):
        click.echo(f"wrote {path}")
