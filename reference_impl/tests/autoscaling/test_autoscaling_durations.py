"""Durations are read and written as Go does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun.model.durations import format_duration, parse_duration

S = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("60s", 60 * S),
        ("1h2m", 3720 * S),
        ("1h0m0.5s", 3600 * S + S // 2),
        ("1.5s", 3 * S // 2),
        (".5m", 30 * S),
        ("5.s", 5 * S),
        ("-300ms", -300_000_000),
        ("+2us", 2_000),
        ("2µs3ns", 2_003),
        ("9223372036854775807ns", (1 << 63) - 1),
        ("-9223372036854775808ns", -(1 << 63)),
        ("0.3333333333333333333h", 1_200_000_000_000),
    ],
)
def test_a_duration_is_read(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", 'time: invalid duration ""'),
        ("-", 'time: invalid duration "-"'),
        ("s", 'time: invalid duration "s"'),
        (".s", 'time: invalid duration ".s"'),
        ("5", 'time: missing unit in duration "5"'),
        ("1h5", 'time: missing unit in duration "1h5"'),
        ("5 s", 'time: unknown unit " s" in duration "5 s"'),
        ("5d", 'time: unknown unit "d" in duration "5d"'),
        ("9223372036854775808ns", 'time: invalid duration "9223372036854775808ns"'),
        ("+-1s", 'time: invalid duration "+-1s"'),
    ],
)
def test_what_is_no_duration_is_refused_in_gos_words(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        parse_duration(text)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (20_000_000, "20ms"),
        (S, "1s"),
        (90 * S, "1m30s"),
        (3600 * S, "1h0m0s"),
        (-1_500_000_000, "-1.5s"),
    ],
)
def test_a_duration_is_written(nanoseconds: int, text: str) -> None:
    assert format_duration(nanoseconds) == text


@given(st.integers(-(10**15), 10**15))
def test_what_was_written_is_read_again(nanoseconds: int) -> None:
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds
