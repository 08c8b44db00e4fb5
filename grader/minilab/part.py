"""A learner's part as a check sees it: plain data in, plain data out, judged on this side.

The part runs elsewhere, behind a `Channel`: in a child process (`child.py`) or in a container. A part that
dies, hangs or babbles loses the one answer, and the next call finds a fresh one. An answer that does not come
from a driver that was asked before is asked for again from a fresh one: what broke it may have been another's
call. A task that is silent again and again is given up, so that it costs the others no time.
"""

import importlib
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Protocol  # Any: cases and answers are JSON of many shapes

from minilab import wire

CALL_SECONDS = 10.0
MAX_SILENCES = 2  # of one task; after that it is not asked any more
SHOWN_CHARACTERS = 300


class ChannelError(Exception):
    """The other end is gone, silent or not understood; the text says which, as the rest of "it ..."."""


class Channel(Protocol):
    """The two ways to a driver."""

    def ask(self, message: bytes, timeout_seconds: float) -> bytes:
        """Send a message, head included, or nothing; return the body of the next; or ChannelError."""
        ...

    def close(self) -> None:
        """End the other side, whatever it does."""
        ...


class CheckFailed(AssertionError):  # noqa: N818 - it is a verdict, not a fault
    """A check that did not pass.

    called: the drive and what it was given. came, expected: plain words. because: the rule. unwritten: the
    task's stub that answered, empty if there was none.
    """

    def __init__(
        self, called: str, came: str, expected: str = "", because: str = "", unwritten: str = ""
    ) -> None:
        super().__init__(f"called {called}; came {came}; expected {expected}; {because}")
        self.called, self.came, self.expected = called, came, expected
        self.because, self.unwritten = because, unwritten


class Part:
    """A learner's part.

    Args:
        lab: `lab05`, whose drives are called.
        connect: starts a fresh driver and returns the way to it.
        call_seconds: how long one answer may take.
        total_seconds: how long all answers together may take; after that there are none.

    `task` is whose check is running.
    """

    def __init__(
        self,
        lab: str,
        connect: Callable[[], Channel],
        call_seconds: float = CALL_SECONDS,
        total_seconds: float = float("inf"),
    ) -> None:
        self._lab, self._connect, self._call_seconds = lab, connect, call_seconds
        self._seconds_left = total_seconds
        self._silences: Counter[str] = Counter()
        self.task = ""
        self._channel: Channel | None = None

    def call(self, drive: str, case: Any, because: str = "") -> Any:
        """The part's answer, as JSON has it. CheckFailed if there is none."""
        answer = self._ask({"drive": f"{self._lab}.{drive}", "case": case})
        if "came" in answer:
            return answer["came"]
        unwritten = str(answer.get("unwritten", ""))
        if unwritten:
            came = f"{unwritten} is not written yet"
        elif "silence" in answer:
            came = f"no answer: it {answer['silence']}"
        else:
            where = [str(frame) for frame in answer.get("where", [])]
            came = "\n".join([str(answer.get("raised", "nothing")), *where])
        raise CheckFailed(f"{drive}({shorten(case)})", came, "an answer", because, unwritten)

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """The driver's answer to one request; `silence` says why there is none."""
        if self._silences[self.task] >= MAX_SILENCES:
            return {"silence": f"is not asked any more, after {MAX_SILENCES} silences"}
        while True:
            was_used, began = self._channel is not None, time.monotonic()
            try:
                return self._try(question)
            except (ChannelError, wire.WireError) as error:
                self.close()
                if not was_used:
                    self._silences[self.task] += 1
                    return {"silence": str(error)}
            finally:
                self._seconds_left -= time.monotonic() - began

    def _try(self, question: dict[str, Any]) -> dict[str, Any]:
        if self._seconds_left <= 0:
            raise ChannelError("has used up the time of the whole submission")
        if self._channel is None:
            self._channel = self._connect()
        request = {"id": secrets.token_hex(8), **question}
        message, end = wire.encode(request), time.monotonic() + self._call_seconds
        while True:
            answer = wire.decode(self._channel.ask(message, max(0.0, end - time.monotonic())))
            if isinstance(answer, dict) and answer.get("id") == request["id"]:
                return answer
            message = b""  # somebody in there says what nobody has asked

    def gives(self, drive: str, case: Any, expected: Any, because: str) -> None:
        """The answer must be `expected`, type for type (1 is not True, nor 1.0)."""
        came = self.call(drive, case, because)
        if wire.encode(came) == wire.encode(expected):  # the usual case, and the quick one
            return
        found = difference(came, plain(expected))
        if found is not None:
            path, wrong, right = found
            raise CheckFailed(_at(drive, case, path), f"{path}{wrong}", f"{path}{right}", because)

    def same(self, drive: str, case: Any, because: str) -> None:
        """The answer must be the reference's."""
        self.gives(drive, case, reference(self._lab, drive, case), because)

    def holds(self, drive: str, case: Any, wrong: Callable[[Any], str], rule: str, because: str) -> None:
        """The answer must obey a rule, where more than one answer is right.

        wrong: from the answer, what is wrong with it, empty if nothing. rule: what is expected, in words.
        """
        came = self.call(drive, case, because)
        try:
            found = wrong(came)
        except Exception:  # a part may answer anything
            found = f"an answer of another form: {shorten(came)}"
        if found:
            raise CheckFailed(f"{drive}({shorten(case)})", found, rule, because)

    def close(self) -> None:
        """End the driver, if there is one."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def reference(lab: str, drive: str, case: Any) -> Any:
    """What the reference answers, in this process."""
    return getattr(importlib.import_module(f"minilab.drives.{lab}"), drive)(plain(case))


def plain(value: Any) -> Any:
    """`value` as it looks behind the wire: tuples are lists there, and all keys are text."""
    return wire.decode(wire.encode(value)[wire.HEAD_BYTES :])


def difference(came: Any, expected: Any, path: str = "") -> tuple[str, str, str] | None:
    """The first place where two plain values differ: its path, and what is there in each; None if nowhere."""
    if type(came) is not type(expected):
        return path, shorten(came), shorten(expected)
    if isinstance(expected, dict):
        pairs: Iterator[tuple[str, Any, Any]] = (
            (
                f"{path}{key}: " if not path else f"{path.rstrip(': ')}.{key}: ",
                came.get(key),
                expected.get(key),
            )
            for key in dict.fromkeys([*expected, *came])
        )
    elif isinstance(expected, list):
        if len(came) != len(expected):
            return path, f"{len(came)} of them: {shorten(came)}", f"{len(expected)}: {shorten(expected)}"
        both = zip(came, expected, strict=True)
        pairs = ((f"{path.rstrip(': ')}[{number}]: ", one, two) for number, (one, two) in enumerate(both))
    else:
        both_nan = came != came and expected != expected
        return None if came == expected or both_nan else (path, *_differing(came, expected))
    return next(filter(None, (difference(one, two, where) for where, one, two in pairs)), None)


def _at(drive: str, case: Any, path: str) -> str:
    """What was called; first the step of it that the path of a difference begins with, if there is one."""
    steps = case.get("steps", case.get("ops")) if isinstance(case, dict) else None
    head = path.partition("]")[0]
    if not isinstance(steps, list) or not head.startswith("[") or int(head[1:]) >= len(steps):
        return f"{drive}({shorten(case)})"
    rest = {key: value for key, value in case.items() if value is not steps}
    number = int(head[1:])
    before = f"\nafter {shorten(steps[number - 1])}" if number else ""
    return f"{drive}, step {number + 1} of {len(steps)}: {shorten(steps[number])}{before}\nof {shorten(rest)}"


def shorten(value: Any) -> str:
    """A value's text, its middle left out if it is long."""
    text = repr(value)
    if len(text) <= SHOWN_CHARACTERS:
        return text
    half = SHOWN_CHARACTERS // 2
    return f"{text[:half]} ... {text[-half:]} ({len(text)} characters)"


def _differing(came: Any, expected: Any) -> tuple[str, str]:
    """Two leaves as text; of long texts what surrounds the first difference."""
    one, two = repr(came), repr(expected)
    if max(len(one), len(two)) <= SHOWN_CHARACTERS:
        return one, two
    first = next((n for n, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), 0)
    near = slice(max(0, first - SHOWN_CHARACTERS // 4), first + SHOWN_CHARACTERS // 2)
    return f"... {one[near]} ...", f"... {two[near]} ..."
