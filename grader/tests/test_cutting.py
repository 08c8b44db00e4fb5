"""Starters: what a task asks for loses its body, all else stays to the byte."""

import pytest

from minilab.cutting import Cut, CutError, starter

SOURCE = '''"""The module."""

from math import ceil  # needed by the answer

LIMIT = 7  # stays


def _secret(value: float) -> float:
    return value * 2


# How it is used.
@decorated
def need(
    load: float,
    target: float,
) -> int:
    """Pods for a load."""
    # Half a pod needs a pod.
    whole = ceil(load / target)
    return min(whole, LIMIT)


class Box:
    """Holds."""

    __slots__ = ("_items",)

    def __init__(self) -> None:
        self._items = []

    @property
    def size(self) -> int:
        """How many."""
        return len(self._items)

    def put(self, item: int) -> None: self._items.append(item)

    def _shrink(self) -> None:
        self._items.pop()


AFTER = need
'''


def cut(*symbols: str, given: dict[str, tuple[str, ...]] | None = None, drop: tuple[str, ...] = ()) -> str:
    return starter(SOURCE, [Cut("9.1", symbols, given or {}, drop)])


def test_a_function_keeps_decorator_signature_and_docstring_and_says_how_much_is_missing() -> None:
    assert '''@decorated
def need(
    load: float,
    target: float,
) -> int:
    """Pods for a load."""
    # TODO(you): about 3 lines
    raise NotImplementedError("task 9.1")


class Box:''' in cut("need")


def test_what_is_not_a_task_stays_to_the_byte() -> None:
    made = cut("need")
    assert made.startswith(SOURCE[: SOURCE.index("    # Half a pod")])
    assert made.endswith(SOURCE[SOURCE.index("class Box") :])


def test_a_class_keeps_its_public_face_and_loses_how_it_is_done() -> None:
    made = cut("Box")
    assert "_items" not in made
    assert "_shrink" not in made
    assert made.count('raise NotImplementedError("task 9.1")') == 3
    assert '        """How many."""\n        # TODO(you): about 1 line\n' in made


def test_a_given_member_stays() -> None:
    made = cut("Box", given={"Box": ("__init__", "__slots__")})
    assert "self._items = []" in made
    assert '__slots__ = ("_items",)' in made


def test_a_dropped_helper_is_gone() -> None:
    assert "_secret" not in cut("need", drop=("_secret",))


@pytest.mark.parametrize("name", ["LIMIT", "nothing"])
def test_only_functions_and_classes_at_the_top_can_be_tasks(name: str) -> None:
    with pytest.raises(CutError, match=name):
        cut(name)


def test_the_starter_is_python() -> None:
    compile(cut("need", "Box", drop=("_secret",)), "starter", "exec")
