"""What is done with Jobs beside storing them: `POST .../jobs/NAME:run` and `POST .../executions/NAME:cancel`.

A run is an Execution with the Job's spec, changed for this once by the request's `overrides`; a cancellation
is a mark on the Execution that its reconciler heeds. Counterparts: run.googleapis.com/v1
namespaces.jobs.run and namespaces.executions.cancel.
"""

import random
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from minirun.api.admission import refusal
from minirun.api.bodies import convert
from minirun.api.status import StatusError
from minirun.control.job import make_execution
from minirun.model.labels import CANCELLED_ANNOTATION
from minirun.model.meta import Part, Resource, replace, with_meta
from minirun.model.names import random_suffix
from minirun.model.resources import Container, EnvVar, Execution, ExecutionSpec, Job
from minirun.model.validation import Rules, validate
from minirun.store.store import Store


class ContainerOverride(Part, frozen=True):
    """What is different in one container; an empty name means the only one."""

    name: str = ""
    args: list[str] = []
    clear_args: bool = False
    env: list[EnvVar] = []


class Overrides(Part, frozen=True):
    container_overrides: list[ContainerOverride] = []
    task_count: int | None = None
    timeout_seconds: str | int | None = None


class RunJobRequest(Part, frozen=True):
    overrides: Overrides = Overrides()


class Call(NamedTuple):
    """Who calls, and with what; `now` is the time (RFC 3339)."""

    store: Store
    rng: random.Random
    caller: str
    now: str
    document: Mapping[str, object]
    dry_run: bool = False


def override_container(container: Container, wanted: ContainerOverride) -> Container:
    """The container with other arguments, and with variables added or changed."""
    changed = {variable.name for variable in wanted.env}
    env = [variable for variable in container.env if variable.name not in changed] + wanted.env
    args = wanted.args if wanted.args or wanted.clear_args else container.args
    return replace(container, args=args, env=env)


def override(spec: ExecutionSpec, wanted: Overrides) -> ExecutionSpec:
    """The spec of one run.

    Raises:
        StatusError (400): an override is of a container that is not there.
    """
    task = spec.template.spec
    containers = {container.name: container for container in task.containers}
    for each in wanted.container_overrides:
        name = each.name or next(iter(containers), "")
        if name not in containers or (len(containers) > 1 and not each.name):
            known = ", ".join(containers)
            raise StatusError(400, f"There is no container '{each.name}' to override; there are: {known}.")
        containers[name] = override_container(containers[name], each)
    timeout = task.timeout_seconds if wanted.timeout_seconds is None else str(wanted.timeout_seconds)
    task = replace(task, containers=list(containers.values()), timeout_seconds=timeout)
    count = spec.task_count if wanted.task_count is None else wanted.task_count
    return replace(spec, task_count=count, template=replace(spec.template, spec=task))


def run(call: Call, job: Resource) -> Resource:
    """Makes an Execution. Raises StatusError (400): the overrides can't be."""
    assert isinstance(job, Job)
    spec = override(job.spec.template.spec, convert(call.document, RunJobRequest).overrides)
    changed = replace(job, spec=replace(job.spec, template=replace(job.spec.template, spec=spec)))
    if errors := validate(changed, None, Rules()):
        raise refusal(errors)
    suffix = random_suffix(call.rng)
    execution = make_execution(job, suffix, call.caller, spec)
    return call.store.create(execution, dry_run=call.dry_run)


def cancel(call: Call, execution: Resource) -> Resource:
    """Marks an Execution; one that has completed stays as it is."""
    assert isinstance(execution, Execution)
    notes = execution.metadata.annotations
    if execution.status.completion_time or CANCELLED_ANNOTATION in notes:
        return execution
    marked = with_meta(execution, annotations=notes | {CANCELLED_ANNOTATION: call.now})
    return call.store.update(marked, dry_run=call.dry_run)


ACTIONS: Final[Mapping[tuple[type[Resource], str], Callable[[Call, Resource], Resource]]] = {
    (Job, "run"): run,
    (Execution, "cancel"): cancel,
}
"""What `POST .../NAME:ACTION` does, by kind and action."""
