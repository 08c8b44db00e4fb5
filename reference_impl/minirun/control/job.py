"""Job → Execution → Task → Pod: work that ends, its retries, and what is told of it.

An Execution makes its tasks in the order of their indexes, at most `parallelism` of them at a time, and all
of them whatever becomes of the first. A Task makes a Pod for each attempt until one succeeds, or until
`maxRetries` more have failed than the first. An attempt that the platform itself broke off (it was stopped
or killed, or somebody deleted the Pod) says nothing about the app: it begins anew under the same number and
uses up no retry. Nothing is remembered but the objects, so a restart goes on where they are.
Counterparts: Cloud Run jobs; Kubernetes' indexed Job with a back-off limit per index.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from minirun.control.children import child_meta, set_condition
from minirun.control.context import Context
from minirun.control.deployment import DRAIN_FINALIZER, has_ended
from minirun.control.images import IMAGE_RETRY_SECONDS, MissingImageError, pin_images
from minirun.model.conditions import FALSE, READY, TRUE, UNKNOWN, find, status_of
from minirun.model.labels import (
    CANCELLED_ANNOTATION,
    EXECUTION,
    JOB,
    RUN_CREATOR,
    RUNNING_STATE,
    TASK_ATTEMPT,
    TASK_INDEX,
)
from minirun.model.meta import Condition, replace, unix_seconds, with_meta
from minirun.model.names import child_name
from minirun.model.resources import (
    AttemptStatus,
    Container,
    ContainerStatus,
    EnvVar,
    Execution,
    ExecutionReference,
    ExecutionSpec,
    Job,
    JobStatus,
    Pod,
    PodSpec,
    PodStatus,
    Task,
    TaskAttemptResult,
    TaskSpec,
    TaskStatus,
)
from minirun.store.store import edit

PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLED = "Pending", "Running", "Succeeded", "Failed", "Cancelled"
MAX_PARALLELISM: Final = 100  # of an Execution that sets none; Cloud Run's is the project's quota
BATCH: Final = 100  # tasks made in one turn: nobody waits for ten thousand

MOVES: Final[Mapping[str, Mapping[str, str]]] = {
    PENDING: {
        "start": RUNNING,
        "succeed": SUCCEEDED,
        "fail": FAILED,
        "retry": PENDING,
        "cancel": CANCELLED,
    },
    RUNNING: {"succeed": SUCCEEDED, "fail": FAILED, "retry": PENDING, "cancel": CANCELLED},
    SUCCEEDED: {},
    FAILED: {},
    CANCELLED: {},
}
"""A Task's state and what is seen of its latest attempt give the next state."""

COMPLETED, RESOURCES, STARTED, CONTAINER = "Completed", "ResourcesAvailable", "Started", "ContainerReady"
CONDITIONS: Final[Mapping[str, Mapping[str, str]]] = {
    PENDING: {COMPLETED: UNKNOWN, RESOURCES: UNKNOWN, STARTED: UNKNOWN, CONTAINER: TRUE},
    RUNNING: {COMPLETED: UNKNOWN, RESOURCES: TRUE, STARTED: TRUE, CONTAINER: TRUE},
    SUCCEEDED: {COMPLETED: TRUE, RESOURCES: TRUE, STARTED: TRUE, CONTAINER: TRUE},
    FAILED: {COMPLETED: FALSE, RESOURCES: TRUE, STARTED: TRUE, CONTAINER: TRUE},
    CANCELLED: {COMPLETED: FALSE, RESOURCES: TRUE, STARTED: TRUE, CONTAINER: TRUE},
}
"""The conditions of a Task and of an Execution in each state, once it has begun."""
TEXTS: Final[Mapping[str, str]] = {
    RESOURCES: "Provisioned imported containers.",
    STARTED: "Started deployed execution.",
    CONTAINER: "Imported container image.",
}
"""What Cloud Run says of them when they are True."""
MISSING: Final = "ContainerMissing"

ATTEMPT_CODES: Final[Mapping[str, int]] = {"DeadlineExceeded": 4, "OOMKilled": 8}
"""google.rpc.Code of a failed attempt by the reason of its Pod; else it is ABORTED."""
ABORTED: Final = 10
EXITED: Final = "The container exited with an error."


class Verdict(NamedTuple):
    """Why something is not well: a word for machines and a sentence for people."""

    reason: str = ""
    message: str = ""


CANCELLED_VERDICT: Final = Verdict("Cancelled", "The execution was cancelled.")


def next_conditions(
    conditions: Sequence[Condition], state: str, verdict: Verdict, began: bool, done: str, now: str
) -> list[Condition]:
    """The conditions of a Task or an Execution.

    Args:
        verdict: why it failed or was cancelled.
        began: whether a container of it ever ran; if none did, what never became True ends as False.
        done: what `Completed` says of success.
        now: the time, for conditions whose status changes (RFC 3339).
    """
    never_began, texts = not MOVES[state] and not began, {**TEXTS, COMPLETED: done}
    for type_, status in CONDITIONS[state].items():
        imported = type_ == CONTAINER and verdict.reason != MISSING
        failed = status == FALSE or (never_began and not imported)
        said = verdict if failed else Verdict(message=texts[type_] if status == TRUE else "")
        seen = Condition(type_, FALSE if failed else status, "", "", *said)
        conditions = set_condition(conditions, now, seen)
    return list(conditions)


# --- Job -----------------------------------------------------------------------------------------------


def make_execution(job: Job, suffix: str, creator: str, spec: ExecutionSpec) -> Execution:
    """The Execution `JOB-SUFFIX` of a Job; `spec` is the Job's own, or what somebody changed of it."""
    template, name = job.spec.template.metadata, job.metadata.name
    labels = {
        JOB: name,
        "run.googleapis.com/jobUid": job.metadata.uid,
        "run.googleapis.com/jobGeneration": str(job.metadata.generation),
    }
    annotations = template.annotations | ({RUN_CREATOR: creator} if creator else {})
    meta = child_meta(job, template.labels | labels, annotations, f"{name}-{suffix}")
    return Execution(metadata=meta, spec=spec)


def refer_to(execution: Execution) -> ExecutionReference:
    """An Execution as its Job's status tells of it."""
    return ExecutionReference(
        name=execution.metadata.name,
        creation_timestamp=execution.metadata.creation_timestamp,
        completion_timestamp=execution.status.completion_time,
        completion_status=f"EXECUTION_{state_of(execution).upper()}",
    )


def state_of(execution: Execution) -> str:
    """What an Execution's conditions say of it."""
    conditions = execution.status.conditions
    completed = find(conditions, COMPLETED)
    if completed is None or completed.status == UNKNOWN:
        return RUNNING if status_of(conditions, STARTED) == TRUE else PENDING
    if completed.status == TRUE:
        return SUCCEEDED
    return CANCELLED if completed.reason == CANCELLED else FAILED


def readiness(job: Job, images: list[ContainerStatus] | str, asked_for: Execution | None) -> Condition:
    """A Job is Ready when it can run, and when the Execution that its spec asks for has come so far."""
    if isinstance(images, str):
        return Condition(READY, FALSE, reason=MISSING, message=images)
    if asked_for is None:
        return Condition(READY, TRUE)
    awaited = COMPLETED if job.spec.run_execution_token else STARTED
    seen = find(asked_for.status.conditions, awaited) or Condition(awaited, UNKNOWN)
    return replace(seen, type=READY)


def reconcile_job(ctx: Context, namespace: str, name: str) -> float | None:
    """Makes the Execution that a Job's spec asks for, once, if it does, and tells of the latest one."""
    job = ctx.living(Job, namespace, name)
    if job is None:
        return None
    spec, creator = job.spec.template.spec, job.metadata.annotations.get(RUN_CREATOR, "")
    images = find_images(ctx, spec.template.spec.containers)
    asked_for, token = None, job.spec.run_execution_token or job.spec.start_execution_token
    if token:
        wanted = make_execution(job, token, creator, spec)
        asked_for = ctx.store.find(Execution, *wanted.key)
        if asked_for is None and job.status.observed_generation < job.metadata.generation:
            asked_for = ctx.store.create(wanted)
    executions = list(ctx.store.dependents(job.metadata.uid, Execution))
    executions.sort(key=lambda execution: execution.metadata.creation_timestamp)
    ready = readiness(job, images, asked_for)
    conditions = set_condition(job.status.conditions, ctx.now(), ready)
    status = JobStatus(
        observed_generation=job.metadata.generation,
        conditions=set_condition(conditions, ctx.now(), replace(ready, type=RESOURCES)),
        execution_count=len(executions),
        latest_created_execution=refer_to(executions[-1]) if executions else None,
    )
    edit(ctx.store, job, status=status)
    return IMAGE_RETRY_SECONDS if isinstance(images, str) else None


def find_images(
    ctx: Context, containers: Iterable[Container], pinned: Iterable[ContainerStatus] = ()
) -> list[ContainerStatus] | str:
    """The digest of each container's image, or the sentence that says why there is none."""
    try:
        return pin_images(ctx.images, containers, pinned)[0]
    except MissingImageError as error:
        return f"Image '{error.image}' not found: {error}"


# --- Execution -----------------------------------------------------------------------------------------


def task_state(task: Task) -> str:
    """A Task's state, as its label says it."""
    return task.metadata.labels.get(RUNNING_STATE, PENDING)


def next_indexes(spec: ExecutionSpec, tasks: Iterable[Task]) -> list[int]:
    """Which tasks to make now, when `tasks` are there."""
    tasks = list(tasks)
    count = spec.task_count or 1
    active = sum(1 for task in tasks if MOVES[task_state(task)])
    room = min(spec.parallelism or MAX_PARALLELISM, count) - active
    there = {task.status.index for task in tasks}
    missing = (index for index in range(count) if index not in there)
    return [index for index, _ in zip(missing, range(min(room, BATCH)), strict=False)]


def make_task(execution: Execution, index: int, images: Iterable[ContainerStatus]) -> Task:
    """Task number `index` of an Execution, with pinned images."""
    meta, spec = execution.metadata, execution.spec.template.spec
    digests = {status.name: status.image_digest for status in images}
    containers = [replace(c, image=digests.get(c.name, c.image)) for c in spec.containers]
    labels = {EXECUTION: meta.name, TASK_INDEX: str(index), RUNNING_STATE: PENDING}
    annotations = {k: v for k, v in meta.annotations.items() if k != CANCELLED_ANNOTATION}
    name = child_name(meta.name, f"-task{index}")
    return Task(
        metadata=child_meta(execution, meta.labels | labels, annotations, name),
        spec=replace(spec, containers=containers),
        status=TaskStatus(index=index),
    )


def execution_state(execution: Execution, counts: Mapping[str, int], began: bool) -> str:
    """What follows for an Execution from how many of its tasks are in each state."""
    wanted, ended = execution.spec.task_count or 1, sum(counts[state] for state in MOVES if not MOVES[state])
    cancelled = CANCELLED_ANNOTATION in execution.metadata.annotations
    if ended < sum(counts.values()) or (ended < wanted and not cancelled):
        return RUNNING if began else PENDING
    if counts[CANCELLED] or ended < wanted:
        return CANCELLED
    return FAILED if counts[FAILED] else SUCCEEDED


def verdict_of(state: str, tasks: Iterable[Task]) -> Verdict:
    """Why an Execution did not succeed: it was cancelled, or the first task that failed."""
    if state == CANCELLED:
        return CANCELLED_VERDICT
    failed = min((t for t in tasks if task_state(t) == FAILED), key=lambda t: t.status.index, default=None)
    why = find(failed.status.conditions, COMPLETED) if failed else None
    if failed is None or why is None:
        return Verdict()
    return Verdict(why.reason, f"Task {failed.metadata.name} failed with message: {why.message}")


def observe_execution(execution: Execution, tasks: list[Task], missing: str, now: str) -> Execution:
    """The Execution after a look at its tasks; `missing` says which image there is not."""
    status, meta = execution.status, execution.metadata
    counts = Counter(map(task_state, tasks))
    starts = [task.status.start_time for task in tasks if task.status.start_time]
    start = status.start_time or min(starts, default="")
    state = execution_state(execution, counts, bool(start))
    verdict = verdict_of(state, tasks)
    if missing:
        state, verdict = FAILED, Verdict(MISSING, missing)
    seconds = unix_seconds(now) - unix_seconds(meta.creation_timestamp)
    done = f"Execution completed successfully in {seconds}s."
    status = replace(
        status,
        observed_generation=meta.generation,
        conditions=next_conditions(status.conditions, state, verdict, bool(start), done, now),
        start_time=start,
        completion_time="" if MOVES[state] else now,
        running_count=counts[RUNNING],
        succeeded_count=counts[SUCCEEDED],
        failed_count=counts[FAILED],
        cancelled_count=counts[CANCELLED],
        retried_count=sum(1 for task in tasks if task.status.retried),
        log_uri=f"/apis/minirun.dev/v1/namespaces/{meta.namespace}/logentries?labelSelector={EXECUTION}={meta.name}",
    )
    return replace(execution, status=status)


def reconcile_execution(ctx: Context, namespace: str, name: str) -> float | None:
    """Makes as many tasks as may run, and counts them; what has completed stays as it is."""
    execution = ctx.living(Execution, namespace, name)
    if execution is None or execution.status.completion_time:
        return None
    containers = execution.spec.template.spec.containers
    images = find_images(ctx, containers, execution.status.container_statuses)
    uid = execution.metadata.uid
    if not isinstance(images, str):
        execution = replace(execution, status=replace(execution.status, container_statuses=images))
        if CANCELLED_ANNOTATION not in execution.metadata.annotations:
            for index in next_indexes(execution.spec, ctx.store.dependents(uid, Task)):
                ctx.store.create(make_task(execution, index, images))
    tasks = list(ctx.store.dependents(uid, Task))
    missing = images if isinstance(images, str) else ""
    ctx.store.update(observe_execution(execution, tasks, missing, ctx.now()))
    return None


# --- Task ----------------------------------------------------------------------------------------------


def attempt_env(task: Task, execution: Execution) -> list[EnvVar]:
    """What Cloud Run's container contract promises to a task (run/docs/container-contract, "Jobs")."""
    values = {
        "CLOUD_RUN_JOB": task.metadata.labels.get(JOB, ""),
        "CLOUD_RUN_EXECUTION": execution.metadata.name,
        "CLOUD_RUN_TASK_INDEX": str(task.status.index),
        "CLOUD_RUN_TASK_ATTEMPT": str(task.status.retried),
        "CLOUD_RUN_TASK_COUNT": str(execution.spec.task_count or 1),
    }
    return [EnvVar(name=name, value=value) for name, value in values.items()]


def timeout_seconds(spec: TaskSpec) -> int | None:
    """How long an attempt may take."""
    return int(spec.timeout_seconds) if spec.timeout_seconds else None


def attempt_name(task: Task) -> str:
    """The Pod of a Task's present attempt."""
    return child_name(task.metadata.name, f"-attempt{task.status.retried}")


def make_attempt(task: Task, execution: Execution) -> Pod:
    """The Pod of a Task's present attempt."""
    meta, spec = task.metadata, task.spec
    env = attempt_env(task, execution)
    labels = {key: value for key, value in meta.labels.items() if key != RUNNING_STATE}
    labels[TASK_ATTEMPT] = str(task.status.retried)
    made = child_meta(task, labels, meta.annotations, attempt_name(task))
    return Pod(
        metadata=replace(made, finalizers=[DRAIN_FINALIZER]),
        spec=PodSpec(
            containers=[replace(container, env=[*container.env, *env]) for container in spec.containers],
            volumes=spec.volumes,
            service_account_name=spec.service_account_name,
            restart_policy="Never",
            active_deadline_seconds=timeout_seconds(spec),
        ),
        status=PodStatus(phase="Pending"),
    )


def seen_of(task: Task, pod: Pod | None, cancelled: bool) -> str:
    """The event that a Task's present attempt is, of those in `MOVES`; empty for none."""
    if pod is not None and has_ended(pod) and not pod.metadata.deletion_timestamp:
        if pod.status.phase == "Succeeded":
            return "succeed"
        return "retry" if task.status.retried < (task.spec.max_retries or 0) and not cancelled else "fail"
    if cancelled:
        return "cancel"
    return "start" if pod is not None and pod.status.phase == "Running" else ""


def attempt_result(pod: Pod, timeout: int | None) -> tuple[TaskAttemptResult, Verdict]:
    """How an attempt ended, in Cloud Run's words."""
    terminated = [c.state.terminated for c in pod.status.container_statuses if c.state.terminated]
    exit_code = next((each.exit_code for each in terminated if each.exit_code), None)
    if pod.status.phase == "Succeeded":
        return TaskAttemptResult(exit_code=0, status=AttemptStatus()), Verdict()
    reason, message = pod.status.reason, pod.status.message
    if reason.startswith("ExitCode"):
        reason, message = "NonZeroExitCode", EXITED
    elif reason == "DeadlineExceeded":
        message = f"Terminating task because it has reached the maximum timeout of {timeout} seconds."
    status = AttemptStatus(code=ATTEMPT_CODES.get(reason, ABORTED), message=message)
    return TaskAttemptResult(exit_code=exit_code, status=status), Verdict(reason, message)


def observe_task(task: Task, pod: Pod | None, cancelled: bool, now: str) -> Task:
    """The Task after a look at its present attempt."""
    event, status = seen_of(task, pod, cancelled), task.status
    state = MOVES[task_state(task)].get(event, task_state(task))
    verdict = CANCELLED_VERDICT if event == "cancel" else Verdict()
    if pod is not None and pod.status.start_time:
        status = replace(status, start_time=status.start_time or pod.status.start_time)
    if pod is not None and event in ("succeed", "fail", "retry"):
        result, verdict = attempt_result(pod, timeout_seconds(task.spec))
        status = replace(status, last_attempt_result=result)
    began, done = bool(status.start_time), "Task completed successfully."
    status = replace(
        status,
        observed_generation=task.metadata.generation,
        conditions=next_conditions(status.conditions, state, verdict, began, done, now),
        retried=status.retried + (event == "retry"),
        completion_time="" if MOVES[state] else now,
    )
    return replace(with_meta(task, labels=task.metadata.labels | {RUNNING_STATE: state}), status=status)


def reconcile_task(ctx: Context, namespace: str, name: str) -> float | None:
    """Starts a Task's attempt when there is none, and draws the conclusions from how it ends."""
    task = ctx.living(Task, namespace, name)
    if task is None or not MOVES[task_state(task)]:
        return None
    execution = ctx.living(Execution, namespace, task.metadata.labels.get(EXECUTION, ""))
    if execution is None:
        return None
    cancelled = CANCELLED_ANNOTATION in execution.metadata.annotations
    pod = ctx.store.find(Pod, namespace, attempt_name(task))
    task = ctx.store.update(observe_task(task, pod, cancelled, ctx.now()))
    if MOVES[task_state(task)]:
        if ctx.store.find(Pod, namespace, attempt_name(task)) is None:
            ctx.store.create(make_attempt(task, execution))
    elif pod is not None and not has_ended(pod):
        ctx.store.delete(Pod, *pod.key, uid=pod.metadata.uid)
    return None
