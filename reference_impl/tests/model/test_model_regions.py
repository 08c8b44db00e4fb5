"""Projects and regions, the namespaces that stand for them, and the hosts of Services."""

from hypothesis import given
from hypothesis import strategies as st

from minirun.model.regions import HOME_REGION, REGIONS, Place, host_label, place_of, project_number

PROJECTS = st.from_regex("[a-z][-a-z0-9]{4,28}[a-z0-9]", fullmatch=True).filter(lambda p: "--" not in p)


@given(PROJECTS, st.sampled_from(sorted(REGIONS)))
def test_a_namespace_stands_for_one_project_in_one_region(project: str, region: str) -> None:
    place = Place(project, region)
    assert place_of(place.namespace) == place
    assert len(place.namespace) <= 63


def test_a_namespace_that_names_no_region_is_in_the_home_region() -> None:
    assert place_of("default") == Place("default", HOME_REGION)
    assert place_of("a--b") == Place("a--b", HOME_REGION)
    assert Place("demo", HOME_REGION).namespace == "demo"


def test_hosts_tell_project_region_and_tag_apart_and_fit_into_a_label() -> None:
    here = Place("demo", HOME_REGION)
    assert host_label("hello", here).endswith("-uc")
    assert host_label("hello", here, "green") == f"green---{host_label('hello', here)}"
    labels = {
        host_label("hello", place) for place in (here, Place("other", HOME_REGION), Place("demo", "us-east1"))
    }
    assert len(labels) == 3
    assert len(host_label("n" * 49, here)) <= 63
    assert len(set(REGIONS.values())) == len(REGIONS)


def test_the_number_of_a_project_has_twelve_digits_and_stays() -> None:
    assert len(str(project_number("demo"))) == 12
    assert project_number("demo") == project_number("demo") != project_number("other")
