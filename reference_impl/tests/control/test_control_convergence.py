"""Level-triggered: however the platform got here, the end is the one that a fresh deploy reaches."""

import asyncio
from collections.abc import Callable

from controlworld import CRASHING, NS, World, new_world, play, running
from hypothesis import given, settings
from hypothesis import strategies as st

from minirun.model.conditions import CONDITION_SETS, READY, find, status_of
from minirun.model.meta import Condition, ObjectMeta, replace
from minirun.model.resources import (
    KINDS,
    Configuration,
    Pod,
    PodAutoscaler,
    Revision,
    Route,
    Service,
    TrafficTarget,
)
from minirun.simulation.loop import VirtualClock, run_virtual
from minirun.store.store import Event, edit

HOST = "hello.default.localhost"
IMAGES = ("hello", "other", "missing", "crash")

Step = tuple[str, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["image", "pin", "latest", "wait", "break", "restart", "kill", "delete"]),
        st.integers(0, 3),
    ),
    max_size=8,
)


async def take(world: World, step: Step) -> None:
    """One thing that may happen to a platform."""
    what, number = step
    service = world.store.find(Service, NS, "hello")
    if what == "image":
        world.deploy("hello", IMAGES[number], traffic=service.spec.traffic if service else None)
    elif what == "latest" and service:
        edit(world.store, service, spec=replace(service.spec, traffic=LATEST))
    elif what == "pin" and service:
        target = TrafficTarget(revision_name=f"hello-{number + 1:05d}", latest_revision=False, percent=100)
        edit(world.store, service, spec=replace(service.spec, traffic=[target]))
    elif what == "wait":
        await asyncio.sleep((0.3, 3, 40, 200)[number])
    elif what == "break":
        kind = (Configuration, Route, Revision, PodAutoscaler)[number]
        for each in world.store.select(kind, NS)[:1]:
            edit(world.store, each, status=type(each.status)())
    elif what == "restart":
        await world.controllers.stop()
        world.build()
        await world.controllers.start()
    elif what == "kill":
        for process in list(world.runtime.processes.values())[:number]:
            process.kill()
    elif what == "delete":
        for pod in world.pods()[:number]:
            world.store.delete(Pod, *pod.key)


LATEST = [TrafficTarget(latest_revision=True, percent=100)]


async def final_deploy(world: World) -> dict[str, object]:
    """Deploys the final state and says what can be seen of it when it is ready."""
    world.deploy("hello", "final", traffic=LATEST, annotations={"autoscaling.knative.dev/min-scale": "1"})
    service = await world.until_ready("hello")
    assert await world.request(HOST) == service.status.latest_ready_revision_name
    route, configuration = world.route("hello"), world.configuration("hello")
    revision = world.revision(service.status.latest_ready_revision_name)
    assert configuration.status.latest_created_revision_name == revision.metadata.name
    others = [pod for pod in world.pods() if not pod.metadata.name.startswith(revision.metadata.name)]
    await world.until(lambda: not any(world.store.find(Pod, *pod.key) for pod in others))
    assert len(world.pods()) == len(world.runtime.processes) == 1
    return {
        "conditions": [
            [(c.type, c.status, c.reason) for c in each.status.conditions]
            for each in (service, route, configuration, revision)
        ],
        "traffic": [replace(t, revision_name="") for t in service.status.traffic],
        "state": revision.metadata.labels["serving.knative.dev/routingState"],
        "spec": revision.spec,
        "reserve": {
            r.metadata.labels["serving.knative.dev/routingState"]
            for r in world.store.select(Revision, NS)
            if r.metadata.name != revision.metadata.name
        }
        <= {"reserve"},
    }


def end_after(steps: list[Step]) -> dict[str, object]:
    async def run(clock: VirtualClock) -> dict[str, object]:
        world = new_world(clock)
        world.profiles["crash"] = CRASHING
        async with running(world):
            for step in steps:
                await take(world, step)
            return await final_deploy(world)

    return run_virtual(run)


FRESH = end_after([])


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_any_history_ends_like_a_fresh_deploy(steps: list[Step]) -> None:
    assert end_after([("image", 0), *steps]) == FRESH


def check_conditions(event: Event) -> None:
    """What must hold of the conditions of every object after every write."""
    new, old = event.object, event.old
    if new.kind not in CONDITION_SETS:
        return
    conditions: list[Condition] = new.status.conditions  # type: ignore[attr-defined]
    dependents = CONDITION_SETS[new.kind]
    if dependents and conditions:
        statuses = {status_of(conditions, type_) for type_ in dependents}
        wanted = "False" if "False" in statuses else "Unknown" if "Unknown" in statuses else "True"
        assert status_of(conditions) == wanted, conditions
    assert [c.type for c in conditions] == sorted(c.type for c in conditions)
    for before in old.status.conditions if old else ():  # type: ignore[attr-defined]
        after = find(conditions, before.type)
        if after is not None and before.last_transition_time != after.last_transition_time:
            assert replace(after, last_transition_time="") != replace(before, last_transition_time="")
    if isinstance(new, Service) and status_of(conditions) == "True":
        assert new.status.traffic
        assert new.status.url


@settings(max_examples=30, deadline=None)
@given(STEPS)
def test_conditions_keep_their_rules_through_any_history(steps: list[Step]) -> None:
    broken: list[AssertionError] = []

    def check(event: Event) -> None:
        try:
            check_conditions(event)
        except AssertionError as error:
            broken.append(error)

    async def run(clock: VirtualClock) -> None:
        world = new_world(clock)
        world.profiles["crash"] = CRASHING
        world.store.subscribe(check)
        async with running(world):
            for step in [("image", 0), *steps]:
                await take(world, step)

    run_virtual(run)
    assert not broken, broken[0]


def restarted(world: World) -> Callable[[], object]:
    return lambda: len(world.runtime.processes) == 1


def test_a_restart_on_existing_objects_keeps_them_and_starts_fresh_instances() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello")
        await world.until_ready("hello")
        before = {(r.kind, *r.key): r for row in KINDS for r in world.store.select(row.type)}
        (old_pod,) = world.pods()
        world.crash()
        world.build()
        removed: list[str] = []
        runtime = world.runtime
        original = runtime.remove_leftovers

        async def remove_leftovers(identities: list[str]) -> int:
            removed.extend(identities)
            return await original(identities)

        runtime.remove_leftovers = remove_leftovers  # type: ignore[method-assign,assignment]
        await world.controllers.start()
        assert removed == [old_pod.metadata.annotations["minirun.dev/identity"]]
        assert world.revision_for(HOST) == "hello-00001", "routes are programmed when start returns"
        await world.until(restarted(world))
        await world.until_ready("hello")
        assert world.pods()[0].metadata.uid != old_pod.metadata.uid
        for (kind, namespace, name), resource in before.items():
            if kind != "Pod":
                now = world.store.get(type(resource), namespace, name)
                assert now.metadata.uid == resource.metadata.uid
                assert now.metadata.generation >= resource.metadata.generation
        assert await world.request(HOST) == "hello-00001"

    play(scene)


def test_nothing_is_written_while_nothing_changes() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello", annotations={"autoscaling.knative.dev/min-scale": "1"})
        await world.until_ready("hello")
        await asyncio.sleep(100)
        version = world.store.version
        await asyncio.sleep(3600)
        assert world.store.version == version

    play(scene)


def test_a_write_between_read_and_write_is_a_conflict_that_is_tried_again() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello")
        await world.until_ready("hello")
        resolve, interrupted = world.resolve, False

        def interrupt(reference: str) -> object:
            nonlocal interrupted
            found = resolve(reference)
            if not interrupted:
                interrupted = True
                revision = world.revision("hello-00002")
                notes = revision.metadata.annotations | {"somebody": "else"}
                edit(world.store, revision, metadata=replace(revision.metadata, annotations=notes))
            return found

        world.ctx.images = type("Images", (), {"resolve": staticmethod(interrupt)})()
        world.deploy("hello", env="2")
        await world.until_ready("hello")
        assert interrupted
        assert world.revision("hello-00002").metadata.annotations["somebody"] == "else"

    play(scene)


def test_ready_is_known_for_every_kind_that_has_it() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello")
        await world.until_ready("hello")
        await world.settle()
        for row in KINDS:
            for resource in world.store.select(row.type, NS) if row.type.__name__ in CONDITION_SETS else ():
                assert world.condition(resource, READY).status == "True", resource
                assert resource.status.observed_generation == resource.metadata.generation  # type: ignore[attr-defined]

    play(scene)


def test_many_services_of_many_namespaces_do_not_meet() -> None:
    async def scene(world: World) -> None:
        for number in range(5):
            world.deploy(f"s{number}")
        service = world.deploy("hello")
        twin = replace(service, metadata=ObjectMeta(name="hello", namespace="elsewhere"))
        world.store.create(replace(twin, status=type(twin.status)()))
        for number in range(5):
            await world.until_ready(f"s{number}")
        await world.until_ready("hello")
        await world.settle()
        assert world.revision_for("hello.elsewhere.localhost") == "hello-00001"
        assert world.ctx.paths.entry("elsewhere", "hello-00001") is not world.ctx.paths.entry(
            NS, "hello-00001"
        )

    play(scene)
