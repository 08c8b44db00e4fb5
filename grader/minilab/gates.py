"""The author's gates: what must hold of every lab before anybody learns from it.

Each gate is a function from a lab to the faults that it finds, one sentence each that says what to do. The
fast ones read and compare; the slow ones run the chapter's commands and the notebook against the reference.
"""

import ast
import doctest
import importlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from minilab import building, chapter, labs
from minilab.child import Child
from minilab.cutting import statements
from minilab.judging import ChecksError, Verdict, judge
from minilab.labs import REFERENCE, ROOT, Bug, Lab, Task, file_of, name_of
from minilab.part import Part
from minirun.overlay import Named

Gate = Callable[[Lab], Iterator[str]]

LEAST_BUGS, LEAST_HINTS = 2, 2
WORDS, TOUR_WORDS = range(1_200, 1_801), range(600, 1_001)
SECTIONS = (
    "Goals",
    "Invariants",
    "Predict before coding",
    "See it run",
    "In the real thing",
    "Checkpoint",
    "Test your understanding",
    "Break it",
    "Bonus",
)
TOUR_SECTIONS = ("Goals", "Predict before", "In the real thing", "Checkpoint", "Test your understanding")
SHORT_STATEMENT = 24  # characters; a shorter one, such as `return False`, is nobody's solution


def is_fresh(lab: Lab) -> Iterator[str]:
    """What is generated is what the sources make."""
    for path in building.stale([lab]):
        yield f"{path.relative_to(ROOT)} is not what the sources make; run `lab build`"


def adds_up(lab: Lab) -> Iterator[str]:
    """The minutes of reading and tasks are the lab's."""
    minutes = sum(lab.reading.values()) + sum(task.minutes for task in lab.tasks)
    if minutes != lab.minutes:
        yield f"lab.toml: reading and tasks take {minutes} minutes and the lab {lab.minutes}; make them equal"


def is_helpful(lab: Lab) -> Iterator[str]:
    """Every task has hints, planted bugs, and its own place in the chapter."""
    source = (lab.source / "lab.md").read_text(encoding="utf-8")
    placed = [piece.text for piece in chapter.pieces(source) if piece.kind == "task"]
    for task in lab.tasks:
        if len(task.hints) < LEAST_HINTS:
            yield f"lab.toml: task {task.id} has {len(task.hints)} hints; give it {LEAST_HINTS} or more"
        if task.symbols and len(task.bugs) < LEAST_BUGS:
            yield f"lab.toml: task {task.id} has {len(task.bugs)} planted bugs; plant {LEAST_BUGS} or more"
        if placed.count(task.id) != 1:
            yield f"lab.md: <!-- task {task.id} --> stands {placed.count(task.id)} times; it must stand once"


def reads_well(lab: Lab) -> Iterator[str]:
    """The chapter has its anatomy and its length, and each question an answer."""
    source = (lab.source / "lab.md").read_text(encoding="utf-8")
    headings = chapter.headings(source)
    sections, wanted = (SECTIONS, WORDS) if any(labs.symbols(lab)) else (TOUR_SECTIONS, TOUR_WORDS)
    missing = [section for section in sections if not any(each.startswith(section) for each in headings)]
    if missing:
        yield f"lab.md has no section {', '.join(missing)}; write it, or its heading as it is called here"
    words = chapter.word_count(source)
    if words not in wanted:
        yield f"lab.md has {words} words; {wanted.start} to {wanted.stop - 1} are wanted"
    if (count := len(chapter.answers(source))) not in (5, 6):
        yield f"lab.md has {count} questions with <!-- answer ... -->; 5 or 6 are wanted"


def gives_nothing_away(lab: Lab) -> Iterator[str]:
    """No statement of a solution stands in what learners are given."""
    given = "\n".join(
        path.read_text(encoding="utf-8")
        for path in sorted(lab.starter.rglob("*"))
        if path.suffix in {".py", ".md", ".ipynb"}
    )
    for _task, symbol in labs.symbols(lab):
        tree = ast.parse((REFERENCE / file_of(symbol)).read_bytes())
        starter = building.starter_of(lab, file_of(symbol))
        kept = {text for node in ast.parse(starter).body for text in statements(node)}
        for node in tree.body:
            if isinstance(node, Named) and node.name == name_of(symbol):
                for text in dict.fromkeys(statements(node)):
                    if len(text) >= SHORT_STATEMENT and text not in kept and text in given:
                        yield f"{symbol}: its statement {text!r} stands under {lab.starter.name}; take it out"


def reference_passes(lab: Lab) -> Iterator[str]:
    """The reference passes every public and hidden check, and its doctests."""
    for verdict in verdicts(lab, lab.solved, hidden=True):
        if not verdict.passed:
            yield f"{verdict.name}: the reference fails it: {verdict.failure}"
    for file in dict.fromkeys(file_of(symbol) for _, symbol in labs.symbols(lab)):
        module = importlib.import_module("minirun." + file.removesuffix(".py").replace("/", "."))
        if failed := doctest.testmod(module).failed:
            yield f"{file}: {failed} of its doctests fail"


def starter_passes_nothing(lab: Lab) -> Iterator[str]:
    """The starter passes no check: none can be passed without work."""
    for verdict in verdicts(lab, [lab.starter], hidden=True):
        if verdict.passed:
            yield f"{verdict.name}: the starter passes it; it must fail until the task is written"


def checks_belong(lab: Lab) -> Iterator[str]:
    """Every check has a behaviour and a task, and every task has public and hidden checks."""
    for hidden in (False, True):
        known = {task.id for task in lab.tasks if task.symbols or (task.answers and not hidden)}
        found = verdicts(lab, lab.solved, files=[lab.hidden_checks if hidden else lab.checks])
        for verdict in found:
            if verdict.task not in known:
                yield f"{verdict.name}: mark it with one of the tasks {', '.join(sorted(known))}"
            if not verdict.behaviour:
                yield f"{verdict.name}: its docstring must name the behaviour that it is about"
        for task_id in sorted(known - {verdict.task for verdict in found}):
            yield f"task {task_id} has no {'hidden' if hidden else 'public'} check; write one"


def bugs_show(lab: Lab) -> Iterator[str]:
    """Each planted bug turns a public check of its task red, and no check of another task."""
    for task in lab.tasks:
        for bug in task.bugs:
            with tempfile.TemporaryDirectory(prefix="minilab-") as folder:
                try:
                    plant(task, bug, Path(folder))
                except ValueError as error:
                    yield str(error)
                    continue
                failed = {verdict.task for verdict in verdicts(lab, [Path(folder)]) if not verdict.passed}
            if task.id not in failed:
                yield f"task {task.id}: no public check fails with the planted bug {bug.name!r}; write one"
            for other in sorted(failed - {task.id}):
                yield f"task {task.id}: the planted bug {bug.name!r} fails checks of {other} too"


def plant(task: Task, bug: Bug, folder: Path) -> Path:
    """Write the reference's module with a bug into an overlay folder; ValueError if its text is not there."""
    file = bug.file or file_of(task.symbols[0])
    source = (REFERENCE / file).read_text(encoding="utf-8")
    if (times := source.count(bug.find)) != 1:
        text = f"the text that the bug {bug.name!r} looks for stands {times} times in {file}"
        raise ValueError(f"task {task.id}: {text}; it must stand once")
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source.replace(bug.find, bug.replace), encoding="utf-8")
    return path


def verdicts(
    lab: Lab, overlay: list[Path], hidden: bool = False, files: list[Path] | None = None
) -> list[Verdict]:
    """What the checks say of a part in a child process."""
    wanted = files or ([lab.checks, lab.hidden_checks] if hidden else [lab.checks])
    present = [file for file in wanted if file.exists()]
    seeds = dict.fromkeys(present, lab.number)
    return judge(seeds, Part(lab.id, lambda: Child(overlay))) if present else []


FAST: tuple[Gate, ...] = (
    is_fresh,
    adds_up,
    is_helpful,
    reads_well,
    gives_nothing_away,
    reference_passes,
    starter_passes_nothing,
    checks_belong,
    bugs_show,
)


def faults(lab: Lab, gates: Iterable[Gate] = FAST) -> Iterator[str]:
    """What the gates find; a gate that can't judge for broken checks says so too."""
    for gate in gates:
        try:
            yield from gate(lab)
        except ChecksError as error:
            yield str(error)
