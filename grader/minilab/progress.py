"""How far a learner is: what the last checks said, the hints that were read; in `my/.lab/progress.json`."""

import os

import msgspec

from minilab.judging import Verdict
from minilab.labs import MY, LabError, Task

FILE = MY / ".lab" / "progress.json"


class TaskProgress(msgspec.Struct):
    """One task: `passed` of `of` public checks when they last ran, and how many hints were read."""

    passed: int = 0
    of: int = 0
    hints: int = 0

    @property
    def done(self) -> bool:
        return 0 < self.of == self.passed

    def __str__(self) -> str:
        return "✓" if self.done else f"{self.passed}/{self.of}" if self.of else "-"


class Progress(msgspec.Struct):
    """A learner's tasks by id; what is not there has not been tried."""

    tasks: dict[str, TaskProgress] = {}

    def of(self, task: Task) -> TaskProgress:
        return self.tasks.setdefault(task.id, TaskProgress())

    def note(self, verdicts: list[Verdict]) -> None:
        """Keep what checks have said."""
        for task_id in {verdict.task for verdict in verdicts}:
            passed = [verdict.passed for verdict in verdicts if verdict.task == task_id]
            known = self.tasks.setdefault(task_id, TaskProgress())
            known.passed, known.of = sum(passed), len(passed)

    def save(self) -> None:
        """Write it as a whole, so that no crash leaves half of it."""
        FILE.parent.mkdir(parents=True, exist_ok=True)
        whole = FILE.with_suffix(".new")
        whole.write_bytes(msgspec.json.format(msgspec.json.encode(self)))
        os.replace(whole, FILE)


def load() -> Progress:
    """What was kept; LabError if it can't be read."""
    try:
        return msgspec.json.decode(FILE.read_bytes(), type=Progress)
    except FileNotFoundError:
        return Progress()
    except msgspec.MsgspecError as error:
        raise LabError(f"{FILE} is damaged ({error}); delete it: only progress and hints are in it") from None
