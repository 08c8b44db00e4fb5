"""The platform's own log."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun.telemetry.platform_log import FILE_NAME, configure


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    logger = logging.getLogger("minirun")
    before = logger.level, logger.propagate
    yield
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.level, logger.propagate = before


def entries(directory: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (directory / FILE_NAME).read_text().splitlines()]


def test_the_file_is_json_and_stderr_short_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(tmp_path)
    log = logging.getLogger("minirun.control")
    log.info("quiet")
    log.warning("revision %s failed", "hello-00001")
    assert [(e["severity"], e["message"]) for e in entries(tmp_path)] == [
        ("INFO", "quiet"),
        ("WARNING", "revision hello-00001 failed"),
    ]
    assert capsys.readouterr().err.strip().endswith("W minirun.control: revision hello-00001 failed")


def test_a_traceback_is_one_field_of_one_line(tmp_path: Path) -> None:
    configure(tmp_path)
    try:
        raise ValueError("boom")
    except ValueError:
        logging.getLogger("minirun.x").exception("failed")
    (entry,) = entries(tmp_path)
    assert "ValueError: boom" in entry["exception"]


def test_configuring_again_does_not_double_the_lines(tmp_path: Path) -> None:
    configure(tmp_path)
    configure(tmp_path)
    logging.getLogger("minirun").info("once")
    assert len(entries(tmp_path)) == 1
