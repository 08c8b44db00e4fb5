"""Quantities as Kubernetes writes them: `500m`, `1.5`, `256Mi`, `2e3`.

Counterpart: apimachinery pkg/api/resource. A quantity is exact; what is finer than the unit asked for is
rounded up, so that a container never gets less than it declared.
"""

import math
import re
from fractions import Fraction
from typing import Final

from minirun.model.resources import Quantity

_BINARY: Final = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)", re.ASCII)


def parse_quantity(text: Quantity) -> Fraction:
    """The exact value of a quantity.

    Raises:
        ValueError: `text` is not a number with an optional suffix or exponent.
    """
    number, exponent, suffix = _split(text)
    if suffix in _BINARY:
        return number * (1 << 10 * _BINARY[suffix])
    power = int(exponent[1:]) if exponent else _DECIMAL[suffix]
    return number * int(10 ** max(power, 0)) / int(10 ** max(-power, 0))


def cpu_milli(text: Quantity) -> int:
    """Thousandths of a CPU."""
    return math.ceil(parse_quantity(text) * 1000)


def whole(text: Quantity) -> int:
    """Bytes of memory, or a number of devices."""
    return math.ceil(parse_quantity(text))


def canonical(text: Quantity) -> str:
    """The one text that Kubernetes writes for this value: no fraction, the largest suffix that allows that.

    `1.5` is `1500m`, `1024Mi` is `1Gi`, `1000m` is `1`; the kind of suffix (binary, decimal, exponent) stays.
    """
    _, exponent, suffix = _split(text)
    value = Fraction(math.ceil(parse_quantity(text) * 10**9), 10**9)
    if suffix in _BINARY and abs(value) >= 1024 and value.denominator == 1:
        units = [(name, Fraction(1024) ** power) for name, power in _BINARY.items()]
    elif exponent:
        units = [(f"e{power}" if power else "", Fraction(10) ** power) for power in _DECIMAL.values()]
    else:
        units = [(name, Fraction(10) ** power) for name, power in _DECIMAL.items()]
    if not value:
        return "0"
    name, unit = next(((n, u) for n, u in reversed(units) if (value / u).denominator == 1), ("", Fraction(1)))
    return f"{value / unit}{name}"


def _split(text: Quantity) -> tuple[Fraction, str, str]:
    match = _FORM.fullmatch(str(text))
    if match is None or len(match[0]) > 64 or len(match[2] or "") > 4:
        raise ValueError(
            f'"{text}" is not a quantity: write a number and, if need be, a suffix, like 500m, 2, 256Mi or 1G'
        )
    return Fraction(match[1]), match[2] or "", match[3] or ""
