"""A learner's own parts in the real platform: an import overlay, symbol by symbol.

`MINIRUN_OVERLAY` lists folders. When `minirun.autoscaling.decider` is imported and one of them has
`autoscaling/decider.py`, that file is the module, and each function or class in it that is still the
untouched stub of a lab is the reference's. What the file left out is the reference's too, so whoever is stuck
in one lab is not shut out of the next. Child processes inherit the variable, and so the parts. Where parts
are judged, `MINIRUN_OVERLAY_STUBS=keep` takes the files as they are.
"""

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import ModuleType

VARIABLE = "MINIRUN_OVERLAY"
KEEP_STUBS = "MINIRUN_OVERLAY_STUBS"  # `keep`: nothing stands in for what is not written
STUB_MARK = "task "  # a stub raises NotImplementedError("task 5.2")

Named = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Part:
    """A module that is partly a learner's: its file, and the stubs in it that the reference stands in for."""

    module: str
    path: Path
    own: tuple[str, ...]
    reference: tuple[str, ...]

    def __str__(self) -> str:
        whose = [f"{name} (yours)" for name in self.own] + [f"{name} (reference)" for name in self.reference]
        return f"{shown(self.path)}: {', '.join(whose) or 'nothing of yours yet'}"


PARTS: dict[str, Part] = {}
"""The parts that are in this process, by module."""


def folders() -> list[Path]:
    """The folders of `MINIRUN_OVERLAY`, first come, first served."""
    return [Path(each).resolve() for each in os.environ.get(VARIABLE, "").split(os.pathsep) if each]


def is_stub(node: ast.AST) -> bool:
    """Whether a function's body, but for its docstring, is `raise NotImplementedError("task ...")`."""
    if not isinstance(node, FUNCTIONS):
        return False
    match node.body[ast.get_docstring(node) is not None :]:
        case [ast.Raise(exc=ast.Call(func=ast.Name("NotImplementedError"), args=[ast.Constant(str(text))]))]:
            return text.startswith(STUB_MARK)
    return False


def is_untouched(node: Named, reference: Named) -> bool:
    """Whether a learner has written nothing of `node`: a class then has stubs and what the reference has."""
    if not isinstance(node, ast.ClassDef):
        return is_stub(node)
    known = {ast.dump(member) for member in reference.body}
    written = [member for member in node.body if not is_stub(member)]
    return len(written) < len(node.body) and all(ast.dump(member) in known for member in written)


def names_of(node: ast.stmt) -> list[str]:
    """What a top-level statement defines, imports aside."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.AnnAssign(target=ast.Name(name)):
            return [name]
        case ast.Assign():
            return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


def combine(own: ast.Module, reference: ast.Module) -> Iterator[tuple[bool, ast.stmt]]:
    """The statements of the module that both make, each with whether it is the learner's.

    The reference's imports come first, for its functions that stand in; what the learner's file left out
    keeps its place among the rest.
    """
    stands_in = {node.name: node for node in reference.body if isinstance(node, Named)}
    defined = {name for node in own.body for name in names_of(node)}
    yield from ((False, node) for node in reference.body if isinstance(node, (ast.Import, ast.ImportFrom)))
    left_out = deque(node for node in reference.body if names_of(node))
    for node in own.body:
        names = {*names_of(node)}
        if any(names & {*names_of(each)} for each in left_out):
            while not names & {*names_of(left := left_out.popleft())}:
                if not defined & {*names_of(left)}:
                    yield False, left
        theirs = stands_in.get(node.name) if isinstance(node, Named) else None
        if isinstance(node, Named) and theirs is not None and is_untouched(node, theirs):
            yield False, theirs
        else:
            yield True, node
    yield from ((False, node) for node in left_out if not defined & {*names_of(node)})


class OverlayLoader(importlib.abc.Loader):
    """Runs the statements of both files in one module; each keeps its own file and lines in a traceback."""

    def __init__(self, own: Path, reference: Path) -> None:
        self._own, self._reference = own, reference

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        own, reference = (ast.parse(p.read_bytes(), p) for p in (self._own, self._reference))
        statements = list(combine(own, reference))
        named = [(is_own, node.name) for is_own, node in statements if isinstance(node, Named)]
        stubs = {node.name for node in own.body if isinstance(node, Named)}
        PARTS[module.__name__] = Part(
            module.__name__,
            self._own,
            tuple(name for is_own, name in named if is_own and not self._is_reference(name, own, reference)),
            tuple(name for is_own, name in named if not is_own and name in stubs),
        )
        for is_own, group in groupby(statements, key=lambda pair: pair[0]):
            part = ast.Module([node for _, node in group], [])
            code = compile(part, self._own if is_own else self._reference, "exec", dont_inherit=True)
            exec(code, module.__dict__)

    @staticmethod
    def _is_reference(name: str, own: ast.Module, reference: ast.Module) -> bool:
        """Whether a definition is the same in both files: given, and not changed."""
        texts = [
            [ast.dump(node) for node in tree.body if isinstance(node, Named) and node.name == name]
            for tree in (own, reference)
        ]
        return texts[0] == texts[1]


class OverlayFinder(importlib.abc.MetaPathFinder):
    """Finds the modules of `minirun` that a folder of the overlay has a file for."""

    def __init__(self, places: Sequence[Path], keep_stubs: bool) -> None:
        self._places, self._keep_stubs = places, keep_stubs

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        package, _, rest = fullname.partition(".")
        if package != "minirun" or not rest:
            return None
        file = Path(*rest.split(".")).with_suffix(".py")
        own = next((place / file for place in self._places if (place / file).is_file()), None)
        found = importlib.machinery.PathFinder.find_spec(fullname, path) if own else None
        if own is None or found is None or found.origin is None:
            return None
        loader = None if self._keep_stubs else OverlayLoader(own, Path(found.origin))
        return importlib.util.spec_from_file_location(fullname, own, loader=loader)


class OverlayError(Exception):
    """A folder or a file in it that can't be laid over the platform: one sentence, with file and line."""


def install(more: Sequence[Path] = ()) -> None:
    """Lays the folders of `MINIRUN_OVERLAY` over the package; called before any module is imported.

    more: folders that come before those of the variable; child processes get them too.
    """
    if more:
        places = [*(place.resolve() for place in more), *folders()]
        os.environ[VARIABLE] = os.pathsep.join(map(str, dict.fromkeys(places)))
    sys.meta_path.insert(0, OverlayFinder(folders(), os.environ.get(KEEP_STUBS) == "keep"))


def load() -> list[Part]:
    """Imports what the folders have parts of; returns the parts, whoever imported them.

    Raises OverlayError for a folder without a part, and for a file that is no Python or fails when imported.
    """
    package = Path(__file__).parent
    for place in folders():
        files = [path.relative_to(place) for path in sorted(place.rglob("*.py"))]
        parts = [file for file in files if (package / file).is_file()]
        if not parts:
            raise OverlayError(f"{place} has no part of minirun, as autoscaling/decider.py in it")
        for file in parts:
            try:
                importlib.import_module(".".join(("minirun", *file.with_suffix("").parts)))
            except Exception as error:
                raise OverlayError(where(error) or f"{place / file}: {error}") from error
    return list(PARTS.values())


def where(error: BaseException) -> str:
    """The innermost line of a learner's file that an error comes from, and the error; empty if none is."""
    kind = f"{type(error).__name__}: {error}"
    places = folders()
    if isinstance(error, SyntaxError) and error.filename:
        return f"{shown(error.filename)}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if any(Path(frame.filename).is_relative_to(place) for place in places):
            return f"{shown(frame.filename)}, line {frame.lineno}, in {frame.name}: {frame.line}: {kind}"
    return ""


def shown(path: Path | str) -> str:
    """A file's name as short as it is from here."""
    here = Path.cwd()
    return str(Path(path).relative_to(here) if Path(path).is_relative_to(here) else path)
