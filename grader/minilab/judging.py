"""Runs a lab's checks against a part: pytest on this side, the learner's code on the other side of the wire.

A check is a pytest function with the fixtures `part` and `rng`, marked with its task; its docstring's first
line is the behaviour that it is about. It never imports what it checks. Public checks draw the same cases
each time; hidden ones are given a seed.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from minilab.part import CheckFailed, Part

SETTINGS = Path(__file__).with_name("checks.ini")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one check. `failure` is None if it passed."""

    task: str
    name: str
    file: str
    behaviour: str
    failure: CheckFailed | None

    @property
    def passed(self) -> bool:
        return self.failure is None


class ChecksError(Exception):
    """The checks themselves are broken: an author's mistake, never a learner's."""


@dataclass
class Judge:
    """The pytest plugin: fixtures, selection and verdicts of one run."""

    part: Part
    seeds: Mapping[str, int]
    task: str | None
    tell: Callable[[Verdict], None]
    verdicts: list[Verdict] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def pytest_configure(self, config: pytest.Config) -> None:
        config.addinivalue_line("markers", "task(id): the task that a check belongs to")

    @pytest.fixture(name="part")
    def the_part(self, request: pytest.FixtureRequest) -> Part:
        self.part.task = task_of(request.node)
        return self.part

    @pytest.fixture
    def rng(self, request: pytest.FixtureRequest) -> Random:
        """Chance, the same for a seed and a check, whatever runs before it."""
        return Random(f"{self.seeds[request.path.name]} {request.node.name}")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.task is not None:
            items[:] = [item for item in items if task_of(item) == self.task]

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        yield
        error = call.excinfo.value if call.excinfo else None
        if isinstance(error, CheckFailed) or (error is None and call.when == "call"):
            verdict = Verdict(task_of(item), item.name, item.path.name, behaviour_of(item), error)
            self.verdicts.append(verdict)
            self.tell(verdict)
        elif error is not None:
            self.faults.append(f"{item.name}: {type(error).__name__}: {error}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.faults.append(str(report.longrepr))


def task_of(item: pytest.Item) -> str:
    """The task that a check is marked with; empty if it is not."""
    mark = item.get_closest_marker("task")
    return str(mark.args[0]) if mark else ""


def behaviour_of(item: pytest.Item) -> str:
    """The first line of a check's docstring."""
    function = getattr(item, "function", None)
    return (getattr(function, "__doc__", None) or "").strip().partition("\n")[0]


def judge(
    seeds: Mapping[Path, int],
    part: Part,
    task: str | None = None,
    tell: Callable[[Verdict], None] = lambda verdict: None,
) -> list[Verdict]:
    """Run files of checks against `part`, and close it.

    seeds: the files, each with what its chance begins from. task: only this task's checks. tell: is told each
    verdict as it comes. Raises ChecksError if a check is broken or there is none.
    """
    plugin = Judge(part, {file.name: seed for file, seed in seeds.items()}, task, tell)
    before = os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # no plugin of this environment has a say in a grade
    options = [
        "-c",
        str(SETTINGS),
        "--rootdir",
        str(next(iter(seeds)).parent),
        "-p",
        "no:terminal",
        "-p",
        "no:cacheprovider",
    ]
    try:
        status = pytest.main([*map(str, seeds), *options], plugins=[plugin])
    finally:
        part.close()
        if before is None:
            del os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]
        else:
            os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = before
    if plugin.faults or status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        faults = "; ".join(plugin.faults) or f"pytest ended with {status!r}"
        raise ChecksError(f"the checks in {', '.join(file.name for file in seeds)} are broken: {faults}")
    return plugin.verdicts
