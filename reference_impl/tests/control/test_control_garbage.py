"""What goes when its owner goes, and which revisions are kept."""

import pytest
from controlworld import NS, World, key, play
from hypothesis import given
from hypothesis import strategies as st

from minirun.control.garbage import is_collectable, revisions_to_delete, stale_at_ns
from minirun.model.clock import SECOND_NS
from minirun.model.meta import FOREGROUND, ObjectMeta, OwnerReference, replace, rfc3339, with_meta
from minirun.model.resources import (
    KINDS,
    ConfigMap,
    Configuration,
    ConfigurationStatus,
    Namespace,
    Pod,
    Revision,
    Route,
    Service,
)
from minirun.model.settings import SYSTEM_NAMESPACE, UNLIMITED, GCSettings

HOUR_NS = 3600 * SECOND_NS
NOW_NS = 1_800_000_000 * SECOND_NS


def everything(world: World, namespace: str = NS) -> list[str]:
    return [
        f"{each.kind}/{each.metadata.name}"
        for row in KINDS
        for each in world.store.select(row.type, namespace)
        if row.namespaced
    ]


def test_deleting_a_service_deletes_all_that_it_made_and_ends_its_instances() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello")
        world.deploy("other")
        await world.until_ready("hello")
        await world.until_ready("other")
        world.store.delete(Service, NS, "hello")
        await world.until(lambda: not [name for name in everything(world) if "hello" in name])
        assert world.revision_for("hello.default.localhost") is None
        assert world.ctx.paths.entry(NS, "hello-00001") is None
        assert world.ctx.multiscaler.status(f"{NS}/hello-00001") is None
        assert len(world.runtime.processes) == 1
        assert await world.request("other.default.localhost") == "other-00001"

    play(scene)


def test_a_service_made_again_under_the_same_name_starts_afresh() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello")
        await world.until_ready("hello")
        world.store.delete(Service, NS, "hello")
        world.deploy("hello", "other")
        service = await world.until_ready("hello")
        assert service.status.latest_ready_revision_name == "hello-00001"
        image = world.revision("hello-00001").spec.containers[0].image
        assert image == "other"
        assert await world.request("hello.default.localhost") == "hello-00001"

    play(scene)


def test_a_child_with_another_owner_only_loses_the_one_that_is_gone() -> None:
    async def scene(world: World) -> None:
        one, two = world.deploy("one"), world.deploy("two")
        owners = [one.owner_reference(), two.owner_reference()]
        meta = ObjectMeta(name="shared", namespace=NS, owner_references=owners)
        world.store.create(ConfigMap(metadata=meta))
        world.store.delete(Service, NS, "one")
        await world.settle()
        left = world.store.get(ConfigMap, NS, "shared").metadata.owner_references
        assert [owner.name for owner in left] == ["two"]

    play(scene)


def test_foreground_deletion_keeps_the_owner_until_its_children_are_gone() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello")
        await world.until_ready("hello")
        world.store.update(with_meta(world.service("hello"), finalizers=["foregroundDeletion"]))
        world.store.update(with_meta(world.route("hello"), finalizers=["somebody/else"]))
        world.store.delete(Service, NS, "hello")
        await world.settle()
        assert world.store.find(Configuration, NS, "hello") is None
        assert world.service("hello").metadata.deletion_timestamp
        world.store.update(with_meta(world.route("hello"), finalizers=[]))
        await world.settle()
        assert world.store.find(Route, NS, "hello") is None
        assert world.store.find(Service, NS, "hello") is None

    play(scene)


def test_orphaned_children_stay_and_serve() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello")
        await world.until_ready("hello")
        world.store.update(with_meta(world.service("hello"), finalizers=["orphan"]))
        world.store.delete(Service, NS, "hello")
        await world.settle()
        assert world.store.find(Service, NS, "hello") is None
        assert world.route("hello").metadata.owner_references == []
        assert await world.request("hello.default.localhost") == "hello-00001"

    play(scene)


def test_a_namespace_takes_its_content_along() -> None:
    async def scene(world: World) -> None:
        world.store.create(Namespace(metadata=ObjectMeta(name=NS)))
        world.deploy("hello")
        await world.until_ready("hello")
        world.store.delete(Namespace, "", NS)
        await world.until(lambda: everything(world) == [])
        assert world.runtime.processes == {}

    play(scene)


def test_a_namespace_stays_until_its_last_object_lets_go() -> None:
    async def scene(world: World) -> None:
        world.store.create(Namespace(metadata=ObjectMeta(name=NS)))
        held = world.store.create(ConfigMap(metadata=ObjectMeta(name="a", namespace=NS, finalizers=["x"])))
        world.store.delete(Namespace, "", NS)
        await world.settle()
        assert world.store.get(Namespace, "", NS).spec.finalizers == ["kubernetes"]
        world.store.update(with_meta(held, finalizers=[], resource_version=""))
        await world.settle()
        assert world.store.find(Namespace, "", NS) is None

    play(scene)


def test_a_namespace_that_was_going_when_the_platform_was_killed_is_gone_after_its_start() -> None:
    async def scene(world: World) -> None:
        world.store.create(Namespace(metadata=ObjectMeta(name=NS)))
        world.deploy("hello")
        await world.until_ready("hello")
        world.crash()
        world.store.delete(Namespace, "", NS)
        assert world.store.find(Namespace, "", NS) is not None
        world.build()
        await world.controllers.start()
        await world.until(lambda: world.store.find(Namespace, "", NS) is None)
        assert everything(world) == []

    play(scene)


def test_only_dependents_that_say_so_hold_their_owner_back() -> None:
    async def scene(world: World) -> None:
        owner = world.store.create(ConfigMap(metadata=ObjectMeta(name="owner", namespace=NS)))
        reference = replace(owner.owner_reference(), block_owner_deletion=False)
        meta = ObjectMeta(name="child", namespace=NS, owner_references=[reference], finalizers=["x"])
        world.store.create(ConfigMap(metadata=meta))
        world.store.delete(ConfigMap, NS, "owner", finalizer=FOREGROUND)
        await world.settle()
        assert world.store.find(ConfigMap, NS, "owner") is None
        assert world.store.get(ConfigMap, NS, "child").metadata.deletion_timestamp

    play(scene)


def test_what_lost_its_owner_while_nobody_looked_goes_at_the_next_start() -> None:
    async def scene(world: World) -> None:
        await world.controllers.stop()
        gone = OwnerReference(api_version="v1", kind="Service", name="gone", uid="gone", controller=True)
        meta = ObjectMeta(name="orphan", namespace=NS, owner_references=[gone])
        world.store.create(ConfigMap(metadata=meta))
        world.build()
        await world.controllers.start()
        assert world.store.find(ConfigMap, NS, "orphan") is None

    play(scene)


def make_revision(
    number: int, *, created_h: float = 0, active_h: float = 0, state: str = "reserve"
) -> Revision:
    """A revision that was made, and last routed, so many hours ago."""
    meta = ObjectMeta(
        name=f"r-{number:05d}",
        labels={"serving.knative.dev/routingState": state},
        annotations={"serving.knative.dev/routingStateModified": rfc3339(NOW_NS - int(active_h * HOUR_NS))},
        creation_timestamp=rfc3339(NOW_NS - int(created_h * HOUR_NS)),
    )
    return Revision(metadata=meta)


def gone(revisions: list[Revision], settings: GCSettings, latest: str = "") -> list[str]:
    configuration = Configuration(status=ConfigurationStatus(latest_ready_revision_name=latest))
    found, _ = revisions_to_delete(revisions, configuration, settings, NOW_NS)
    return [revision.metadata.name for revision in found]


KEEP_ONE = GCSettings(min_non_active_revisions=1)
OLD = {"created_h": 100.0, "active_h": 20.0}


@pytest.mark.parametrize(
    ("revision", "is_gone"),
    [
        (make_revision(1, created_h=100, active_h=20), True),
        (make_revision(1, created_h=47, active_h=20), False),
        (make_revision(1, created_h=100, active_h=14), False),
        (make_revision(1, created_h=100, active_h=20, state="active"), False),
        (make_revision(1, created_h=100, active_h=20, state="pending"), False),
    ],
)
def test_a_revision_goes_when_both_retentions_are_over_and_nobody_routes_to_it(
    revision: Revision, is_gone: bool
) -> None:
    newer = make_revision(2, created_h=1, active_h=1)
    assert gone([revision, newer], KEEP_ONE) == (["r-00001"] if is_gone else [])


def test_the_latest_revisions_and_protected_ones_are_never_collected() -> None:
    protected = make_revision(2, **OLD)
    notes = protected.metadata.annotations | {"serving.knative.dev/no-gc": "true"}
    protected = with_meta(protected, annotations=notes)
    revisions = [make_revision(1, **OLD), protected, make_revision(3, **OLD), make_revision(4, **OLD)]
    assert gone(revisions, KEEP_ONE, latest="r-00001") == ["r-00003"]


def test_the_least_recently_active_go_first_and_the_minimum_stays() -> None:
    revisions = [make_revision(n, created_h=100, active_h=15 + n) for n in range(1, 6)]
    settings = GCSettings(min_non_active_revisions=3)
    assert gone(revisions, settings) == ["r-00005", "r-00004"]


def test_the_maximum_takes_young_ones_too_and_can_be_switched_off() -> None:
    revisions = [make_revision(n, created_h=1, active_h=n / 100) for n in range(1, 6)]
    limited = GCSettings(min_non_active_revisions=0, max_non_active_revisions=2)
    assert gone(revisions, limited) == ["r-00005", "r-00004", "r-00003"]
    assert gone(revisions, GCSettings(min_non_active_revisions=0, max_non_active_revisions=UNLIMITED)) == []


def test_without_any_time_rule_nothing_is_stale() -> None:
    settings = GCSettings(UNLIMITED, UNLIMITED, 0, UNLIMITED)
    assert stale_at_ns(make_revision(1, **OLD), settings) is None
    assert gone([make_revision(1, **OLD)], settings) == []


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 40), st.sampled_from(["active", "reserve"]))),
    st.integers(0, 4),
    st.integers(0, 8),
)
def test_collecting_is_done_after_one_pass_and_keeps_within_the_bounds(
    ages: list[tuple[int, int, str]], least: int, more: int
) -> None:
    revisions = [
        make_revision(n, created_h=created, active_h=active, state=state)
        for n, (created, active, state) in enumerate(ages)
    ]
    settings = GCSettings(min_non_active_revisions=least, max_non_active_revisions=least + more)
    configuration = Configuration()
    found, next_ns = revisions_to_delete(revisions, configuration, settings, NOW_NS)
    kept = [revision for revision in revisions if revision not in found]
    idle = [revision for revision in kept if is_collectable(revision, configuration)]
    assert all(is_collectable(revision, configuration) for revision in found)
    assert len(idle) <= least + more
    assert len(idle) >= least or not found
    assert revisions_to_delete(kept, configuration, settings, NOW_NS)[0] == []
    assert next_ns is None or next_ns > NOW_NS
    young = [r for r in found if (stale_at_ns(r, settings) or 0) > NOW_NS]
    assert not young or len(idle) == least + more, "a young one goes only because there are too many"


def test_revisions_beyond_the_maximum_go_while_the_platform_runs() -> None:
    async def scene(world: World) -> None:
        world.settings(
            "config-gc",
            retain_since_create_time="disabled",
            retain_since_last_active_time="disabled",
            min_non_active_revisions="0",
            max_non_active_revisions="2",
        )
        for number in range(6):
            world.deploy("hello", env=str(number))
            await world.until_ready("hello")
        await world.settle()
        names = [r.metadata.name for r in world.store.select(Revision, NS)]
        assert names == ["hello-00004", "hello-00005", "hello-00006"]

    play(scene)


def test_a_revision_goes_when_its_time_comes_without_any_other_event() -> None:
    async def scene(world: World) -> None:
        world.settings(
            "config-gc",
            retain_since_create_time="1h",
            retain_since_last_active_time="1h",
            min_non_active_revisions="0",
        )
        world.deploy("hello")
        await world.until_ready("hello")
        world.deploy("hello", env="2")
        await world.until_ready("hello")
        began = world.seconds()
        await world.until(lambda: len(world.store.select(Revision, NS)) == 1, 5000)
        assert 3590 < world.seconds() - began < 3620
        assert [r.metadata.name for r in world.store.select(Revision, NS)] == ["hello-00002"]
        assert world.store.select(Pod, NS) == []

    play(scene)


def test_collectors_do_nothing_for_what_is_not_there() -> None:
    async def scene(world: World) -> None:
        world.ctx.enqueue(key("RevisionGC", "none"))
        world.ctx.enqueue(key("Finalize", "Service/none"))
        await world.settle()
        assert world.store.version == 0
        assert world.store.select(ConfigMap, SYSTEM_NAMESPACE) == []

    play(scene)
