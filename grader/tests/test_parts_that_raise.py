"""The platform outlives a learner's bug, whichever part it is in, and never blames itself for it."""

import ast
import contextlib
import signal
import subprocess
from pathlib import Path

import httpx
import pytest
from liveplatform import SERVING, running

from minilab import labs
from minilab.labs import REFERENCE, file_of, name_of
from minirun.overlay import FUNCTIONS, Named

STARTS_NOTHING = "control.queue:WorkQueue"  # without it there is no platform: `up` ends with the line
SYMBOLS = [symbol for lab in labs.all_labs() for _, symbol in labs.symbols(lab) if symbol != STARTS_NOTHING]
BUG = "raise ValueError('a bug of mine')"


def with_bug(symbol: str) -> str:
    """The module of a task whose function, or each method of whose class, raises."""
    tree = ast.parse((REFERENCE / file_of(symbol)).read_text(encoding="utf-8"))
    node = next(each for each in tree.body if isinstance(each, Named) and each.name == name_of(symbol))
    members = node.body if isinstance(node, ast.ClassDef) else [node]
    for member in members:
        if isinstance(member, FUNCTIONS) and member.name != "__init__":
            member.body = ast.parse(BUG).body
    return ast.unparse(tree)


@pytest.mark.soak
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_platform_stays_up_and_names_the_line(symbol: str, tmp_path: Path) -> None:
    path = tmp_path / "mine" / file_of(symbol)
    path.parent.mkdir(parents=True)
    path.write_text(with_bug(symbol), encoding="utf-8")
    with running(tmp_path / "data", "--overlay", str(tmp_path / "mine")) as platform:
        with contextlib.suppress(subprocess.TimeoutExpired):  # it may never be ready
            platform.minirun("deploy", "hello", "--image", "hello", check=False, seconds=8)
        with contextlib.suppress(httpx.HTTPError):
            platform.get("hello", timeout=3)
        platform.minirun("services", "delete", "hello", check=False)
        assert platform.api.get(f"{SERVING}/services").status_code == 200
        said = (tmp_path / "platform.stderr").read_text()
        assert "Traceback" not in said
        assert BUG not in said or f"in your part: {path}, line " in said
        assert platform.stop(signal.SIGTERM) == 0
        platform.start("--overlay", str(tmp_path / "mine"))
