"""Quantities are exact, rounded up, and each value has one text."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun.model.quantity import canonical, cpu_milli, parse_quantity, whole


@pytest.mark.parametrize(
    ("text", "canonically"),
    [
        ("0", "0"),
        ("0.0", "0"),
        ("100", "100"),
        ("1.5", "1500m"),
        ("1000m", "1"),
        ("1000k", "1M"),
        ("1e3", "1e3"),
        ("1024Mi", "1Gi"),
        ("0.5Gi", "512Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("1025", "1025"),
        ("-1Gi", "-1Gi"),
        (".5", "500m"),
        ("2E", "2E"),
        ("0.1n", "1n"),
        (3, "3"),
        (1.5, "1500m"),
    ],
)
def test_each_value_has_one_text(text: str | int | float, canonically: str) -> None:
    assert canonical(text) == canonically


@pytest.mark.parametrize(
    ("text", "milli", "units"),
    [
        ("500m", 500, 1),
        ("2", 2000, 2),
        ("1.0001", 1001, 2),
        ("1n", 1, 1),
        (1, 1000, 1),
        ("64Ki", 65_536_000, 65_536),
    ],
)
def test_what_is_finer_than_the_unit_is_rounded_up(text: str | int, milli: int, units: int) -> None:
    assert (cpu_milli(text), whole(text)) == (milli, units)


@pytest.mark.parametrize(
    "text", ["", "abc", "1 Gi", "1gi", "1KB", "--1", "1.2.3", "1e", "1e99999", "e3", "٣", "Mi"]
)
def test_what_is_no_quantity_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a quantity: write a number and, if need be, a suffix"):
        parse_quantity(text)


numbers = st.decimals(min_value=0, max_value=10**9, places=3, allow_nan=False).map(str)


@given(numbers, st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e2"]))
def test_the_canonical_text_has_the_same_value_and_is_its_own_canonical_text(
    number: str, suffix: str
) -> None:
    text = number + suffix
    once = canonical(text)
    assert canonical(once) == once
    assert 0 <= parse_quantity(once) - parse_quantity(text) < Fraction(1, 10**9)
