"""0 → N → 0: the autoscaler's decisions become Pods, requests wake them, and no request is lost."""

import asyncio

import pytest
from controlworld import GOOD, NS, World, key, play

from minirun.activation.path import QueueTimeout
from minirun.control.deployment import plan_pods
from minirun.model.meta import Condition, ObjectMeta
from minirun.model.profiles import PROFILE_LABEL
from minirun.model.resources import Namespace, Pod, PodStatus, ServerlessService
from minirun.runtime.virtual import Profile, distribution

HOST = "hello.default.localhost"


async def until_zero(world: World, revision: str = "hello-00001") -> None:
    await world.until(lambda: not world.pods(revision))


def test_an_idle_revision_goes_to_zero_after_its_window_and_stays_ready() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello")
        await world.until_ready("hello")
        began = world.seconds()
        await until_zero(world)
        assert 59 < world.seconds() - began < 63, "the stable window; the activator was in the path all along"
        await world.settle()
        active = world.condition(world.revision("hello-00001"), "Active")
        assert (active.status, active.reason, active.severity) == ("False", "NoTraffic", "Info")
        assert world.verdict("hello") == "True"
        assert world.revision("hello-00001").status.actual_replicas == 0
        assert world.revision("hello-00001").status.desired_replicas == 0

    play(scene)


def test_the_first_request_wakes_a_revision_at_zero_and_is_answered() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello")
        await world.until_ready("hello")
        await until_zero(world)
        began = world.seconds()
        assert await world.request(HOST) == "hello-00001"
        assert abs(world.seconds() - began - 0.6) < 0.001, "0.5 s to start, 0.1 s of work, nothing else"
        await world.settle()
        assert world.condition(world.revision("hello-00001"), "Active").status == "True"

    play(scene)


def test_the_first_request_after_a_restart_at_zero_wakes_the_revision_at_once() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello")
        await world.until_ready("hello")
        await until_zero(world)
        await world.controllers.stop()
        world.build()
        await world.controllers.start()
        began = world.seconds()
        assert await world.request(HOST) == "hello-00001"
        assert abs(world.seconds() - began - 0.6) < 0.001, (
            "0.5 s to start, 0.1 s of work, no beat to wait for"
        )

    play(scene)


@pytest.mark.parametrize(("start", "seconds"), [("0.5", 10.0), ("4", 14.0)])
def test_a_cloudrun_request_queues_for_ten_seconds_or_as_long_as_a_start_takes_three_and_a_half_times(
    start: str, seconds: float
) -> None:
    async def scene(world: World) -> None:
        world.store.create(Namespace(metadata=ObjectMeta(name=NS, labels={PROFILE_LABEL: "cloudrun"})))
        world.profiles["hello"] = Profile(distribution(start), distribution("0.1"))
        world.deploy("hello", concurrency=1, annotations={"autoscaling.knative.dev/max-scale": "1"})
        await world.until_ready("hello")
        path = world.path("hello-00001")
        held, began = await path.acquire(1), world.seconds()
        with pytest.raises(QueueTimeout, match=r"^Rate exceeded\.$"):
            await path.acquire(300)
        assert world.seconds() - began == pytest.approx(seconds, abs=0.01)
        held.release()

    play(scene)


@pytest.mark.parametrize(("profile", "most"), [("cloudrun", 100), ("knative", 120)])
def test_a_cloudrun_revision_without_a_maximum_has_at_most_a_hundred_instances(
    profile: str, most: int
) -> None:
    async def scene(world: World) -> None:
        world.store.create(Namespace(metadata=ObjectMeta(name=NS, labels={PROFILE_LABEL: profile})))
        world.deploy("hello", concurrency=1)
        await world.until_ready("hello")
        requests = [asyncio.create_task(world.request(HOST, 20)) for _ in range(84)]  # at 70 % of one each
        await world.until(lambda: world.deployment("hello-00001").spec.replicas == most, 20)
        await asyncio.gather(*requests)

    play(scene)


def test_a_burst_is_spread_over_new_instances_and_they_go_again() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello", concurrency=1)
        await world.until_ready("hello")
        requests = [asyncio.create_task(world.request(HOST, 20)) for _ in range(8)]
        await world.until(lambda: world.ctx.paths.ready_count(f"{NS}/hello-00001") >= 8, 20)
        await asyncio.gather(*requests)
        await world.until(lambda: len(world.pods()) == 0, 300)

    play(scene)


def test_min_scale_is_kept_while_reachable_and_dropped_when_nobody_routes_there() -> None:
    async def scene(world: World) -> None:
        annotations = {"autoscaling.knative.dev/min-scale": "3"}
        world.deploy("hello", annotations=annotations)
        await world.until_ready("hello")
        await world.until(lambda: world.ctx.paths.ready_count(f"{NS}/hello-00001") == 3)
        await asyncio.sleep(300)
        assert len(world.pods("hello-00001")) == 3
        world.deploy("hello", env="2", annotations=annotations)
        await world.until_ready("hello")
        await until_zero(world)
        assert world.deployment("hello-00002").spec.replicas == 3

    play(scene)


def test_initial_scale_is_reached_before_ready_and_then_given_up() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello", annotations={"autoscaling.knative.dev/initial-scale": "4"})
        await world.until_ready("hello")
        assert world.ctx.paths.ready_count(f"{NS}/hello-00001") == 4
        await until_zero(world)

    play(scene)


def test_an_initial_scale_of_zero_is_ready_without_a_container() -> None:
    async def scene(world: World) -> None:
        world.settings("config-autoscaler", allow_zero_initial_scale="true", initial_scale="0")
        world.deploy("hello")
        await world.until_ready("hello")
        assert world.runtime.started == 0
        assert await world.request(HOST) == "hello-00001"

    play(scene)


def test_a_setting_that_changes_is_heard_at_once() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello")
        await world.until_ready("hello")
        world.settings("config-autoscaler", min_scale="2")
        await world.settle()
        assert world.deployment("hello-00001").spec.replicas == 2
        world.settings("config-autoscaler", enable_scale_to_zero="false")
        await asyncio.sleep(300)
        assert len(world.pods()) == 1

    play(scene)


def test_the_activator_leaves_the_path_when_there_is_room_for_a_burst() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello", annotations={"autoscaling.knative.dev/target-burst-capacity": "0"})
        await world.until_ready("hello")
        await asyncio.sleep(3)  # until the decider has decided for the first time
        entry = world.ctx.paths.entry(NS, "hello-00001")
        assert entry is not None
        assert not entry.through_activator
        sks = world.store.get(ServerlessService, NS, "hello-00001")
        assert sks.spec.mode == "Serve"
        assert world.condition(sks, "ActivatorEndpointsPopulated").status == "False"
        await until_zero(world)
        assert entry.through_activator
        assert await world.request(HOST) == "hello-00001"

    play(scene)


def test_zero_comes_only_after_the_activator_is_back_in_the_path() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello", annotations={"autoscaling.knative.dev/target-burst-capacity": "0"})
        await world.until_ready("hello")
        proxied: list[float] = []
        gone: list[float] = []
        entry = world.ctx.paths.entry(NS, "hello-00001")
        assert entry is not None
        while not gone:
            await asyncio.sleep(0.5)
            if entry.proxied and not proxied:
                proxied.append(world.seconds())
            if not world.pods():
                gone.append(world.seconds())
        assert gone[0] - proxied[0] >= 29, "the grace period"

    play(scene)


def test_an_instance_that_is_removed_finishes_its_requests_first() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello", timeout_seconds=300)
        await world.until_ready("hello")
        running = asyncio.create_task(world.request(HOST, 30))
        await asyncio.sleep(1)
        (pod,) = world.pods()
        world.store.delete(Pod, *pod.key)
        await world.until(lambda: len(world.pods()) == 2)
        await asyncio.sleep(20)
        assert world.runtime.started == 2
        assert world.ctx.paths.ready_count(f"{NS}/hello-00001") == 1
        assert world.deployment("hello-00001").status.ready_replicas == 1
        assert len(world.runtime.processes) == 2, "the old one still works"
        assert [e.name for e in world.path("hello-00001").instance_reports(0)] != [pod.metadata.name]
        await running
        await world.until(lambda: len(world.pods()) == 1)
        assert len(world.runtime.processes) == 1

    play(scene)


def test_an_instance_that_never_finishes_is_ended_after_the_revisions_timeout() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello", timeout_seconds=60)
        await world.until_ready("hello")
        asyncio.get_running_loop().create_task(world.request(HOST, 500))
        await asyncio.sleep(1)
        (pod,) = world.pods()
        world.store.delete(Pod, *pod.key)
        began = world.seconds()
        await world.until(lambda: pod.metadata.name not in {p.metadata.name for p in world.pods()})
        assert 59 < world.seconds() - began < 62
        await asyncio.sleep(500)

    play(scene)


GRACE = [
    ((0,), 0),  # at once
    ((20,), 20),  # from the deletion to SIGKILL, in place of the revision's timeout
    ((20, 5), 5),  # it can get shorter
    ((20, 30), 20),  # and not longer
    ((None, 3), 3),
]


@pytest.mark.parametrize(("asked", "ends_after"), GRACE)
@pytest.mark.parametrize("busy", [True, False])
def test_whoever_deletes_a_pod_may_say_how_long_its_end_may_take(
    asked: tuple[int | None, ...], ends_after: float, busy: bool
) -> None:
    async def scene(world: World) -> None:
        world.profiles["hello"] = Profile(GOOD.start, GOOD.service, stop_seconds=500)
        world.deploy("hello", timeout_seconds=60)
        await world.until_ready("hello")
        if busy:
            asyncio.get_running_loop().create_task(world.request(HOST, 500))
        await asyncio.sleep(1)
        (pod,) = world.pods()
        began = world.seconds()
        for seconds in asked:
            world.store.delete(Pod, *pod.key, grace_seconds=seconds)
            await world.settle()
        await world.until(lambda: pod.metadata.name not in {p.metadata.name for p in world.pods()})
        assert ends_after <= world.seconds() - began < ends_after + 1
        await asyncio.sleep(500)

    play(scene)


def test_a_revision_that_is_asked_for_while_it_goes_is_not_lost() -> None:
    async def scene(world: World) -> None:
        slow_end = Profile(GOOD.start, GOOD.service, stop_seconds=5)
        world.profiles["hello"] = slow_end
        world.deploy("hello")
        await world.until_ready("hello")
        await world.until(lambda: any(p.metadata.deletion_timestamp for p in world.pods()))
        assert await world.request(HOST) == "hello-00001"

    play(scene)


def test_thousands_of_revisions_at_zero_are_not_looked_at() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello")
        await world.until_ready("hello")
        await until_zero(world)
        await asyncio.sleep(3)
        assert world.ctx.paths.active == {}
        version = world.store.version
        await asyncio.sleep(3600)
        assert world.store.version == version

    play(scene)


def test_instances_and_replicas_agree_after_any_number_of_reconciles() -> None:
    async def scene(world: World) -> None:
        world.profiles["hello"] = Profile(distribution("0.5"), GOOD.service)
        world.deploy("hello", annotations={"autoscaling.knative.dev/min-scale": "2"})
        await world.until_ready("hello")
        for _ in range(5):
            for kind in ("Deployment", "PodAutoscaler", "Revision", "Endpoints"):
                world.ctx.enqueue(key(kind, "hello-00001" + "-deployment" * (kind == "Deployment")))
            await world.settle()
        assert len(world.pods()) == len(world.runtime.processes) == 2

    play(scene)


def make_pod(name: str, created: str, *, ready: bool = False, phase: str = "Running") -> Pod:
    conditions = [Condition(type="Ready", status="True" if ready else "False")]
    meta = ObjectMeta(name=name, creation_timestamp=f"2026-01-01T00:00:{created}Z")
    return Pod(metadata=meta, status=PodStatus(phase=phase, conditions=conditions))


def test_pods_that_are_not_ready_go_first_and_of_these_the_newest() -> None:
    pods = [
        make_pod("old-ready", "01", ready=True),
        make_pod("new-ready", "05", ready=True),
        make_pod("old", "02"),
        make_pod("new", "04"),
    ]
    order = [plan_pods(replicas, pods).delete[-1].metadata.name for replicas in (3, 2, 1, 0)]
    assert order == ["new", "old", "new-ready", "old-ready"]


def test_a_failed_pod_is_replaced_and_kept_to_be_read_until_zero() -> None:
    pods = [make_pod("dead", "01", phase="Failed"), make_pod("older", "00", phase="Failed")]
    plan = plan_pods(1, pods)
    assert plan.create == 1
    assert [pod.metadata.name for pod in plan.delete] == ["older"]
    assert len(plan_pods(0, pods).delete) == 2


def test_stopping_the_platform_ends_an_instance_that_will_not_go_within_seconds() -> None:
    async def scene(world: World) -> None:
        world.profiles["hello"] = Profile(GOOD.start, GOOD.service, stop_seconds=1000)
        world.deploy("hello")
        await world.until_ready("hello")
        began = world.seconds()
        await world.controllers.stop()
        assert world.runtime.processes == {}
        assert world.seconds() - began < 6
        world.build()

    play(scene)
