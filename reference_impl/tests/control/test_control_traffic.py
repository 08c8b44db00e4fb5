"""Who gets the traffic: splits, tags, rollback, rollout, and what a Route says of it."""

import asyncio
from collections import Counter

from controlworld import CRASHING, NS, World, play

from minirun.model.meta import ObjectMeta, replace
from minirun.model.resources import Route, RouteSpec, TrafficTarget

HOST = "hello.default.localhost"


def latest(percent: int | None = 100, tag: str = "") -> TrafficTarget:
    return TrafficTarget(latest_revision=True, percent=percent, tag=tag)


def to(revision: str, percent: int | None = None, tag: str = "") -> TrafficTarget:
    return TrafficTarget(revision_name=revision, latest_revision=False, percent=percent, tag=tag)


async def two_revisions(world: World) -> None:
    world.deploy("hello")
    await world.until_ready("hello")
    world.deploy("hello", env="2")
    await world.until_ready("hello")


def test_traffic_is_split_by_percent_and_the_status_has_the_declared_shape() -> None:
    async def scene(world: World) -> None:
        await two_revisions(world)
        world.deploy(
            "hello", env="2", traffic=[latest(20), to("hello-00001", 80, "old"), latest(None, "new")]
        )
        service = await world.until_ready("hello")
        assert service.status.traffic == [
            TrafficTarget(revision_name="hello-00002", latest_revision=True, percent=20),
            TrafficTarget(
                revision_name="hello-00001",
                latest_revision=False,
                percent=80,
                tag="old",
                url="http://old-hello.default.localhost:8080",
            ),
            TrafficTarget(
                revision_name="hello-00002",
                latest_revision=True,
                tag="new",
                url="http://new-hello.default.localhost:8080",
            ),
        ]
        picks = Counter(world.revision_for(HOST) for _ in range(100))
        assert picks == {"hello-00001": 80, "hello-00002": 20}
        assert world.revision_for("old-hello.default.localhost") == "hello-00001"
        assert world.revision_for("new-hello.default.localhost") == "hello-00002"

    play(scene)


def test_a_rollback_moves_all_traffic_and_tagged_revisions_stay_reachable() -> None:
    async def scene(world: World) -> None:
        await two_revisions(world)
        world.deploy("hello", env="2", traffic=[to("hello-00001", 100), latest(None, "next")])
        await world.until_ready("hello")
        await world.settle()
        assert {world.revision_for(HOST) for _ in range(10)} == {"hello-00001"}
        for revision in ("hello-00001", "hello-00002"):
            assert world.autoscaler(revision).spec.reachability == "Reachable"

    play(scene)


def test_a_revision_that_nobody_means_goes_into_reserve_even_if_it_never_had_traffic() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello", revision="hello-a")
        await world.until_ready("hello")
        world.deploy("hello", env="2", revision="hello-b", traffic=[to("hello-a", 100)])
        await world.until_ready("hello")
        await world.settle()
        labels = world.revision("hello-b").metadata.labels
        assert labels["serving.knative.dev/routingState"] == "reserve"
        assert world.revision("hello-a").metadata.labels["serving.knative.dev/routingState"] == "active"

    play(scene)


def test_a_target_that_is_not_there_leaves_the_traffic_where_it_was() -> None:
    async def scene(world: World) -> None:
        await two_revisions(world)
        world.deploy("hello", env="2", traffic=[to("hello-00007", 100)])
        await world.settle()
        condition = world.condition(world.route("hello"))
        assert (condition.status, condition.reason) == ("False", "RevisionMissing")
        assert condition.message == 'Revision "hello-00007" referenced in traffic not found.'
        assert world.condition(world.service("hello"), "RoutesReady").status == "False"
        assert world.revision_for(HOST) == "hello-00002"

    play(scene)


def test_a_failed_revision_gets_no_traffic_that_is_sent_to_it_by_name() -> None:
    async def scene(world: World) -> None:
        world.profiles["bad"] = CRASHING
        world.deploy("hello")
        await world.until_ready("hello")
        world.deploy("hello", "bad")
        await world.until(lambda: world.verdict("hello") == "False")
        world.deploy("hello", "bad", traffic=[to("hello-00002", 100)])
        await world.settle()
        assert world.condition(world.route("hello")).message == (
            'Revision "hello-00002" failed to become ready.'
        )
        assert world.revision_for(HOST) == "hello-00001"

    play(scene)


def test_a_gradual_rollout_starts_with_one_percent_and_ends_with_all() -> None:
    async def scene(world: World) -> None:
        own = {"serving.knative.dev/rollout-duration": "100s"}
        world.deploy("hello", own=own)
        await world.until_ready("hello")
        world.deploy("hello", env="2", own=own)
        await world.until(lambda: len(world.route("hello").status.traffic) == 2)
        shares = [(t.revision_name, t.percent) for t in world.route("hello").status.traffic]
        assert shares == [("hello-00001", 99), ("hello-00002", 1)]
        condition = world.condition(world.route("hello"), "IngressReady")
        assert (condition.status, condition.reason) == ("Unknown", "RolloutInProgress")
        began = world.seconds()
        await asyncio.sleep(50)
        picks = Counter(world.revision_for(HOST) for _ in range(100))
        assert 30 < picks["hello-00002"] < 70
        assert world.autoscaler("hello-00001").spec.reachability == "Reachable"
        await world.until_ready("hello")
        assert 90 < world.seconds() - began < 110
        assert {world.revision_for(HOST) for _ in range(100)} == {"hello-00002"}

    play(scene)


def test_a_rollout_goes_on_after_a_restart_from_what_the_route_remembers() -> None:
    async def scene(world: World) -> None:
        world.settings("config-network", rollout_duration="100")
        await two_revisions_begun(world)
        await asyncio.sleep(30)
        before = world.route("hello").status.traffic[1].percent
        await world.controllers.stop()
        world.build()
        await world.controllers.start()
        after = world.route("hello").status.traffic[1].percent
        assert before is not None
        assert after is not None
        assert 20 < before <= after <= before + 1
        await world.until_ready("hello")
        assert world.revision_for(HOST) == "hello-00002"

    async def two_revisions_begun(world: World) -> None:
        world.deploy("hello")
        await world.until_ready("hello")
        world.deploy("hello", env="2")
        await world.until(lambda: len(world.route("hello").status.traffic) == 2)

    play(scene)


def test_a_cluster_local_service_answers_inside_only() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello", labels={"networking.knative.dev/visibility": "cluster-local"})
        service = await world.until_ready("hello")
        assert service.status.url == "http://hello.default.svc.cluster.local"
        assert world.revision_for(HOST) is None
        assert world.revision_for("hello.default.svc.cluster.local") == "hello-00001"

    play(scene)


def test_another_domain_moves_all_routes() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello")
        await world.until_ready("hello")
        world.settings("config-domain", **{"example.com": ""})
        await world.settle()
        assert world.service("hello").status.url == "http://hello.default.example.com:8080"
        assert world.revision_for("hello.default.example.com") == "hello-00001"
        assert world.revision_for(HOST) is None

    play(scene)


def test_while_revisions_change_every_request_is_answered() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello")
        await world.until_ready("hello")
        answered: Counter[str] = Counter()

        async def prober() -> None:
            while True:
                answered[await world.request(HOST, 0.05)] += 1

        probing = [asyncio.create_task(prober()) for _ in range(5)]
        for number in range(2, 6):
            world.deploy("hello", env=str(number))
            await world.until_ready("hello")
        await asyncio.sleep(1)
        probing[0].cancel()
        for task in probing[1:]:
            assert not task.done(), task.exception()
            task.cancel()
        assert set(answered) == {f"hello-0000{n}" for n in range(1, 6)}

    play(scene)


def test_the_last_good_traffic_is_routed_again_after_a_restart() -> None:
    async def scene(world: World) -> None:
        await two_revisions(world)
        world.deploy("hello", env="2", traffic=[to("hello-00001", 100)])
        await world.until_ready("hello")
        world.deploy("hello", env="2", traffic=[to("hello-00007", 100)])
        await world.settle()
        await world.controllers.stop()
        world.build()
        await world.controllers.start()
        assert world.revision_for(HOST) == "hello-00001"

    play(scene)


def test_a_route_that_moves_to_another_configuration_lets_go_of_the_first() -> None:
    async def scene(world: World) -> None:
        world.deploy("a")
        world.deploy("b")
        await world.until_ready("a")
        await world.until_ready("b")
        front = Route(
            metadata=ObjectMeta(name="front", namespace=NS),
            spec=RouteSpec(traffic=[TrafficTarget(configuration_name="a", percent=100)]),
        )
        front = world.store.create(front)
        await world.settle()
        assert world.revision("a-00001").metadata.annotations["serving.knative.dev/routes"] == "a,front"
        front = world.route("front")
        target = TrafficTarget(configuration_name="b", percent=100)
        world.store.update(replace(front, spec=RouteSpec(traffic=[target])))
        await world.settle()
        assert world.revision("a-00001").metadata.annotations["serving.knative.dev/routes"] == "a"
        assert world.revision("b-00001").metadata.annotations["serving.knative.dev/routes"] == "b,front"
        world.store.delete(Route, NS, "front")
        await world.settle()
        assert world.revision("b-00001").metadata.annotations["serving.knative.dev/routes"] == "b"
        assert world.revision_for("front.default.localhost") is None

    play(scene)
