"""Jobs in virtual time: tasks, retries, timeouts, cancellation, and a platform that dies in the middle."""

from collections import Counter

import pytest
from controlworld import NS, World, new_world, play, running
from hypothesis import given
from hypothesis import strategies as st

from minirun.control.job import (
    CANCELLED,
    FAILED,
    MOVES,
    PENDING,
    RUNNING,
    SUCCEEDED,
    execution_state,
    make_execution,
    next_indexes,
    task_state,
)
from minirun.control.pods import container_status
from minirun.model.conditions import find
from minirun.model.defaults import set_defaults
from minirun.model.labels import CANCELLED_ANNOTATION, EXECUTION, RUNNING_STATE
from minirun.model.meta import ObjectMeta, with_meta
from minirun.model.resources import (
    Container,
    Execution,
    ExecutionSpec,
    ExecutionTemplate,
    Job,
    JobSpec,
    Pod,
    Task,
    TaskSpec,
    TaskStatus,
    TaskTemplate,
)
from minirun.model.settings import DefaultsSettings
from minirun.runtime.base import InstanceState, Stage
from minirun.runtime.virtual import Profile, distribution
from minirun.simulation.loop import VirtualClock, run_virtual

WORKING = Profile(distribution("1"), distribution("4"))
FAILING = Profile(distribution("1"), distribution("4"), request_failure=1.0)
ENDLESS = Profile(distribution("1"), distribution("100000"), stop_seconds=2)


def declare(world: World, name: str = "j", image: str = "work", token: str = "", **counts: int) -> Job:
    """Makes a Job, as the API would."""
    task = TaskSpec(
        containers=[Container(image=image)],
        max_retries=counts.get("max_retries"),
        timeout_seconds=counts.get("timeout_seconds"),
    )
    spec = ExecutionSpec(
        task_count=counts.get("task_count"),
        parallelism=counts.get("parallelism"),
        template=TaskTemplate(spec=task),
    )
    job = Job(
        metadata=ObjectMeta(name=name, namespace=NS),
        spec=JobSpec(template=ExecutionTemplate(spec=spec), run_execution_token=token),
    )
    world.profiles.update(work=WORKING, failing=FAILING, endless=ENDLESS)
    return world.store.create(set_defaults(job, None, DefaultsSettings(), "tester"))


def run(world: World, image: str = "work", **counts: int) -> Execution:
    """Makes a Job and an Execution of it."""
    job = declare(world, image=image, **counts)
    return world.store.create(make_execution(job, "abcde", "tester", job.spec.template.spec))


def seen(world: World, name: str = "j-abcde") -> Execution:
    return world.store.get(Execution, NS, name)


def tasks(world: World) -> list[Task]:
    return sorted(world.store.select(Task, NS), key=lambda task: task.status.index)


async def until_completed(world: World) -> Execution:
    await world.until(lambda: seen(world).status.completion_time, seconds=1_000_000)
    return seen(world)


def conditions(resource: Execution | Task | Job) -> dict[str, tuple[str, str, str]]:
    return {c.type: (c.status, c.reason, c.message) for c in resource.status.conditions}


def cancel(world: World) -> None:
    execution = seen(world)
    world.store.update(with_meta(execution, annotations={CANCELLED_ANNOTATION: "now"}))


def environment(world: World) -> list[dict[str, str]]:
    return [dict(process.spec.env) for process in world.runtime.processes.values()]


def test_tasks_run_side_by_side_as_many_as_allowed_and_the_execution_succeeds() -> None:
    async def scene(world: World) -> None:
        run(world, task_count=5, parallelism=2)
        await world.until(lambda: seen(world).status.running_count == 2)
        assert [task_state(task) for task in tasks(world)] == [RUNNING, RUNNING]
        assert conditions(seen(world))["Completed"][0] == "Unknown"
        done = await until_completed(world)
        assert done.status.succeeded_count == 5
        assert (done.status.running_count, done.status.failed_count, done.status.retried_count) == (0, 0, 0)
        assert world.seconds() == pytest.approx(15, abs=1)  # three rounds of five seconds
        assert {status for status, _, _ in conditions(done).values()} == {"True"}
        assert set(conditions(done)) == {"Completed", "ResourcesAvailable", "Started", "ContainerReady"}
        assert conditions(done)["Completed"][2] == "Execution completed successfully in 15s."
        assert done.status.start_time
        assert {task.status.last_attempt_result.exit_code for task in tasks(world)} == {0}  # type: ignore[union-attr]

    play(scene)


def test_a_task_knows_what_it_is_and_serves_nothing() -> None:
    async def scene(world: World) -> None:
        run(world, task_count=3, parallelism=1)
        await world.until(lambda: len(tasks(world)) == 2 and environment(world))
        (env,) = environment(world)
        assert env["CLOUD_RUN_JOB"] == "j"
        assert env["CLOUD_RUN_EXECUTION"] == "j-abcde"
        assert env["CLOUD_RUN_TASK_INDEX"] == "1"
        assert env["CLOUD_RUN_TASK_ATTEMPT"] == "0"
        assert env["CLOUD_RUN_TASK_COUNT"] == "3"
        (process,) = world.runtime.processes.values()
        assert process.spec.runs_once
        assert process.spec.readiness is None
        assert process.spec.image.startswith("work@sha256:")
        owner = world.store.get(Pod, NS, "j-abcde-task1-attempt0").metadata.owner_references[0]
        assert (owner.kind, owner.name) == ("Task", "j-abcde-task1")

    play(scene)


def test_a_task_that_fails_is_tried_again_and_then_the_execution_fails() -> None:
    async def scene(world: World) -> None:
        run(world, image="failing", max_retries=2)
        await world.until(lambda: tasks(world) and tasks(world)[0].status.retried == 1)
        await world.until(lambda: environment(world))
        assert environment(world)[0]["CLOUD_RUN_TASK_ATTEMPT"] == "1"
        done = await until_completed(world)
        assert world.seconds() == pytest.approx(15, abs=1)  # three attempts
        assert (done.status.failed_count, done.status.retried_count, done.status.succeeded_count) == (1, 1, 0)
        text = "Task j-abcde-task0 failed with message: The container exited with an error."
        assert conditions(done)["Completed"] == ("False", "NonZeroExitCode", text)
        assert conditions(done)["Started"][0] == "True"
        (task,) = tasks(world)
        assert task.metadata.labels[RUNNING_STATE] == FAILED
        assert task.status.last_attempt_result is not None
        assert task.status.last_attempt_result.exit_code == 1
        assert len(world.pods()) == 3

    play(scene)


@pytest.mark.parametrize(
    ("reason", "said", "shown"), [("", None, 0), ("ExitCode3", 3, 3), ("StartError", None, 128)]
)
def test_every_container_that_has_ended_has_an_exit_code(reason: str, said: int | None, shown: int) -> None:
    state = InstanceState(stage=Stage.GONE, reason=reason, exit_code=said)
    ended = container_status(Pod(), Container(name="c"), state, "2026-11-24T10:00:00Z").state.terminated
    assert ended is not None
    assert ended.exit_code == shown


def test_one_failed_task_does_not_keep_the_others_from_running() -> None:
    async def scene(world: World) -> None:
        run(world, image="failing", task_count=3, parallelism=1, max_retries=0)
        done = await until_completed(world)
        assert done.status.failed_count == 3

    play(scene)


def test_an_attempt_that_takes_too_long_is_ended_and_has_failed() -> None:
    async def scene(world: World) -> None:
        run(world, image="endless", timeout_seconds=60, max_retries=1)
        done = await until_completed(world)
        assert world.seconds() == pytest.approx(2 * 62, abs=1)  # two attempts, each with its grace
        status, reason, message = conditions(done)["Completed"]
        assert (status, reason) == ("False", "DeadlineExceeded")
        assert message.endswith("Terminating task because it has reached the maximum timeout of 60 seconds.")
        assert not world.runtime.processes

    play(scene)


def test_a_cancelled_execution_ends_its_tasks_and_makes_no_more() -> None:
    async def scene(world: World) -> None:
        run(world, image="endless", task_count=5, parallelism=2)
        await world.until(lambda: seen(world).status.running_count == 2)
        cancel(world)
        done = await until_completed(world)
        assert conditions(done)["Completed"][:2] == ("False", "Cancelled")
        assert done.status.cancelled_count == 2
        await world.until(lambda: not world.runtime.processes)
        await world.settle()
        assert [task_state(task) for task in tasks(world)] == [CANCELLED, CANCELLED]
        assert world.store.get(Job, NS, "j").status.latest_created_execution is not None

    play(scene)


def test_what_completed_before_it_was_cancelled_stays_so() -> None:
    async def scene(world: World) -> None:
        run(world)
        done = await until_completed(world)
        cancel(world)
        await world.settle()
        assert seen(world).status == done.status

    play(scene)


def test_an_attempt_that_the_platform_broke_off_begins_anew_and_uses_up_no_retry() -> None:
    async def scene(clock: VirtualClock) -> None:
        world = new_world(clock)
        async with running(world):
            run(world, task_count=3, parallelism=1, max_retries=0)
            await world.until(lambda: seen(world).status.succeeded_count == 1 and environment(world))
            world.crash()
        world.build()
        async with running(world):
            done = await until_completed(world)
            assert done.status.succeeded_count == 3
            assert done.status.retried_count == 0
            assert world.runtime.started == 2  # the first task's success is remembered

    run_virtual(scene)


def test_a_pod_that_somebody_deletes_is_replaced() -> None:
    async def scene(world: World) -> None:
        run(world, max_retries=0)
        await world.until(lambda: environment(world))
        (pod,) = world.pods()
        world.store.delete(Pod, *pod.key)
        done = await until_completed(world)
        assert done.status.succeeded_count == 1
        assert world.runtime.started == 2

    play(scene)


def test_a_missing_image_fails_the_job_and_its_executions_until_it_is_there() -> None:
    async def scene(world: World) -> None:
        job = declare(world, image="missing")
        await world.settle()
        status, reason, message = conditions(world.store.get(Job, NS, "j"))["Ready"]
        assert (status, reason) == ("False", "ContainerMissing")
        assert "Image 'missing' not found" in message
        world.store.create(make_execution(job, "abcde", "", job.spec.template.spec))
        done = await until_completed(world)
        assert {status for status, _, _ in conditions(done).values()} == {"False"}
        world.missing.clear()
        await world.until(lambda: conditions(world.store.get(Job, NS, "j"))["Ready"][0] == "True")

    play(scene)


def test_a_job_tells_of_its_latest_execution() -> None:
    async def scene(world: World) -> None:
        run(world)
        await until_completed(world)
        await world.settle()
        status = world.store.get(Job, NS, "j").status
        latest = status.latest_created_execution
        assert latest is not None
        assert (status.execution_count, latest.name) == (1, "j-abcde")
        assert latest.completion_status == "EXECUTION_SUCCEEDED"
        assert latest.completion_timestamp == seen(world).status.completion_time

    play(scene)


def test_a_token_in_the_spec_makes_an_execution_and_readiness_waits_for_it() -> None:
    async def scene(world: World) -> None:
        declare(world, token="first")
        await world.until(lambda: world.store.find(Execution, NS, "j-first"))
        assert conditions(world.store.get(Job, NS, "j"))["Ready"][0] == "Unknown"
        await world.until(lambda: conditions(world.store.get(Job, NS, "j"))["Ready"][0] == "True")
        assert seen(world, "j-first").status.succeeded_count == 1
        assert len(world.store.select(Execution, NS)) == 1
        world.store.delete(Execution, NS, "j-first")
        await world.settle()
        assert not world.store.select(Execution, NS)  # it is made once, however often one looks

    play(scene)


def test_deleting_a_job_deletes_all_that_came_of_it_and_ends_what_runs() -> None:
    async def scene(world: World) -> None:
        run(world, image="endless", task_count=2)
        await world.until(lambda: len(environment(world)) == 2)
        world.store.delete(Job, NS, "j")
        await world.until(lambda: not world.pods() and not tasks(world))
        assert not world.store.select(Execution, NS)
        assert not world.runtime.processes

    play(scene)


def task_in(state: str, index: int) -> Task:
    meta = ObjectMeta(name=f"t{index}", labels={RUNNING_STATE: state, EXECUTION: "e"})
    return Task(metadata=meta, status=TaskStatus(index=index))


@given(
    count=st.integers(1, 300),
    parallelism=st.integers(0, 300),
    states=st.lists(st.sampled_from(sorted(MOVES))),
    gap=st.integers(-1, 5),
)
def test_never_more_tasks_than_allowed_and_each_index_once(
    count: int, parallelism: int, states: list[str], gap: int
) -> None:
    there = [task_in(state, index) for index, state in enumerate(states[:count]) if index != gap]
    new = next_indexes(ExecutionSpec(task_count=count, parallelism=parallelism), there)
    active = sum(bool(MOVES[task_state(task)]) for task in there)
    assert new == sorted(set(new))
    assert not set(new) & {task.status.index for task in there}
    assert all(0 <= index < count for index in new)
    assert not new or active + len(new) <= (parallelism or count)
    assert new or active or len(there) == count  # it never comes to a standstill


@given(counts=st.dictionaries(st.sampled_from(sorted(MOVES)), st.integers(0, 5)), cancelled=st.booleans())
def test_an_execution_ends_exactly_when_nothing_is_left_to_do(
    counts: dict[str, int], cancelled: bool
) -> None:
    wanted = max(1, sum(counts.values()))
    notes = {CANCELLED_ANNOTATION: "now"} if cancelled else {}
    execution = Execution(metadata=ObjectMeta(annotations=notes), spec=ExecutionSpec(task_count=wanted))
    state = execution_state(execution, Counter(counts), began=True)
    unfinished = counts.get(PENDING, 0) + counts.get(RUNNING, 0) or not sum(counts.values())
    assert (state == RUNNING) == bool(unfinished and not (cancelled and not sum(counts.values())))
    assert state != SUCCEEDED or counts.get(SUCCEEDED) == wanted


def test_conditions_keep_their_time_while_their_status_stays() -> None:
    async def scene(world: World) -> None:
        run(world, task_count=2, parallelism=1)
        await world.until(lambda: seen(world).status.running_count == 1)
        before = find(seen(world).status.conditions, "Started")
        done = await until_completed(world)
        assert find(done.status.conditions, "Started") == before

    play(scene)
