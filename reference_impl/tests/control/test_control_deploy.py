"""A deploy, from the Service to an instance that gets requests; and deploys that fail."""

import asyncio
from collections import Counter

from controlworld import CRASHING, DEAF, GOOD, NS, World, play

from minirun.control.revision import RESOURCES
from minirun.model.conditions import is_true
from minirun.model.meta import ObjectMeta
from minirun.model.resources import (
    Configuration,
    ConfigurationSpec,
    Container,
    Deployment,
    Revision,
    RevisionSpec,
    RevisionTemplate,
    Route,
    RouteSpec,
    TrafficTarget,
)
from minirun.store.store import edit

HOST = "hello.default.localhost"


def test_a_new_service_becomes_ready_as_soon_as_its_instance_is_and_serves() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello")
        began = world.seconds()
        service = await world.until_ready("hello")
        assert world.seconds() - began < 0.6  # the container starts in 0.5 s
        assert service.status.url == "http://hello.default.localhost:8080"
        assert service.status.address is not None
        assert service.status.address.url == "http://hello.default.svc.cluster.local"
        assert service.status.latest_created_revision_name == "hello-00001"
        assert service.status.latest_ready_revision_name == "hello-00001"
        assert service.status.traffic == [
            TrafficTarget(revision_name="hello-00001", latest_revision=True, percent=100)
        ]
        assert service.metadata.generation == service.status.observed_generation == 1
        assert await world.request(HOST) == "hello-00001"

    play(scene)


def test_labels_and_annotations_reach_the_children_and_leave_them_again() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello", labels={"team": "a"}, own={"note": "1", "client.knative.dev/x": "y"})
        await world.until_ready("hello")
        revision = world.revision("hello-00001")
        labels = revision.metadata.labels
        assert labels["serving.knative.dev/service"] == "hello"
        assert labels["serving.knative.dev/configuration"] == "hello"
        assert labels["serving.knative.dev/configurationGeneration"] == "1"
        assert labels["serving.knative.dev/routingState"] == "active"
        assert labels["serving.knative.dev/configurationUID"] == world.configuration("hello").metadata.uid
        assert labels["serving.knative.dev/serviceUID"] == world.service("hello").metadata.uid
        assert revision.metadata.annotations["serving.knative.dev/routes"] == "hello"
        for child in (world.configuration("hello"), world.route("hello")):
            assert child.metadata.labels["team"] == "a"
            assert child.metadata.annotations["note"] == "1"
        world.deploy("hello")
        await world.settle()
        for child in (world.configuration("hello"), world.route("hello")):
            assert "team" not in child.metadata.labels
            assert "note" not in child.metadata.annotations
        assert len(world.store.select(Revision, NS)) == 1, "metadata alone makes no revision"

    play(scene)


def test_a_new_template_makes_a_revision_that_takes_over_when_it_is_ready_and_not_before() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello")
        await world.until_ready("hello")
        world.deploy("hello", env="2")
        await world.settle()
        assert world.service("hello").status.latest_created_revision_name == "hello-00002"
        assert world.revision_for(HOST) == "hello-00001"
        service = await world.until_ready("hello")
        assert service.status.latest_ready_revision_name == "hello-00002"
        assert world.revision_for(HOST) == "hello-00002"
        await world.settle()
        assert world.revision("hello-00001").metadata.labels["serving.knative.dev/routingState"] == "reserve"
        assert world.autoscaler("hello-00001").spec.reachability == "Unreachable"
        assert world.autoscaler("hello-00002").spec.reachability == "Reachable"

    play(scene)


def test_an_image_that_is_not_there_is_said_on_all_four_kinds() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello", "missing")
        await world.settle()
        text = "Unable to fetch image \"missing\": there is no image 'missing'"
        revision = world.condition(world.revision("hello-00001"))
        assert (revision.status, revision.reason, revision.message) == ("False", "ContainerMissing", text)
        configuration = world.condition(world.configuration("hello"))
        assert (configuration.status, configuration.reason) == ("False", "RevisionFailed")
        assert configuration.message == f'Revision "hello-00001" failed with message: {text}.'
        route = world.condition(world.route("hello"))
        assert (route.status, route.reason) == ("False", "RevisionMissing")
        assert route.message == 'Configuration "hello" does not have any ready Revision.'
        service = world.service("hello")
        for type_ in ("Ready", "ConfigurationsReady", "RoutesReady"):
            assert world.condition(service, type_).status == "False"
        world.missing.clear()
        await world.until_ready("hello")

    play(scene)


def test_a_container_that_keeps_exiting_is_said_and_keeps_the_old_revision_serving() -> None:
    async def scene(world: World) -> None:
        world.profiles["bad"] = CRASHING
        world.deploy("hello")
        await world.until_ready("hello")
        world.deploy("hello", "bad")
        await world.until(lambda: world.verdict("hello") == "False", 2)
        healthy = world.condition(world.revision("hello-00002"), "ContainerHealthy")
        assert (healthy.status, healthy.reason) == ("False", "ExitCode1")
        assert healthy.message.startswith("Container failed with: ")
        service = world.service("hello")
        assert world.condition(service).reason == "RevisionFailed"
        assert service.status.latest_created_revision_name == "hello-00002"
        assert service.status.latest_ready_revision_name == "hello-00001"
        for _ in range(20):
            assert await world.request(HOST, 1.0) == "hello-00001"

    play(scene)


def test_a_revision_recovers_when_its_container_does() -> None:
    async def scene(world: World) -> None:
        world.profiles["bad"] = CRASHING
        world.deploy("hello", "bad")
        await world.until(lambda: world.verdict("hello") == "False")
        world.profiles["bad"] = GOOD
        await world.until_ready("hello")
        assert world.condition(world.revision("hello-00001"), "ContainerHealthy").status == "True"
        assert world.pods()[0].status.container_statuses[0].restart_count > 0

    play(scene)


def test_an_app_that_never_listens_fails_at_its_deadline_and_the_old_one_goes_on() -> None:
    async def scene(world: World) -> None:
        world.profiles["deaf"] = DEAF
        world.deploy("hello")
        await world.until_ready("hello")
        world.deploy("hello", "deaf", annotations={"serving.knative.dev/progress-deadline": "30s"})
        began = world.seconds()
        await world.until(lambda: world.verdict("hello") == "False")
        assert 29 < world.seconds() - began < 32
        resources = world.condition(world.revision("hello-00002"), RESOURCES)
        assert resources.reason == "ProgressDeadlineExceeded"
        assert "did not listen on $PORT" in resources.message
        assert world.revision_for(HOST) == "hello-00001"
        await asyncio.sleep(120)
        assert world.deployment("hello-00002").spec.replicas == 0, "it is not tried for ever"
        assert world.pods("hello-00002") == []
        assert world.condition(world.revision("hello-00002"), RESOURCES).message == resources.message

    play(scene)


def test_going_back_to_the_old_template_after_a_failure_makes_the_service_ready_again() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello")
        await world.until_ready("hello")
        world.deploy("hello", "missing")
        await world.until(lambda: world.verdict("hello") == "False")
        world.deploy("hello")
        service = await world.until_ready("hello")
        assert service.status.latest_ready_revision_name == "hello-00003"

    play(scene)


def test_a_revision_name_of_the_users_own_is_used_and_one_that_is_taken_is_refused() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello", revision="hello-blue")
        service = await world.until_ready("hello")
        assert service.status.latest_ready_revision_name == "hello-blue"
        world.deploy("hello", "other", revision="hello-blue")
        await world.settle()
        configuration = world.condition(world.configuration("hello"))
        assert (configuration.status, configuration.reason) == ("False", "RevisionFailed")
        assert "already exists" in configuration.message
        routes = world.condition(world.service("hello"), "RoutesReady")
        assert (routes.status, routes.reason) == ("False", "RevisionNameTaken")
        assert world.revision_for(HOST) == "hello-blue"
        world.deploy("hello", "other", revision="hello-green")
        assert (await world.until_ready("hello")).status.latest_ready_revision_name == "hello-green"
        world.deploy("hello", revision="hello-blue")
        assert (await world.until_ready("hello")).status.latest_ready_revision_name == "hello-blue"

    play(scene)


def test_children_of_somebody_else_are_left_alone() -> None:
    async def scene(world: World) -> None:
        template = RevisionTemplate(spec=RevisionSpec(containers=[Container(name="c", image="x")]))
        meta = ObjectMeta(name="hello", namespace=NS)
        mine = world.store.create(Configuration(metadata=meta, spec=ConfigurationSpec(template=template)))
        world.deploy("hello", env="9")
        await world.settle()
        condition = world.condition(world.service("hello"), "ConfigurationsReady")
        assert (condition.status, condition.reason) == ("False", "NotOwned")
        assert condition.message == 'There is an existing Configuration "hello" that we do not own.'
        assert world.configuration("hello").spec == mine.spec

    play(scene)


def test_a_standalone_configuration_and_route_work_together() -> None:
    async def scene(world: World) -> None:
        route = Route(
            metadata=ObjectMeta(name="front", namespace=NS),
            spec=RouteSpec(traffic=[TrafficTarget(configuration_name="back", percent=100)]),
        )
        world.store.create(route)
        await world.settle()
        condition = world.condition(world.route("front"))
        assert (condition.status, condition.reason) == ("False", "ConfigurationMissing")
        service = world.deploy("template")
        world.store.create(
            Configuration(
                metadata=ObjectMeta(name="back", namespace=NS, labels={"x": "y"}),
                spec=ConfigurationSpec(template=service.spec.template),
            )
        )
        await world.until(lambda: is_true(world.route("front").status.conditions))
        assert world.revision_for("front.default.localhost") == "back-00001"
        assert world.route("front").status.traffic == [TrafficTarget(revision_name="back-00001", percent=100)]
        assert "x" not in world.revision("back-00001").metadata.labels

    play(scene)


def test_a_latest_ready_revision_that_is_deleted_is_made_again() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello")
        await world.until_ready("hello")
        uid = world.revision("hello-00001").metadata.uid
        world.store.delete(Revision, NS, "hello-00001")
        await world.settle()
        await world.until_ready("hello")
        assert world.revision("hello-00001").metadata.uid != uid
        assert await world.request(HOST) == "hello-00001"

    play(scene)


def test_a_status_that_somebody_breaks_is_put_right_by_the_next_reconcile() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello")
        await world.until_ready("hello")
        await world.settle()
        good = world.service("hello")
        edit(world.store, good, status=type(good.status)(), metadata=good.metadata)
        configuration = world.configuration("hello")
        edit(world.store, configuration, status=type(configuration.status)())
        await world.until_ready("hello")
        assert world.service("hello").status.traffic == good.status.traffic

    play(scene)


def test_a_failure_that_is_known_at_once_is_told_again_for_clients_that_look_later() -> None:
    async def scene(world: World) -> None:
        world.deploy("bad", image="missing")
        await world.until(lambda: world.verdict("bad") == "False")
        await world.settle()
        failed, since = world.service("bad"), world.seconds()
        await world.until(
            lambda: world.service("bad").metadata.resource_version != failed.metadata.resource_version
        )
        assert 1 <= world.seconds() - since <= 3
        again = world.service("bad")
        assert (again.status, again.metadata.generation) == (failed.status, failed.metadata.generation)

    play(scene)


def test_what_a_deploy_leads_to_is_written_once_and_not_at_every_step() -> None:
    async def scene(world: World) -> None:
        writes: Counter[str] = Counter()
        world.store.subscribe(lambda event: writes.update([event.object.type_name]))
        world.deploy("hello")
        await world.until_ready("hello")
        assert writes["ServerlessService"] == 2  # made, and with an instance behind it
        others = ("Configuration", "Route", "Deployment", "PodAutoscaler", "Pod")
        assert {name: writes[name] for name in others} == dict.fromkeys(others, 3)  # made, waiting, ready
        assert (writes["Service"], writes["Revision"]) == (4, 5)

    play(scene)


def test_a_long_name_is_shortened_in_all_that_is_made_of_it() -> None:
    async def scene(world: World) -> None:
        name = "a" * 63
        world.deploy(name)
        revision = (await world.until_ready(name)).status.latest_ready_revision_name
        assert revision == "a" * 25 + "b06521f39153d618550606be297466d5" + "-00001"
        (deployment,) = world.store.select(Deployment, NS)
        assert len(deployment.metadata.name) == 63
        assert await world.request(f"{name}.{NS}.localhost") == revision

    play(scene)
