"""What becomes of results: each format escapes what learners control and hides no warning."""

import csv
import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from minilab import grading, outputs
from minilab.cli import cli
from minilab.part import CheckFailed
from minilab.results import CheckResult, Result, TaskResult, save, writable

MARKUP = "<script>alert(1)</script>&\"'"
CHECKS = (
    CheckResult("5.1", "test_a", "A window forgets", hidden=False, passed=True),
    CheckResult("5.1", "test_b", "It rounds", hidden=False, passed=False, message=f"came {MARKUP}\x00"),
    CheckResult("5.2", "test_c[1]", "It falls", hidden=True, passed=False, message="invariant 2"),
    CheckResult(
        "5.2", "test_c[2]", "It falls", hidden=True, passed=False, message="invariant 2: it only falls"
    ),
)


def result(name: str, *, isolated: bool = True, checks: tuple[CheckResult, ...] = CHECKS) -> Result:
    tasks = (TaskResult("5.1", "The window", 10.0, 20, 1, 2), TaskResult("5.2", "The largest", 0.0, 20, 0, 2))
    runtime = "runc" if isolated else "process"
    notes = (f'=HYPERLINK("x"){MARKUP}',)
    return Result(name, 5, "The autoscaler", 7, "abc", runtime, isolated, 0.4, 0.2, tasks, checks, notes)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("out")
    for each in (result("anna"), result("bert", isolated=False)):
        save(each, place)
    done = CliRunner().invoke(cli, ["export", str(place)])
    assert done.exit_code == 0, done.output
    return place


class Tags(HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def texts(out: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(out.rglob("*")):
        if path.is_file() and path.parent.name != "results":
            yield path, path.read_text(encoding="utf-8")


def test_gradescope_gets_the_points_and_a_test_for_each_check(out: Path) -> None:
    document = json.loads((out / "gradescope" / "anna.json").read_text())
    assert document["score"] == 10.0
    assert [(test["score"], test["max_score"], test["status"]) for test in document["tests"]] == [
        (10.0, 10.0, "passed"),
        (0.0, 10.0, "failed"),
        (0.0, 10.0, "failed"),
        (0.0, 10.0, "failed"),
    ]
    assert document["tests"][2]["name"] == "5.2 (hidden) It falls"
    assert document["stdout_visibility"] == "hidden"


def test_junit_counts_tests_and_failures_and_is_xml_whatever_a_part_prints(out: Path) -> None:
    root = ElementTree.parse(out / "junit" / "anna.xml").getroot()
    assert (root.get("tests"), root.get("failures")) == ("4", "3")
    assert [len(suite.findall("testcase")) for suite in root] == [2, 2]
    failure = root.find(".//failure")
    assert failure is not None
    assert f"came {MARKUP}" in (failure.text or "")


def test_the_table_has_a_row_a_learner_and_no_formula(out: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((out / "grades.csv").read_text())))
    assert [(row["name"], row["5.1"], row["5.2"], row["points"], row["percent"]) for row in rows] == [
        ("anna", "10", "0", "10", "25.0"),
        ("bert", "10", "0", "10", "25.0"),
    ]
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())


def test_pages_hold_no_markup_of_a_learner_and_load_nothing(out: Path) -> None:
    for path in (out / "html").rglob("*.html"):
        page = Tags(path.read_text(encoding="utf-8"))
        assert not {"script", "img", "link", "iframe", "form"} & set(page.tags)
        assert "<script>alert(1)</script>" in page.text


def test_the_class_page_says_what_failed_for_most_learners(out: Path) -> None:
    page = Tags((out / "html" / "index.html").read_text(encoding="utf-8"))
    assert "2 submissions; mean 10.0, median 10.0, from 10 to 10 of 40 points." in page.text
    assert "It falls (hidden)2" in page.text


def test_every_output_of_a_submission_that_was_not_isolated_says_so_and_no_other(out: Path) -> None:
    for path, text in texts(out):
        alone = path.stem in ("anna", "bert")
        assert ("NOT ISOLATED" in text) == (path.stem == "bert" or not alone), path


def test_only_the_formats_that_are_asked_for_are_written(tmp_path: Path) -> None:
    save(result("anna"), tmp_path)
    done = CliRunner().invoke(cli, ["export", str(tmp_path), "--format", "csv", "--format", "junit"])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["grades.csv", "junit", "results"]


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["export", str(tmp_path)])
    assert done.exit_code == 1
    assert "holds no results; give the folder that `lab grade -o` wrote" in done.output


def test_what_a_stub_says_is_not_told_after_a_hidden_check() -> None:
    stub = CheckFailed("scale({'secret': 1})", "it", "an answer", "rule", unwritten="secret 1")
    assert "secret" not in grading._message(stub, hidden=True)
    assert "secret" not in grading._message(CheckFailed("scale(secret)", "secret", "1", "rule"), hidden=True)


def test_a_text_that_no_file_can_hold_becomes_one() -> None:
    assert writable("a\ud800b") == "a?b"


def test_the_formats_are_those_that_the_help_names() -> None:
    text = CliRunner().invoke(cli, ["export", "--help"]).output
    assert all(name in text for name in outputs.FORMATS)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_a_page_is_no_wider_than_a_phone(out: Path, tmp_path: Path) -> None:
    probe = tmp_path / "probe.html"
    page = (out / "html" / "index.html").read_text(encoding="utf-8")
    open_policy = page.replace("default-src 'none'", "default-src 'unsafe-inline'")
    script = "<script>document.title = String(document.documentElement.scrollWidth <= innerWidth)</script>"
    probe.write_text(open_policy.replace("</html>", f"{script}</html>"), encoding="utf-8")
    done = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile",
         "--window-size=390,844", "--dump-dom", str(probe)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "<title>true</title>" in done.stdout
