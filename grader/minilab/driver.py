"""Runs next to a learner's part and calls it: what a container or a child process is started with.

It knows no tests, no expected values and no scores. A request names a drive (`minilab/drives/`), which turns
plain data into calls of the platform's functions, and the answer is plain data. What the part prints goes to
standard error and is never read for a score.
"""

import importlib
import os
import traceback
from typing import Any  # requests and answers are JSON of many shapes

from minilab import wire

DEEPEST_FRAMES = 3


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request; whatever the part raises is part of it."""
    try:
        module, _, name = request["drive"].partition(".")
        drive = getattr(importlib.import_module(f"minilab.drives.{module}"), name)
        came = drive(request["case"])
        wire.encode(came)
    except NotImplementedError as error:
        return {"unwritten": str(error)}
    except BaseException as error:  # the part may raise anything, SystemExit too
        return {"raised": f"{type(error).__name__}: {error}"[:2000], "where": _where(error)}
    return {"came": came}


def _where(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)[1:]
    if isinstance(error, SyntaxError):
        return [f"{error.filename}, line {error.lineno}: {(error.text or '').strip()}"]
    return [f"{f.filename}, line {f.lineno}, in {f.name}: {f.line}" for f in frames[-DEEPEST_FRAMES:]]


def main() -> None:
    """Answers requests until standard input ends."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # print() of the part must not reach the wire
    silence = os.open(os.devnull, os.O_RDONLY)
    os.dup2(silence, 0)
    while (request := wire.read(requests)) is not None:
        answers.write(wire.encode({"id": request["id"], **answer(request)}))
        answers.flush()


if __name__ == "__main__":
    main()
