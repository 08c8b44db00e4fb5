"""The store keeps versions, refuses stale writes, and lets objects go when their finalizers are gone."""

import pytest

from minirun.model.clock import SystemClock
from minirun.model.meta import ObjectMeta, replace, with_meta
from minirun.model.resources import ConfigMap, Route, RouteSpec, Service, ServiceStatus, TrafficTarget
from minirun.store.errors import AlreadyExistsError, ConflictError, NotFoundError
from minirun.store.store import Store, edit


def config_map(name: str = "a", namespace: str = "default", **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace=namespace), data=data)


@pytest.fixture
def store() -> Store:
    return Store(SystemClock())


def test_a_new_object_gets_uid_time_generation_and_the_next_version(store: Store) -> None:
    first, second = store.create(config_map("a")), store.create(config_map("b"))
    assert (first.metadata.resource_version, second.metadata.resource_version) == ("1", "2")
    assert first.metadata.generation == 1
    assert first.metadata.creation_timestamp.endswith("Z")
    assert first.metadata.uid != second.metadata.uid


def test_a_name_is_taken_in_its_namespace_and_kind_only(store: Store) -> None:
    store.create(config_map("a"))
    with pytest.raises(AlreadyExistsError):
        store.create(config_map("a"))
    store.create(config_map("a", namespace="other"))
    store.create(Service(metadata=ObjectMeta(name="a", namespace="default")))


def test_a_write_based_on_an_older_version_is_refused_and_changes_nothing(store: Store) -> None:
    old = store.create(config_map(x="1"))
    new = edit(store, old, data={"x": "2"})
    with pytest.raises(ConflictError):
        edit(store, old, data={"x": "3"})
    assert store.get(ConfigMap, "default", "a") == new


def test_a_write_without_a_version_is_unconditional(store: Store) -> None:
    store.create(config_map(x="1"))
    assert store.update(config_map(x="2")).data == {"x": "2"}


def test_a_write_for_another_object_of_the_same_name_is_refused(store: Store) -> None:
    old = store.create(config_map())
    store.delete(ConfigMap, "default", "a")
    store.create(config_map())
    with pytest.raises(ConflictError):
        store.update(with_meta(old, resource_version=""))


def test_writing_what_is_stored_is_no_write(store: Store) -> None:
    old = store.create(config_map(x="1"))
    assert store.update(old) is old
    assert store.version == 1


def test_the_generation_follows_the_spec_alone(store: Store) -> None:
    route = store.create(Route(metadata=ObjectMeta(name="r", namespace="default")))
    labelled = store.update(with_meta(route, labels={"a": "b"}))
    assert labelled.metadata.generation == 1
    changed = edit(store, labelled, spec=RouteSpec(traffic=[TrafficTarget(percent=100)]))
    assert changed.metadata.generation == 2


def test_a_status_write_leaves_the_generation(store: Store) -> None:
    service = store.create(Service(metadata=ObjectMeta(name="s", namespace="default")))
    assert edit(store, service, status=ServiceStatus(url="http://s")).metadata.generation == 1


def test_identity_and_times_of_an_object_can_not_be_written(store: Store) -> None:
    old = store.create(config_map())
    new = store.update(with_meta(old, creation_timestamp="2000-01-01T00:00:00Z", labels={"a": "b"}))
    assert new.metadata.creation_timestamp == old.metadata.creation_timestamp
    assert new.metadata.uid == old.metadata.uid


def test_what_is_not_there_is_not_found(store: Store) -> None:
    assert store.find(ConfigMap, "default", "a") is None
    for refused in (
        lambda: store.get(ConfigMap, "default", "a"),
        lambda: store.update(config_map()),
        lambda: store.delete(ConfigMap, "default", "a"),
    ):
        with pytest.raises(NotFoundError):
            refused()


def test_deleting_with_a_finalizer_marks_and_the_last_finalizer_deletes(store: Store) -> None:
    old = store.create(with_meta(config_map(), finalizers=["wait"]))
    marked = store.delete(ConfigMap, "default", "a")
    assert marked.metadata.deletion_timestamp
    assert store.delete(ConfigMap, "default", "a") == marked, "deleting again changes nothing"
    assert store.find(ConfigMap, "default", "a") == marked
    gone = store.update(with_meta(marked, finalizers=[]))
    assert store.find(ConfigMap, "default", "a") is None
    assert int(gone.metadata.resource_version) > int(marked.metadata.resource_version)
    assert old.metadata.uid == gone.metadata.uid


def test_the_last_finalizer_of_a_living_object_does_not_delete_it(store: Store) -> None:
    old = store.create(with_meta(config_map(), finalizers=["wait"]))
    store.update(with_meta(old, finalizers=[]))
    assert store.find(ConfigMap, "default", "a") is not None


def test_deletion_has_preconditions(store: Store) -> None:
    old = store.create(config_map())
    for wrong in ({"uid": "another"}, {"version": "99"}):
        with pytest.raises(ConflictError):
            store.delete(ConfigMap, "default", "a", **wrong)
    store.delete(ConfigMap, "default", "a", uid=old.metadata.uid, version="1")
    assert store.find(ConfigMap, "default", "a") is None


def test_a_selection_is_sorted_and_of_one_namespace_or_of_all(store: Store) -> None:
    for namespace, name in (("b", "x"), ("a", "y"), ("a", "x")):
        store.create(config_map(name, namespace))
    assert [o.key for o in store.select(ConfigMap)] == [("a", "x"), ("a", "y"), ("b", "x")]
    assert [o.key for o in store.select(ConfigMap, "a")] == [("a", "x"), ("a", "y")]


def test_an_owner_that_is_named_twice_is_one_owner(store: Store) -> None:
    owner = store.create(config_map("owner")).owner_reference()
    child = store.create(with_meta(config_map("child"), owner_references=[owner, owner]))
    freed = store.update(with_meta(child, owner_references=[]))
    assert not list(store.dependents(owner.uid, ConfigMap))
    store.delete(ConfigMap, *freed.key)


def test_dependents_follow_their_owner_references(store: Store) -> None:
    owner = store.create(Service(metadata=ObjectMeta(name="s", namespace="default")))
    child = store.create(with_meta(config_map(), owner_references=[owner.owner_reference()]))
    route = store.create(
        with_meta(Route(metadata=child.metadata), uid="", owner_references=[owner.owner_reference()])
    )
    uid = owner.metadata.uid
    assert list(store.dependents(uid, ConfigMap)) == [child]
    assert store.all_dependents(uid) == [child, route]
    changed = replace(child, data={"x": "y"})
    changed = store.update(changed)
    assert list(store.dependents(uid, ConfigMap)) == [changed], "the index shows the newest version"
    store.update(with_meta(changed, owner_references=[]))
    store.delete(Route, "default", "a")
    assert store.all_dependents(uid) == []
