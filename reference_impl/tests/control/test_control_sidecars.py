"""Several containers in one instance: started in order, ready together, ended together."""

import pytest
from controlworld import CRASHING, DEAF, NS, World, play

from minirun.control.pods import make_instance_spec, pod_phase
from minirun.model.dependencies import CONTAINER_DEPENDENCIES, parse_dependencies
from minirun.model.labels import IDENTITY_ANNOTATION
from minirun.model.meta import ObjectMeta, replace
from minirun.model.resources import (
    Container,
    ContainerPort,
    EnvVar,
    Pod,
    PodContainerStatus,
    PodSpec,
    Probe,
    TCPSocketAction,
)
from minirun.runtime.virtual import Profile, distribution

LISTENING = Probe(tcp_socket=TCPSocketAction(port=9000), period_seconds=1)
WEB = Container(name="web", image="web", ports=[ContainerPort(container_port=8080)])
SIDE = Container(name="side", image="side")


def deploy(world: World, *containers: Container, order: str = "{}") -> None:
    """A Service with these containers."""
    world.deploy("hello", containers=containers, annotations={CONTAINER_DEPENDENCIES: order})


def statuses(world: World) -> dict[str, PodContainerStatus]:
    return {status.name: status for status in world.pods()[0].status.container_statuses}


def test_an_instance_is_ready_when_all_its_containers_are_and_requests_go_to_the_one_with_a_port() -> None:
    async def scene(world: World) -> None:
        world.profiles["side"] = Profile(distribution("2"), distribution("0"))
        deploy(world, replace(SIDE, readiness_probe=LISTENING), WEB)
        began = world.seconds()
        await world.until_ready("hello")
        assert 2 <= world.seconds() - began < 5
        [pod] = world.pods()
        seen = statuses(world)
        assert [(name, status.ready) for name, status in seen.items()] == [("side", True), ("web", True)]
        assert world.runtime.processes[pod.status.pod_ip].spec.container == "web"
        assert {p.spec.sidecar for p in world.runtime.processes.values()} == {False, True}
        assert len(pod.metadata.annotations[IDENTITY_ANNOTATION].split(",")) == 2
        assert {p.spec.uid for p in world.runtime.processes.values()} == {pod.metadata.uid}

    play(scene)


def test_a_container_starts_once_those_that_it_depends_on_are_ready() -> None:
    async def scene(world: World) -> None:
        world.profiles["side"] = Profile(distribution("2"), distribution("0"))
        deploy(world, WEB, replace(SIDE, startup_probe=LISTENING), order='{"web": ["side"]}')
        await world.until(lambda: world.runtime.processes)
        assert [p.spec.container for p in world.runtime.processes.values()] == ["side"]
        assert world.pods()[0].status.phase == "Pending"
        began = world.seconds()
        await world.until_ready("hello")
        assert 2 <= world.seconds() - began < 5

    play(scene)


def test_a_sidecar_that_ends_is_restarted_alone_and_the_instance_gets_nothing_meanwhile() -> None:
    async def scene(world: World) -> None:
        deploy(world, WEB, SIDE)
        await world.until_ready("hello")
        web, side = sorted(world.runtime.processes.values(), key=lambda p: p.spec.container, reverse=True)
        assert world.ctx.paths.ready_count("default/hello-00001") == 1
        world.profiles["side"] = CRASHING
        side.exit(7)
        await world.until(lambda: statuses(world)["side"].restart_count > 1)
        assert world.ctx.paths.ready_count("default/hello-00001") == 0
        assert statuses(world)["web"].restart_count == 0
        assert not web.ended.done()
        terminated = statuses(world)["side"].last_state.terminated
        assert terminated.reason == "ExitCode1"

    play(scene)


def test_a_container_that_is_given_up_ends_the_whole_instance_and_fails_the_revision() -> None:
    async def scene(world: World) -> None:
        world.profiles["side"] = DEAF
        deploy(world, WEB, replace(SIDE, readiness_probe=LISTENING))
        await world.until(lambda: world.pods() and world.pods()[0].status.phase == "Failed")
        assert world.pods()[0].status.reason == "ProgressDeadlineExceeded"
        assert all(not p.ended.done() for p in world.runtime.processes.values())
        await world.until(lambda: world.verdict("hello") == "False")

    play(scene)


def test_all_containers_end_with_the_instance() -> None:
    async def scene(world: World) -> None:
        deploy(world, WEB, SIDE)
        await world.until_ready("hello")
        await world.until(lambda: not world.pods())
        assert not world.runtime.processes
        assert world.verdict("hello") == "True"

    play(scene)


def test_a_pod_that_runs_once_is_over_when_all_its_containers_are_and_says_how_each_ended() -> None:
    async def scene(world: World) -> None:
        world.profiles["web"] = Profile(distribution("1"), distribution("1"))
        world.profiles["side"] = Profile(distribution("1"), distribution("4"), request_failure=1.0)
        spec = PodSpec(containers=[replace(WEB, ports=[]), SIDE], restart_policy="Never")
        world.store.create(Pod(metadata=ObjectMeta(name="p", namespace=NS), spec=spec))
        await world.until(lambda: world.pods()[0].status.phase == "Running")
        await world.until(lambda: statuses(world)["web"].state.terminated)
        assert world.pods()[0].status.phase == "Running"
        await world.until(lambda: world.pods()[0].status.phase == "Failed")
        ended = {name: status.state.terminated for name, status in statuses(world).items()}
        assert {name: (end.reason, end.exit_code) for name, end in ended.items() if end} == {
            "web": ("Completed", 0),
            "side": ("ExitCode1", 1),
        }
        assert ended["web"].finished_at < ended["side"].finished_at

    play(scene)


def test_a_sidecar_says_in_its_variable_port_where_it_listens_and_all_are_told() -> None:
    env = [EnvVar(name="PORT", value="9000")]
    probe = Probe(tcp_socket=TCPSocketAction(port=9000))
    side = replace(SIDE, env=env, readiness_probe=probe)
    other = replace(SIDE, name="other", env=[EnvVar(name="PORT", value="$(X)")])
    pod = Pod(spec=PodSpec(containers=[side, WEB, other]))
    specs = [make_instance_spec(pod, container, 0) for container in pod.spec.containers]
    assert [(spec.port, spec.sidecar, spec.sidecar_ports) for spec in specs] == [
        (9000, True, (9000,)),
        (8080, False, (9000,)),
        (0, True, (9000,)),
    ]
    assert specs[0].readiness is not None
    assert specs[0].readiness.port == 0  # its own, wherever that is


@pytest.mark.parametrize(
    ("phases", "phase"),
    [
        ({"Running", "Pending"}, "Pending"),
        ({"Running", "Failed"}, "Running"),
        ({"Succeeded", "Failed"}, "Failed"),
        ({"Succeeded"}, "Succeeded"),
    ],
)
def test_the_phase_of_a_pod_is_that_of_all_its_containers(phases: set[str], phase: str) -> None:
    assert pod_phase(phases) == phase


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "is not JSON of the form"),
        ('{"web": "side"}', "is not JSON of the form"),
        ('{"web": ["nobody"]}', "there is no container nobody"),
        ('{"web": ["side"], "side": ["web"]}', "wait for each other"),
    ],
)
def test_an_order_that_can_not_be_kept_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_dependencies({CONTAINER_DEPENDENCIES: text}, ["web", "side"])
