"""What happens is told as Events on the objects that it happens to: counted, bounded, and not for ever."""

import asyncio
from collections.abc import Callable, Coroutine

from controlworld import CRASHING, NS, World, play

from minirun.control.recorder import BURST, FLUSH_SECONDS, KEPT_MAX, TTL_SECONDS
from minirun.model.meta import ObjectMeta, with_meta
from minirun.model.resources import CoreEvent, Deployment, DeploymentSpec, Namespace
from minirun.store.store import edit


def play_in_a_namespace(scene: Callable[[World], Coroutine[object, object, None]]) -> World:
    async def with_namespace(world: World) -> None:
        world.store.create(Namespace(metadata=ObjectMeta(name=NS)))
        await scene(world)

    return play(with_namespace)


async def written(world: World) -> None:
    """Returns when what was noted is written."""
    await asyncio.sleep(2 * FLUSH_SECONDS)  # virtual


def told(world: World, kind: str) -> list[tuple[str, str, str]]:
    """Type, reason and message of the Events on objects of a kind, in the order in which they were told."""
    events = [e for e in world.store.select(CoreEvent, NS) if e.involved_object.kind == kind]
    return [(e.type, e.reason, e.message) for e in sorted(events, key=lambda e: e.metadata.name)]


def test_a_deploy_is_told_step_by_step() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello")
        await world.until_ready("hello")
        await written(world)
        about = ("Normal", "Created", 'Created Configuration "hello"')
        assert told(world, "Service") == [about, ("Normal", "Created", 'Created Route "hello"')]
        assert [reason for _, reason, _ in told(world, "Configuration")] == [
            "Created",
            "LatestReadyUpdate",
            "ConfigurationReady",
        ]
        assert ("Normal", "RevisionReady") in [each[:2] for each in told(world, "Revision")]
        assert told(world, "Pod") == [("Normal", "Started", "Started container user-container")]

    play_in_a_namespace(scene)


def test_scaling_to_zero_is_told() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello")
        await world.until_ready("hello")
        await world.until(lambda: not world.pods("hello"))
        await written(world)
        texts = [message for _, _, message in told(world, "Deployment")]
        name = "hello-00001-deployment"
        assert texts == [
            f"Scaled up replica set {name} from 0 to 1",
            f"Scaled down replica set {name} from 1 to 0",
        ]
        assert told(world, "Pod")[-1][1] == "Killing"

    play_in_a_namespace(scene)


def test_a_missing_image_is_a_warning_on_all_that_depends_on_it() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello", image="missing")
        await world.until(lambda: world.verdict("hello") == "False")
        await written(world)
        [revision] = [each for each in told(world, "Revision") if each[0] == "Warning"]
        assert revision[1] == "ContainerMissing"
        assert "there is no image" in revision[2]
        assert ("Warning", "RevisionFailed") in [each[:2] for each in told(world, "Service")]

    play_in_a_namespace(scene)


def test_what_happens_again_counts_up() -> None:
    async def scene(world: World) -> None:
        world.profiles["crash"] = CRASHING
        world.deploy("hello", image="crash")
        await world.until(lambda: any(r == "BackOff" for _, r, _ in told(world, "Pod")))
        await asyncio.sleep(60)
        backs_off = [e for e in world.store.select(CoreEvent, NS) if e.reason == "BackOff"]
        assert max(event.count for event in backs_off) > 1

    play_in_a_namespace(scene)


def test_events_are_gone_after_an_hour() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello", annotations={"autoscaling.knative.dev/min-scale": "1"})
        await world.until_ready("hello")
        await written(world)
        await asyncio.sleep(TTL_SECONDS - 10)
        assert told(world, "Service")
        await asyncio.sleep(20)
        assert not world.store.select(CoreEvent)

    play_in_a_namespace(scene)


def test_who_tells_too_much_is_cut_short_and_the_oldest_go_first() -> None:
    async def scene(world: World) -> None:
        for number in range(KEPT_MAX // BURST + 2):
            meta = ObjectMeta(name=f"d{number}", namespace=NS)
            deployment = world.store.create(Deployment(metadata=meta, spec=DeploymentSpec(replicas=0)))
            for replicas in (*range(1, BURST + 10), 0):
                deployment = edit(world.store, deployment, spec=DeploymentSpec(replicas=replicas))
        await written(world)
        events = world.store.select(CoreEvent)
        assert len(events) == KEPT_MAX
        of_last = [e for e in events if e.involved_object.name == f"d{KEPT_MAX // BURST + 1}"]
        assert len(of_last) == BURST
        assert not any(e.involved_object.name == "d0" for e in events)

    play_in_a_namespace(scene)


def test_a_namespace_that_is_going_gets_no_more_events() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello")
        await world.until_ready("hello")
        namespace = world.store.get(Namespace, "", NS)
        world.store.update(with_meta(namespace, finalizers=["a/b"]))
        world.store.delete(Namespace, "", NS)
        await world.until(lambda: not world.store.select(CoreEvent, NS) and not world.pods())
        await written(world)
        assert not world.store.select(CoreEvent, NS)

    play_in_a_namespace(scene)
