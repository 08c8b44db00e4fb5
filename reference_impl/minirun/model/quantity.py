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
    match = _FORM.fullmatch(str(text))
    if match is None or len(match[0]) > 64 or len(match[2] or "") > 4:
        raise ValueError(
            f'"{text}" is not a quantity: write a number and, if need be, a suffix, like 500m, 2, 256Mi or 1G'
        )
    number, exponent, suffix = Fraction(match[1]), match[2], match[3] or ""
    if suffix in _BINARY:
        return number * (1 << 10 * _BINARY[suffix])
    power = int(exponent[1:]) if exponent else _DECIMAL[suffix]
    return number * Fraction(10) ** power


def whole(text: Quantity) -> int:
    """Bytes of memory, or a number of devices."""
    return math.ceil(parse_quantity(text))
