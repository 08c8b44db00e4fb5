"""Durations as Go writes them: `60s`, `1h2m`, `1.5s`, `300ms`.

ConfigMaps, annotations and `spec.timeoutSeconds`' relatives carry durations as text in the form of Go's
`time.ParseDuration`; inside minirun a duration is an integer number of nanoseconds.
"""

import re

from minirun.model.clock import SECOND_NS

_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # micro sign
    "μs": 1_000,  # Greek letter mu
    "ms": 1_000_000,
    "s": SECOND_NS,
    "m": 60 * SECOND_NS,
    "h": 3600 * SECOND_NS,
}
_TERM = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")
_MAX_NS = (1 << 63) - 1


def parse_duration(text: str) -> int:
    """The nanoseconds of a Go duration.

    `text` is a sequence of decimal numbers, each with a unit (h, m, s, ms, us or µs, ns), or `0`, with an
    optional sign. Raises ValueError in Go's words (source: Go `time.ParseDuration`).
    """
    negative, rest = text.startswith("-"), text.removeprefix("-" if text.startswith("-") else "+")
    if rest == "0":
        return 0
    total = 0
    for whole, fraction, unit in _TERM.findall(rest)[:-1]:  # the last match is the empty one at the end
        if not whole and not fraction:
            raise ValueError(f'time: invalid duration "{text}"')
        if not unit:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if unit not in _UNITS_NS:
            raise ValueError(f'time: unknown unit "{unit}" in duration "{text}"')
        total += int(whole or "0") * _UNITS_NS[unit]
        if fraction:  # Go takes the fraction in floating point, of the digits that fit 63 bits, and cuts
            digits = fraction[:19] if int(fraction[:19]) <= _MAX_NS else fraction[:18]
            total += int(float(int(digits)) * (_UNITS_NS[unit] / 10.0 ** len(digits)))
    if not rest or total > _MAX_NS + negative:
        raise ValueError(f'time: invalid duration "{text}"')
    return -total if negative else total


def format_duration(duration_ns: int) -> str:
    """A duration in nanoseconds as Go prints it: `1m30s`, `1h0m0s`, `1.5s`, `20ms`, `0s`."""
    if duration_ns == 0:
        return "0s"
    sign, value = ("-", -duration_ns) if duration_ns < 0 else ("", duration_ns)
    for unit in ("ns", "µs", "ms"):
        if value < 1000 * _UNITS_NS[unit]:
            return f"{sign}{_decimal(value, _UNITS_NS[unit])}{unit}"
    minutes, rest = divmod(value, _UNITS_NS["m"])
    hours, minutes = divmod(minutes, 60)
    seconds = f"{_decimal(rest, SECOND_NS)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else f"{sign}{seconds}"


_HUMAN = (
    # below, unit, its name, the finer unit, its name: `9m30s` below ten minutes, `10m` from then on
    (120, 1, "s", 0, ""),
    (600, 60, "m", 1, "s"),
    (3 * 3600, 60, "m", 0, ""),
    (8 * 3600, 3600, "h", 60, "m"),
    (48 * 3600, 3600, "h", 0, ""),
    (8 * 86_400, 86_400, "d", 3600, "h"),
    (2 * 365 * 86_400, 86_400, "d", 0, ""),
    (8 * 365 * 86_400, 365 * 86_400, "y", 86_400, "d"),
)


def human_duration(seconds: int) -> str:
    """A duration as kubectl writes ages: `61s`, `5m30s`, `3h`, `2d4h` (apimachinery's HumanDuration)."""
    seconds = max(seconds, 0)
    for below, unit, name, finer, finer_name in _HUMAN:
        if seconds < below:
            rest = seconds % unit // finer if finer else 0
            return f"{seconds // unit}{name}" + (f"{rest}{finer_name}" if rest else "")
    return f"{seconds // (365 * 86_400)}y"


def _decimal(value: int, unit: int) -> str:
    whole, fraction = divmod(value, unit)
    digits = f"{fraction:0{len(str(unit)) - 1}d}".rstrip("0") if fraction else ""
    return f"{whole}.{digits}" if digits else str(whole)
