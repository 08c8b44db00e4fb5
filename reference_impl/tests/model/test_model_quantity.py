"""Quantities are exact, and rounded up to the unit asked for."""

import pytest

from minirun.model.quantity import parse_quantity, whole


@pytest.mark.parametrize(
    ("text", "units"), [("500m", 1), ("2", 2), ("1.0001", 2), ("1n", 1), (1, 1), ("64Ki", 65_536)]
)
def test_what_is_finer_than_the_unit_is_rounded_up(text: str | int, units: int) -> None:
    assert whole(text) == units


@pytest.mark.parametrize(
    "text", ["", "abc", "1 Gi", "1gi", "1KB", "--1", "1.2.3", "1e", "1e99999", "e3", "٣", "Mi"]
)
def test_what_is_no_quantity_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a quantity: write a number and, if need be, a suffix"):
        parse_quantity(text)
