"""Lab 00's public checks: what the learner has seen and read."""

import pytest

from minilab.answers import expect_answer
from minilab.part import Part


@pytest.mark.task("0.1")
@pytest.mark.parametrize(
    ("key", "where"),
    [
        ("first_revision", "`minirun revisions list` after the first deploy"),
        ("header", "`curl -i` shows the headers of the response"),
        ("unknown_host", "`curl -i` with a Host that no Service has"),
    ],
)
def test_look(part: Part, key: str, where: str) -> None:
    """The first deploy and its first request, as the platform showed them."""
    expect_answer(part, "0", "0.1", key, where)


@pytest.mark.task("0.2")
@pytest.mark.parametrize(
    ("key", "where"),
    [
        ("smaller_share", "`minirun services describe hello` lists the traffic"),
        ("instances_at_rest", "`minirun revisions list` after two minutes without a request"),
    ],
)
def test_split(part: Part, key: str, where: str) -> None:
    """A split over two revisions, and what is left when nobody asks."""
    expect_answer(part, "0", "0.2", key, where)


@pytest.mark.task("0.3")
@pytest.mark.parametrize(
    ("key", "where"),
    [
        ("reason", "`minirun revisions list`, column REASON"),
        ("still_serving", "`minirun services describe hello` lists the traffic"),
    ],
)
def test_failure(part: Part, key: str, where: str) -> None:
    """A deploy that failed, read from its conditions."""
    expect_answer(part, "0", "0.3", key, where)


@pytest.mark.task("0.4")
@pytest.mark.parametrize(
    ("key", "where"),
    [
        ("holds", "the map: the way of a request"),
        ("decides", "the map: the way of a measurement"),
        ("state", "the map: the way of a deploy"),
    ],
)
def test_map(part: Part, key: str, where: str) -> None:
    """The rooms of the platform and what each is for."""
    expect_answer(part, "0", "0.4", key, where)
