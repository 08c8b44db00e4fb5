"""The image that grades a lab holds the platform and the driver: no answer of it, nothing that judges."""

import ast

import pytest

from minilab import images, labs
from minilab.building import starter_of
from minilab.cutting import statements
from minilab.gates import SHORT_STATEMENT
from minilab.labs import REFERENCE, file_of, name_of
from minirun.overlay import Named

IDIOMS = 2  # statements that any two modules may share, such as `loop = asyncio.get_running_loop()`
LABS = [lab for lab in labs.all_labs() if any(labs.symbols(lab))]


def told(source: str) -> set[str]:
    """All statements of a text, in normal form."""
    return {text for node in ast.parse(source).body for text in statements(node)}


def secrets(lab: labs.Lab) -> set[str]:
    """The statements of a lab's answers that its starters do not have and that could be told apart."""
    found = set()
    for _, symbol in labs.symbols(lab):
        for node in ast.parse((REFERENCE / file_of(symbol)).read_bytes()).body:
            if isinstance(node, Named) and node.name == name_of(symbol):
                found |= {text for text in statements(node) if len(text) >= SHORT_STATEMENT}
    return found - {text for file in lab.files for text in told(starter_of(lab, file))}


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_no_answer_of_its_lab_is_in_an_image(lab: labs.Lab) -> None:
    hidden = secrets(lab)
    assert hidden
    for name, text in images.lab_files(lab).items():
        if name.endswith(".py"):
            same = hidden & told(text.decode())
            assert len(same) <= IDIOMS, (name, same)


def test_nothing_that_judges_is_in_an_image() -> None:
    names = images.lab_files(labs.find("5").lab)
    own = {name for name in names if name.startswith("minilab/")}
    assert own == {f"minilab/{name}" for name in (*images.DRIVER, "drives/lab05.py")}
    assert not [name for name in names if "test" in name or "hidden" in name or "solution" in name.lower()]
