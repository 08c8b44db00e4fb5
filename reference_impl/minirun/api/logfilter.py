"""Filters of Cloud Logging: comparisons of fields, joined by AND (or nothing), OR, NOT and brackets.

A filter becomes a function over an entry's JSON. Comparisons are `=`, `!=`, `<`, `<=`, `>`, `>=`, `:` (has),
`=~` and `!~`; severities compare by rank, times as times, numbers as numbers, text without regard to case; a
lone word is searched for in the whole entry. Pure. Source: Cloud Logging's documentation of its query
language (cloud.google.com/logging/docs/view/logging-query-language).
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from minirun.telemetry.logs import SEVERITIES

Entry = Mapping[str, Any]
Test = Callable[[Entry], bool]

_TOKEN = re.compile(
    r"\s*(?:(?P<quoted>\"(?:[^\"\\]|\\.)*\")|(?P<operator>=~|!~|!=|<=|>=|=|<|>|:|\(|\))"
    r"|(?P<word>[^\s()=<>!:\"~]+(?:\"[^\"]*\"[^\s()=<>!:\"~]*)*))"
)
_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": lambda there, wanted: bool(there == wanted),
    "!=": lambda there, wanted: bool(there != wanted),
    "<": lambda there, wanted: bool(there < wanted),
    "<=": lambda there, wanted: bool(there <= wanted),
    ">": lambda there, wanted: bool(there > wanted),
    ">=": lambda there, wanted: bool(there >= wanted),
}
_TEXTUAL: Final[Mapping[str, Callable[[str, str], bool]]] = {
    ":": lambda there, wanted: wanted.lower() in there.lower(),
    "=~": lambda there, wanted: re.search(wanted, there) is not None,
    "!~": lambda there, wanted: re.search(wanted, there) is None,
}


class FilterError(ValueError):
    """The text is no filter; one sentence."""


def parse_filter(text: str) -> Test:
    """The test that a filter stands for; an empty one lets everything pass. Raises FilterError."""
    return _Parser(text).whole()


class _Parser:
    """A filter's tokens, read from the left."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []  # kind and text
        lines = (line for line in text.splitlines() if not line.lstrip().startswith("--"))
        text, position = "\n".join(lines).rstrip(), 0
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise FilterError(f"the filter can't be read at: {text[position : position + 40]}")
            self._tokens.append((match.lastgroup or "", match[match.lastgroup or 0]))
            position = match.end()
        self._at = 0

    def _next_is(self, *texts: str) -> bool:
        here = self._tokens[self._at : self._at + 1]
        return bool(here) and here[0][0] != "quoted" and here[0][1] in texts

    def _take(self, what: str) -> tuple[str, str]:
        if self._at == len(self._tokens):
            raise FilterError(f"the filter ends where {what} is expected")
        self._at += 1
        return self._tokens[self._at - 1]

    def whole(self) -> Test:
        tests = []
        while self._at < len(self._tokens):
            tests.append(self._all())
            if self._at < len(self._tokens) and self._next_is(")"):
                raise FilterError("the filter has a ) without its (")
        return lambda entry: all(test(entry) for test in tests)

    def _all(self) -> Test:
        tests = [self._any()]
        while self._at < len(self._tokens) and not self._next_is(")"):
            if self._next_is("AND"):
                self._at += 1
            tests.append(self._any())
        return lambda entry: all(test(entry) for test in tests)

    def _any(self) -> Test:
        """OR binds more strongly than AND here, as in Cloud Logging."""
        tests = [self._one()]
        while self._next_is("OR"):
            self._at += 1
            tests.append(self._one())
        return lambda entry: any(test(entry) for test in tests)

    def _one(self) -> Test:
        if self._next_is("NOT"):
            self._at += 1
            test = self._one()
            return lambda entry: not test(entry)
        if self._next_is("("):
            self._at += 1
            test = self._all()
            if self._take("a )") != ("operator", ")"):
                raise FilterError("a ) is missing in the filter")
            return test
        kind, field = self._take("a field")
        if kind == "operator":
            raise FilterError(f"the filter has {field} where a field is expected")
        if not self._next_is(*_COMPARISONS, *_TEXTUAL):
            return _anywhere(_unquoted(kind, field))
        operator = self._take("a comparison")[1]
        return comparison(_unquoted(kind, field), operator, _unquoted(*self._take("a value")))


def _unquoted(kind: str, text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if kind == "quoted" else text


def _anywhere(text: str) -> Test:
    return lambda entry: text.lower() in msgspec.json.encode(entry).decode().lower()


def comparison(field: str, operator: str, wanted: str) -> Test:
    """The test of one field, named by its path with dots. Raises FilterError: the pattern is none."""
    path = re.findall(r'"[^"]*"|[^."]+', field)
    if operator in ("=~", "!~"):
        try:
            re.compile(wanted)
        except re.error as error:
            raise FilterError(f"{wanted} is no regular expression: {error}") from None

    def test(entry: Entry) -> bool:
        there: Any = entry
        for name in path:
            there = there.get(name.strip('"')) if isinstance(there, Mapping) else None
        if there is None:
            return operator in ("!=", "!~")
        if operator in _TEXTUAL:
            return _TEXTUAL[operator](str(there), "" if wanted == "*" else wanted)
        left, right = _comparable(field, str(there)), _comparable(field, wanted)
        if type(left) is not type(right):
            left, right = str(there).lower(), wanted.lower()
        return _COMPARISONS[operator](left, right)

    return test


def _comparable(field: str, text: str) -> Any:
    """A value as it is compared: a rank, a moment, a number, or text."""
    if field == "severity":
        return SEVERITIES.index(text.upper()) if text.upper() in SEVERITIES else text
    if field.endswith(("timestamp", "Timestamp")):
        try:
            moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
            return moment.timestamp() if moment.tzinfo else text
        except ValueError:
            return text
    try:
        return float(text)
    except ValueError:
        return text.lower()
