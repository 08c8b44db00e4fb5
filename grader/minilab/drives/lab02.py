"""Lab 02: Services and Revisions. The work queue on virtual time, and what reconcilers decide."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast  # Any: cases are JSON of many shapes

import msgspec

from minirun.control import configuration as deploying
from minirun.control import service as serving
from minirun.control.children import Key
from minirun.control.context import Context, log
from minirun.control.queue import WorkQueue
from minirun.model.clock import SECOND_NS, Clock
from minirun.model.conditions import READY, mark
from minirun.model.meta import Resource, replace
from minirun.model.resources import Configuration, Revision, Route, Service
from minirun.simulation.loop import run_virtual
from minirun.store.errors import ConflictError

R = TypeVar("R", bound=Resource)

NOW = "2026-01-01T00:00:00Z"
FAILED = ("False", "HealthCheckFailed", "Container failed with: no database.")
VERDICTS = {"ready": ("True", "", ""), "failed": FAILED, "starting": ("Unknown", "Deploying", "")}
"""What a revision of a history says of itself."""


class Scripted:
    """A reconciler that does what a case says and notes when it was called.

    script: by name, what each call does: None; a number, seconds after which to come back; `conflict`;
    `error`; `again`: its object changes while it is worked on. After the last step it does nothing.
    """

    def __init__(self, clock: Clock, script: dict[str, list[Any]], urgent: list[str]) -> None:
        self._clock, self._script, self._urgent = clock, {k: list(v) for k, v in script.items()}, urgent
        self.calls: list[list[Any]] = []
        reconcilers = {"Thing": self, "Urgent": self}
        self.queue = WorkQueue(cast(Context, None), reconcilers, (("Urgent",),))

    def key(self, name: str) -> Key:
        return Key("Urgent" if name in self._urgent else "Thing", "default", name)

    def __call__(self, ctx: Context, namespace: str, name: str) -> float | None:
        self.calls.append([name, round(self._clock.monotonic_ns() / SECOND_NS, 3)])
        steps = self._script.get(name)
        step = steps.pop(0) if steps else None
        if step == "conflict":
            raise ConflictError("there is a newer version")
        if step == "error":
            raise ValueError("broken on purpose")
        if step == "again":
            self.queue.add(self.key(name))
        return None if step is None or step == "again" else float(step)


def queue(case: dict[str, Any]) -> list[list[Any]]:
    """What a work queue does, [[name, t]]: {ops, script?, urgent?, seconds}.

    An operation is [t, name], which adds a key, or [t, name, seconds], which adds it so much later.
    """

    async def main(clock: Clock) -> list[list[Any]]:
        thing = Scripted(clock, case.get("script", {}), case.get("urgent", []))
        for t, name, *after in case["ops"]:
            if (wait_seconds := t - clock.monotonic_ns() / SECOND_NS) > 0:  # no turn of the loop in a burst
                await asyncio.sleep(wait_seconds)
            if after:
                thing.queue.add_after(thing.key(name), after[0])
            else:
                thing.queue.add(thing.key(name))
        await asyncio.sleep(case["seconds"] - clock.monotonic_ns() / SECOND_NS)
        thing.queue.close()
        return thing.calls

    with _silence():
        return run_virtual(main)


@contextmanager
def _silence() -> Iterator[None]:
    """Failures on purpose are not logged."""
    log.addFilter(_nothing)
    try:
        yield
    finally:
        log.removeFilter(_nothing)


def _nothing(record: logging.LogRecord) -> bool:
    return False


def read(manifest: dict[str, Any], kind: type[R]) -> R:
    """An object of a manifest."""
    return msgspec.convert(manifest, kind)


def revision(case: dict[str, Any]) -> Any:
    """The Revision of a `configuration`: metadata and spec."""
    made = msgspec.to_builtins(deploying.make_revision(read(case["configuration"], Configuration), NOW))
    return {"metadata": made["metadata"], "spec": made.get("spec", {})}


def taken(case: dict[str, Any]) -> bool:
    """Whether a `configuration` may not have the name of a `revision`."""
    wanted, stored = read(case["configuration"], Configuration), read(case["revision"], Revision)
    return deploying.is_name_taken(wanted, stored)


def latest(case: dict[str, Any]) -> str:
    """The latest ready revision: {before, created, revisions: {name: [generation, verdict]}}."""
    revisions = {name: _revision(name, *each) for name, each in case["revisions"].items()}
    status = replace(Configuration().status, latest_ready_revision_name=case["before"])
    return deploying.latest_ready(status, revisions[case["created"]], list(revisions.values()))


def _revision(name: str, generation: int, verdict: str) -> Revision:
    """A revision of the Configuration `web`, made by hand."""
    owner = {"apiVersion": "serving.knative.dev/v1", "kind": "Configuration", "name": "web", "uid": "web-uid"}
    label = "serving.knative.dev/configurationGeneration"
    meta = {
        "name": name,
        "labels": {label: str(generation)},
        "ownerReferences": [{**owner, "controller": True}],
    }
    made = read({"metadata": meta}, Revision)
    seen = VERDICTS[verdict]
    conditions = mark("Revision", [], NOW, "ResourcesAvailable", *seen)
    conditions = mark("Revision", conditions, NOW, "ContainerHealthy", *seen)
    return replace(made, status=replace(made.status, conditions=conditions))


def history(case: dict[str, Any]) -> list[list[str]]:
    """What a Configuration reports while it is deployed: [created, ready, Ready, reason, message] a step.

    {steps}: a step is {generation, revisions: {name: [generation, verdict]}}; the revision of the present
    generation is the last that is named.
    """
    thing = read({"metadata": {"name": "web", "uid": "web-uid"}}, Configuration)
    answers = []
    for number, step in enumerate(case["steps"]):
        revisions = [_revision(name, *each) for name, each in step["revisions"].items()]
        thing = replace(thing, metadata=replace(thing.metadata, generation=step["generation"]))
        status = deploying.next_status(thing, revisions[-1], revisions, NOW.replace("00Z", f"{number:02}Z"))
        thing = replace(thing, status=status)
        ready = next(each for each in status.conditions if each.type == READY)
        names = [status.latest_created_revision_name, status.latest_ready_revision_name]
        answers.append([*names, ready.status, ready.reason, ready.message])
    return answers


def migrated(case: dict[str, Any]) -> bool:
    """Whether a `route` reports what is wanted of it, beside a `configuration` (None: not ours)."""
    return serving.is_migrated(_maybe(case["configuration"], Configuration), read(case["route"], Route))


def says(case: dict[str, Any]) -> list[str]:
    """What a `child` of a `kind` says of itself."""
    about = case["kind"] == "Configuration"
    child = _maybe(case["child"], Configuration) if about else _maybe(case["child"], Route)
    return list(serving.readiness(case["kind"], "web", child))


def routed(case: dict[str, Any]) -> list[str]:
    """The condition RoutesReady of a Service: {configuration, route, taken}."""
    children = _maybe(case["configuration"], Configuration), _maybe(case["route"], Route)
    return list(serving.routing("web", *children, case["taken"]))


def service(case: dict[str, Any]) -> dict[str, list[str]]:
    """The conditions of a Service, by type: {configuration, route, taken}."""
    children = _maybe(case["configuration"], Configuration), _maybe(case["route"], Route)
    owner = read({"metadata": {"name": "web", "generation": 1}}, Service)
    status = serving.next_status(owner, *children, case["taken"], NOW)
    return {each.type: [each.status, each.reason, each.message] for each in status.conditions}


def _maybe(manifest: dict[str, Any] | None, kind: type[R]) -> R | None:
    return None if manifest is None else read(manifest, kind)
