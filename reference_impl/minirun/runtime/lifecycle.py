"""The life of an instance: which stage follows which event, and how long a restart waits.

The whole life is one table. As in a Pod, an instance is ready only while its readiness probe passes, a
container that ends by itself is started again after a pause that grows, and whoever is asked to stop drains
and is never ready again. Counterpart: the kubelet's pod worker, and the Pod's phases.
"""

from collections.abc import Mapping
from typing import Literal

from minirun.runtime.base import Stage

MOVES: Mapping[Stage, Mapping[str, Stage]] = {
    Stage.PENDING: {"start": Stage.STARTING, "stop": Stage.GONE},
    Stage.STARTING: {
        "pass": Stage.READY,
        "exit": Stage.CRASH_LOOP_BACK_OFF,
        "finish": Stage.GONE,
        "stop": Stage.DRAINING,
        "deadline": Stage.GONE,
    },
    Stage.READY: {
        "fail": Stage.STARTING,
        "exit": Stage.CRASH_LOOP_BACK_OFF,
        "finish": Stage.GONE,
        "stop": Stage.DRAINING,
    },
    Stage.CRASH_LOOP_BACK_OFF: {"start": Stage.STARTING, "stop": Stage.GONE, "deadline": Stage.GONE},
    Stage.DRAINING: {"exit": Stage.GONE, "finish": Stage.GONE},
    Stage.GONE: {},
}

MAX_BACK_OFF_SECONDS = 300.0


def next_stage(stage: Stage, event: str) -> Stage:
    """The stage after `event`; an event that means nothing in this stage leaves it as it is.

    Events: "start" (a container is started), "pass" and "fail" (verdicts of the readiness probe), "exit" (the
    container ended), "finish" (it ended, and was to run only once), "stop" (the instance has to go),
    "deadline" (it was not ready once within its progress deadline).

    A container that exits is started again later, unless the instance was stopped: then it is gone. The
    deadline ends only what is not ready. Who drains never gets ready again; who is gone stays gone.
    """
    return MOVES[stage].get(event, stage)


def phase_of(stage: Stage, reason: str) -> Literal["Pending", "Running", "Succeeded", "Failed"]:
    """A Pod's phase for a stage; one that ended with a `reason` has failed."""
    if stage is Stage.GONE:
        return "Failed" if reason else "Succeeded"
    return "Pending" if stage is Stage.PENDING else "Running"


def back_off_seconds(failures: int) -> float:
    """The pause before the container is started again after `failures` (1, 2, ...) ends in a row.

    The first restart is at once, then 1 s, doubled each time up to 5 minutes: the kubelet's rule and cap with
    its newer, shorter first step (kubernetes.io, Pod lifecycle, "How Pods handle problems with containers").
    """
    return 0.0 if failures <= 1 else min(MAX_BACK_OFF_SECONDS, 2.0 ** min(failures - 2, 10))
