"""Grades submissions: for each a fresh driver, the checks on this side, and a result that is written at once.

The unit stage asks the driver for the answers of single tasks; the scenario stage starts the whole platform
with the learner's part in a second fresh container and judges what a client sees of it. Whatever a submission
does costs it its own answers, and nothing else.
"""

import hashlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import msgspec

from minilab import labs
from minilab.child import Child
from minilab.judging import judge
from minilab.labs import Lab, LabError
from minilab.part import Channel, CheckFailed, Part
from minilab.results import SCENARIO, CheckResult, Result, load, path_of, save, tasks_of, writable
from minilab.submissions import Submission

CALL_SECONDS, UNIT_SECONDS = 4.0, 90.0
SCENARIO_CALL_SECONDS, SCENARIO_SECONDS = 45.0, 60.0
PROCESS = "process"
WHOLE = {  # the room for a whole platform; gVisor's own threads are counted, too
    "runc": {"memory_mib": 512, "processes": 192, "cpu_seconds": 120},
    "runsc": {"memory_mib": 512, "processes": 1024, "cpu_seconds": 120},
}


@dataclass(frozen=True, slots=True)
class Terms:
    """What all submissions of a batch are graded by.

    runtime: `runc` or `runsc`, or `process` for a child of this machine, which is not isolated. image and its
    digest: of the lab, empty without containers. seed: of the hidden checks.
    """

    lab: int
    seed: int
    runtime: str
    image: str = ""
    image_digest: str = ""
    scenario: bool = True

    @property
    def isolated(self) -> bool:
        return self.runtime != PROCESS

    def digest(self, lab: Lab, submission: Submission) -> str:
        """Of all that decides on a grade; equal digests need no second grading."""
        content = hashlib.sha256(msgspec.json.encode(self))
        files = [lab.source / "lab.toml", lab.checks, lab.hidden_checks, lab.scenario]
        files += sorted(Path(__file__).parent.rglob("*.py"))
        for path in files:
            content.update(path.read_bytes() if path.exists() else b"")
        for name in sorted(submission.files):
            content.update(f"{name}\0".encode() + submission.files[name])
        return content.hexdigest()[:16]


def terms(
    lab: Lab,
    seed: int,
    runtime: str,
    base: str,
    tell: Callable[[str], None],
    *,
    scenario: bool = True,
    strict: bool = False,
) -> Terms:
    """What a batch is graded by; builds the lab's image on the image `base` if it has to.

    Without Docker it is a child process, or LabError where it must be `strict`. tell: hears what takes long.
    """
    try:
        from minilab import container, images

        container.client()
    except (ImportError, LabError) as error:
        why = (
            "the extra is missing: pip install 'minirun[grader]'" if isinstance(error, ImportError) else error
        )
        if strict:
            raise LabError(f"--strict grades in containers only, and {why}") from None
        return Terms(lab.number, seed, PROCESS, scenario=scenario)
    known = container.runtimes()
    if runtime not in known:
        raise LabError(
            f"this Docker engine has no {runtime}; it has {', '.join(sorted(known))}. Install gVisor's "
            "runsc and name it in /etc/docker/daemon.json (gvisor.dev/docs/user_guide/install)"
        )
    if swept := container.sweep():
        tell(f"removed {swept} left-over containers")
    name, digest = images.ensure(lab, base, tell)
    return Terms(lab.number, seed, runtime, name, digest, scenario)


class Opener:
    """Opens drivers for one submission, each of which nobody has used, and counts what that takes.

    whole: with room for the whole platform.
    """

    def __init__(self, terms: Terms, submission: Submission, whole: bool) -> None:
        self._terms, self._submission, self._whole = terms, submission, whole
        self.seconds = 0.0

    def open(self) -> Channel:
        """A fresh driver with the submission's files."""
        files, began = self._submission.files, time.monotonic()
        try:
            if not self._terms.isolated:
                return LimitedChild(files)
            from minilab.container import Container

            more = WHOLE[self._terms.runtime] if self._whole else {}
            return Container(self._terms.image, files, self._terms.runtime, **more)
        finally:
            self.seconds += time.monotonic() - began


class LimitedChild(Child):
    """A driver in a child process with limits where the system has them. It is not isolated."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._part = Path(tempfile.mkdtemp(prefix="minilab-part-"))
        for name, content in files.items():
            path = self._part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        super().__init__([self._part], limited=True)

    def close(self) -> None:
        super().close()
        shutil.rmtree(self._part, ignore_errors=True)


def grade(submission: Submission, terms: Terms) -> Result:
    """One submission's result; never raises for what the submission does."""
    lab = labs.find(str(terms.lab)).lab
    began = time.monotonic()
    unit, whole = Opener(terms, submission, whole=False), Opener(terms, submission, whole=True)
    seeds = {lab.checks: lab.number}
    if lab.hidden_checks.exists():
        seeds[lab.hidden_checks] = terms.seed
    checks = list(_checks(seeds, Part(lab.id, unit.open, CALL_SECONDS, UNIT_SECONDS), lab))
    if terms.scenario and lab.scenario.exists():
        part = Part("live", whole.open, SCENARIO_CALL_SECONDS, SCENARIO_SECONDS)
        checks += _checks({lab.scenario: terms.seed}, part, lab)
    return Result(
        name=submission.name,
        lab=lab.number,
        title=lab.title,
        seed=terms.seed,
        digest=terms.digest(lab, submission),
        runtime=terms.runtime,
        isolated=terms.isolated,
        seconds=round(time.monotonic() - began, 3),
        container_seconds=round(unit.seconds + whole.seconds, 3),
        tasks=tasks_of(lab, checks),
        checks=tuple(checks),
        notes=tuple(map(writable, submission.notes)),
    )


def _checks(seeds: dict[Path, int], part: Part, lab: Lab) -> Iterator[CheckResult]:
    for verdict in judge(seeds, part):
        hidden = verdict.file != lab.checks.name
        task = SCENARIO if verdict.file == lab.scenario.name else verdict.task
        passed, message = verdict.passed, writable(_message(verdict.failure, hidden))
        yield CheckResult(task, verdict.name, verdict.behaviour, hidden, passed, message)


def _message(failure: CheckFailed | None, hidden: bool) -> str:
    """What a learner may read of a failure: of a hidden check the rule, never its inputs or its answer."""
    if failure is None:
        return ""
    if failure.unwritten:
        # What a stub says is the part's own text: after a hidden check it could hold what it was called with.
        return "a task that it needs is not written" if hidden else f"{failure.unwritten} is not written"
    return failure.because if hidden else str(failure)


def grade_all(
    submissions: Iterable[Submission], terms: Terms, out: Path, jobs: int, resume: bool
) -> Iterator[tuple[Result, bool]]:
    """Grade a batch, `jobs` at a time; yields each result, already written, and whether it is from before.

    resume: take over results of the same digest.
    """
    lab = labs.find(str(terms.lab)).lab
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=alone) as pool:
        waiting: list[tuple[Submission, Future[Result] | Result]] = []
        for submission in submissions:
            path = path_of(out, submission.name)
            before = load(path) if resume and path.exists() else None
            if before is not None and before.digest == terms.digest(lab, submission):
                waiting.append((submission, before))
            else:
                waiting.append((submission, pool.submit(_grade_and_save, submission, terms, out)))
        for _, work in waiting:
            yield (work, True) if isinstance(work, Result) else (work.result(), False)


def _grade_and_save(submission: Submission, terms: Terms, out: Path) -> Result:
    result = grade(submission, terms)
    save(result, out)
    return result


def alone() -> None:
    """A worker judges with the reference, whatever the shell that it came from had laid over it."""
    os.environ.pop("MINIRUN_OVERLAY", None)


def new_seed() -> int:
    """A seed that nobody can guess."""
    return secrets.randbelow(2**48)
