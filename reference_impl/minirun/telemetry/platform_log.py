"""The platform's own log: everything under the logger `minirun`, to people on stderr and to a file as JSON.

The file holds one entry a line in the shape of Cloud Run's structured logs (`severity`, `message`, `time`,
`logger`), so that the tools that read instances' logs read it too. Counterpart: the zap logs of Knative's
controllers (ConfigMap config-logging).
"""

import logging
import sys
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType

import msgspec

from minirun import overlay

FILE_NAME = "platform.log"

Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class PeopleFormatter(logging.Formatter):
    """A line for people; where a learner's own part has raised, its line instead of the whole traceback."""

    def formatException(self, ei: Raised) -> str:  # noqa: N802 - its name in logging
        place = overlay.where(ei[1]) if ei[1] is not None else ""
        return f"  in your part: {place}" if place else super().formatException(ei)


class JSONFormatter(logging.Formatter):
    """One record as one JSON line; a traceback is the field `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "severity": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry).decode()


def configure(directory: Path) -> None:
    """Sends the platform's log to stderr (warnings and worse) and to `directory/platform.log` (INFO too).

    Call it once a process; calling it again replaces what the last call set up.
    """
    people = logging.StreamHandler(sys.stderr)
    people.setLevel(logging.WARNING)
    people.setFormatter(PeopleFormatter("%(asctime)s %(levelname).1s %(name)s: %(message)s", "%H:%M:%S"))
    directory.mkdir(parents=True, exist_ok=True)
    file = RotatingFileHandler(directory / FILE_NAME, maxBytes=10_000_000, backupCount=1, encoding="utf-8")
    file.setFormatter(JSONFormatter())
    for name in ("minirun", "asyncio"):  # asyncio tells what nobody has caught
        logger = logging.getLogger(name)
        for old in list(logger.handlers):
            logger.removeHandler(old)
            old.close()
        logger.addHandler(people)
        logger.addHandler(file)
        logger.setLevel(logging.INFO)
        logger.propagate = False
