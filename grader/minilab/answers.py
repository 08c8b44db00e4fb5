"""Checks of what a learner has answered in words: the lab without code."""

import tomllib

from minilab import labs
from minilab.part import CheckFailed, Part


def expect_answer(part: Part, lab: str, task: str, key: str, where: str) -> None:
    """The learner's answer to `key` must be the solution's, whatever its case; `where` says where to look."""
    path = labs.find(lab).lab.source / labs.ANSWERS
    solution = str(tomllib.loads(path.read_text(encoding="utf-8"))[key])
    came = part.call("answer", {"task": task, "key": key})
    if str(came).strip(" .`").casefold() != solution.casefold():
        raise CheckFailed(f"answer({key})", repr(came), "what the platform shows", where)
