"""What a list or a watch asks for: as of which version, which page, with which events around it.

Counterpart: apimachinery's metav1.ListOptions and its validation (pkg/apis/meta/internalversion/validation).
"""

import base64
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from minirun.api.requests import is_true, whole
from minirun.api.status import StatusError, invalid_options

DEFAULT_TIMEOUT_SECONDS: Final = 3600.0
NOT_OLDER, EXACT = "NotOlderThan", "Exact"
_MATCH: Final = "resourceVersionMatch"


@dataclass(frozen=True, slots=True)
class ListOptions:
    """The options of one request.

    `version`: None is whatever is there now. `exact`: the state at that version and no other. `start`: after
    which object (namespace, name) a page begins; `limit` 0 is no limit. Of a watch: `initial` starts with
    every object that is there, and `marks_initial_end` puts a bookmark after them; `bookmarks` come every
    now and then.
    """

    watch: bool
    version: int | None
    exact: bool = False
    start: tuple[str, str] = ("", "")
    limit: int = 0
    initial: bool = True
    marks_initial_end: bool = False
    bookmarks: bool = False
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS


def read_list_options(query: Mapping[str, str]) -> ListOptions:
    """The options in a query.

    Raises:
        StatusError (400, 422): a value is none, or they do not go together.
    """
    watch = is_true(query, "watch")
    causes = list(_objections_to_watch(query) if watch else _objections_to_list(query))
    if causes:
        raise invalid_options("ListOptions", *causes)
    text, match, asked = (query.get(name, "") for name in ("resourceVersion", _MATCH, "sendInitialEvents"))
    version = whole(text, "resourceVersion") if text not in ("", "0") else None
    bookmarks = is_true(query, "allowWatchBookmarks")
    if watch:
        return ListOptions(
            watch,
            None if asked == "true" else version,
            initial=asked != "false" if asked else version is None,
            marks_initial_end=asked == "true" and bookmarks,
            bookmarks=bookmarks,
            timeout_seconds=timeout_seconds(query),
        )
    limit = whole(query.get("limit") or "0", "limit")
    if token := query.get("continue"):
        first, start = _resume(token)
        return ListOptions(watch, first, exact=True, start=start, limit=limit)
    return ListOptions(watch, version, exact=match == EXACT, limit=limit)


def _objections_to_list(query: Mapping[str, str]) -> Iterator[str]:
    match, version = query.get(_MATCH), query.get("resourceVersion", "")
    if match and not version:
        yield f"{_MATCH}: Forbidden: {_MATCH} is forbidden unless resourceVersion is provided"
    if match and query.get("continue"):
        yield f"{_MATCH}: Forbidden: {_MATCH} is forbidden when continue is provided"
    if match and match not in (EXACT, NOT_OLDER):
        yield f'{_MATCH}: Unsupported value: "{match}": supported values: "Exact", "NotOlderThan", ""'
    if match == EXACT and version == "0":
        yield f'{_MATCH}: Forbidden: {_MATCH} "exact" is forbidden for resourceVersion "0"'
    if query.get("sendInitialEvents"):
        yield "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"


def _objections_to_watch(query: Mapping[str, str]) -> Iterator[str]:
    match, asked = query.get(_MATCH), query.get("sendInitialEvents")
    if asked and match != NOT_OLDER:
        yield f"{_MATCH}: Forbidden: sendInitialEvents requires setting {_MATCH} to {NOT_OLDER}"
    if match and not asked:
        yield f"{_MATCH}: Forbidden: {_MATCH} is forbidden for watch unless sendInitialEvents is provided"
    if match and match != NOT_OLDER:
        yield f'{_MATCH}: Unsupported value: "{match}": supported values: "NotOlderThan"'


def timeout_seconds(query: Mapping[str, str]) -> float:
    """How long a watch goes on. Raises StatusError (400)."""
    text = query.get("timeoutSeconds") or "0"
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < 2**31:
        raise StatusError(400, f'timeoutSeconds "{text}" is not a number of seconds, 0 or more')
    return seconds or DEFAULT_TIMEOUT_SECONDS


def continue_token(version: int, last: tuple[str, str]) -> str:
    """Where the next page of a list starts, and the version of the whole list: that of its first page."""
    return base64.urlsafe_b64encode("\n".join((str(version), *last)).encode()).decode()


def _resume(token: str) -> tuple[int, tuple[str, str]]:
    try:
        first, namespace, name = base64.urlsafe_b64decode(token).decode().split("\n")
        return int(first), (namespace, name)
    except ValueError:
        raise StatusError(
            400, "continue key is not valid: it is none that this server gave; list from the start"
        ) from None
