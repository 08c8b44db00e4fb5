"""Runs next to a learner's part and calls it: what a container or a child process is started with.

It knows no tests, no expected values and no scores. A request names a drive (`minilab/drives/`), which turns
plain data into calls of the platform's functions, and the answer is plain data. What the part prints goes to
standard error and is never read for a score.
"""

import base64
import importlib
import os
import traceback
from pathlib import Path
from typing import Any  # requests and answers are JSON of many shapes

from minilab import wire

DEEPEST_FRAMES = 3


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request; whatever the part raises is part of it."""
    if "files" in request:
        return lay_out(request["files"])
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


def lay_out(files: dict[str, str]) -> dict[str, Any]:
    """Writes the part's files (base64, by path) into the overlay folder; before anything is imported."""
    folder = Path(os.environ["MINIRUN_OVERLAY"])
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(content))
    return {"came": len(files)}


def _where(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)[1:]
    if isinstance(error, SyntaxError):
        return [f"{error.filename}, line {error.lineno}: {(error.text or '').strip()}"]
    return [f"{f.filename}, line {f.lineno}, in {f.name}: {f.line}" for f in frames[-DEEPEST_FRAMES:]]


def limit() -> None:
    """Bounds this process and its children, as far as the system lets it: not an isolation."""
    try:
        import resource
    except ImportError:  # Windows
        return
    bounds = {"CPU": 60, "AS": 2 << 30, "FSIZE": 32 << 20, "NOFILE": 256, "CORE": 0}
    for name, bound in bounds.items():
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (bound, bound))
        except (ValueError, OSError):  # macOS has no limit of address space
            continue


def main() -> None:
    """Answers requests until standard input ends."""
    if os.environ.get("MINILAB_LIMITED"):
        limit()
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # print() of the part must not reach the wire
    silence = os.open(os.devnull, os.O_RDONLY)
    os.dup2(silence, 0)
    while (request := wire.read(requests)) is not None:
        answers.write(wire.encode({"id": request["id"], **answer(request)}))
        answers.flush()


if __name__ == "__main__":
    main()
