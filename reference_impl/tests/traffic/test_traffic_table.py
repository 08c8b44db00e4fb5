"""Hosts lead to routes."""

import pytest

from minirun.traffic.table import CACHED_HOSTS, RouteTable

PUBLIC = "hello.default.example.com"
INSIDE = ["hello.default", "hello.default.svc", "hello.default.svc.cluster.local"]


def _table(**options: bool) -> RouteTable:
    table = RouteTable("example.com")
    table.set_route("default", "hello", [("r1", 100)], {"blue": [("r2", 100)]}, **options)
    return table


def _revision(table: RouteTable, host: str, tag: str | None = None) -> str | None:
    match = table.lookup(host, tag)
    return None if match is None else match.split.pick()


@pytest.mark.parametrize("host", [PUBLIC, *INSIDE])
def test_a_route_and_its_tags_answer_on_the_public_host_and_on_the_clusters(host: str) -> None:
    table = _table()
    assert _revision(table, host) == "r1"
    assert _revision(table, "blue-" + host) == "r2"
    assert _revision(table, "red-" + host) is None


@pytest.mark.parametrize(
    "host", ["Hello.Default.Example.COM", PUBLIC + ":8080", PUBLIC + ".", PUBLIC + ".:80"]
)
def test_case_port_and_trailing_dot_of_a_host_do_not_matter(host: str) -> None:
    table = _table()
    assert [_revision(table, host) for _ in range(2)] == ["r1", "r1"]


@pytest.mark.parametrize("host", ["", ":80", "hello", "default.example.com", "[::1]:8080", "x" + PUBLIC])
def test_other_hosts_lead_nowhere(host: str) -> None:
    assert _table().lookup(host) is None


def test_the_tag_header_selects_a_tag_on_the_main_host_only_and_an_unknown_tag_is_ignored() -> None:
    table = _table()
    table.set_route("default", "hello", [("r1", 100)], {"blue": [("r2", 100)], "red": [("r3", 100)]})
    assert _revision(table, PUBLIC, "blue") == "r2"
    assert _revision(table, PUBLIC, "green") == "r1"
    assert _revision(table, "blue-" + PUBLIC, "red") == "r2"


def test_a_cluster_local_route_answers_on_the_clusters_hosts_only() -> None:
    table = _table(cluster_local=True)
    assert [_revision(table, host) for host in [PUBLIC, "blue-" + PUBLIC, *INSIDE]] == [None, None] + [
        "r1"
    ] * 3


def test_a_replaced_route_forgets_its_old_tags_and_a_removed_one_everything() -> None:
    table = _table()
    assert _revision(table, "blue-" + PUBLIC) == "r2"
    table.set_route("default", "hello", [("r3", 100)])
    assert (_revision(table, PUBLIC), _revision(table, "blue-" + PUBLIC)) == ("r3", None)
    table.remove_route("default", "hello")
    table.remove_route("default", "never-there")
    assert all(table.lookup(host) is None for host in [PUBLIC, *INSIDE])


def test_setting_the_same_traffic_again_goes_on_where_the_split_was() -> None:
    table, picked = RouteTable("example.com"), []
    for _ in range(100):
        table.set_route("default", "hello", [("r1", 90), ("r2", 10)])
        picked.append(_revision(table, PUBLIC))
    assert picked.count("r2") == 10


def test_a_routes_own_host_goes_before_the_same_host_of_a_tag_whoever_came_first() -> None:
    table = RouteTable("example.com")
    table.set_route("default", "c", [("c1", 100)], {"a-b": [("tagged", 100)]})
    table.set_route("default", "b-c", [("b1", 100)], {"a": [("later", 100)]})
    assert _revision(table, "a-b-c.default.example.com") == "later"
    table.set_route("default", "a-b-c", [("own", 100)])
    assert _revision(table, "a-b-c.default.example.com") == "own"
    table.remove_route("default", "a-b-c")
    assert _revision(table, "a-b-c.default.example.com") == "later"
    table.remove_route("default", "b-c")
    assert _revision(table, "a-b-c.default.example.com") == "tagged"


def test_a_route_whose_traffic_is_all_on_tags_has_no_host_of_its_own() -> None:
    table = RouteTable("example.com")
    table.set_route("default", "hello", [], {"blue": [("r2", 100)]})
    assert (_revision(table, PUBLIC), _revision(table, "blue-" + PUBLIC)) == (None, "r2")


def test_a_host_of_the_users_own_leads_to_a_route_under_the_routes_own_name() -> None:
    table = _table()
    table.set_alias("shop.example.org", ("default", "hello"))
    match = table.lookup("Shop.example.org:8080")
    assert match is not None
    assert (match.split.pick(), match.rewrite_host) == ("r1", INSIDE[-1])
    own = table.lookup(PUBLIC)
    assert own is not None
    assert own.rewrite_host == ""
    table.set_alias("shop.example.org", None)
    assert table.lookup("shop.example.org") is None


def test_spellings_of_a_host_are_remembered_only_up_to_a_limit() -> None:
    table = _table()
    for port in range(CACHED_HOSTS + 10):
        assert table.lookup(f"{PUBLIC}:{port}") is not None
    assert len(table._cache) <= CACHED_HOSTS
