"""Every lab keeps what it promises to learners, and a gate that finds nothing could have found something."""

from pathlib import Path

import pytest

from minilab import gates, labs, rehearsal

LABS = labs.all_labs()


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
@pytest.mark.parametrize("gate", gates.FAST, ids=lambda gate: gate.__name__)
def test_gate(lab: labs.Lab, gate: gates.Gate) -> None:
    assert not list(gates.faults(lab, [gate]))


def test_the_workshops_readme_lists_every_lab_with_its_minutes() -> None:
    table = (labs.LABS / "README.md").read_text(encoding="utf-8")
    for lab in LABS:
        assert f"| {lab.number:02} | [{lab.title}]({lab.name}/README.md): " in table
        row = next(line for line in table.splitlines() if f"({lab.name}/README.md)" in line)
        assert row.endswith(f" {lab.minutes} |")


@pytest.mark.soak
@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
@pytest.mark.parametrize("gate", rehearsal.SLOW, ids=lambda gate: gate.__name__)
def test_rehearsal(lab: labs.Lab, gate: gates.Gate) -> None:
    assert not list(gates.faults(lab, [gate]))


def test_a_rehearsal_tells_of_commands_that_fail_and_keeps_what_the_shell_knows(tmp_path: Path) -> None:
    root = rehearsal.workshop(tmp_path / "clone")
    terminal = rehearsal.Terminal(root, rehearsal.environment(root))
    try:
        assert terminal.run("export A=1; cd my 2>/dev/null") == (1, "")
        assert terminal.run("echo $A;\necho two") == (0, "1\ntwo\n")
        assert terminal.run("no-such-command")[0] == 127
        assert terminal.run("exit 3")[0] is None
    finally:
        terminal.close()
