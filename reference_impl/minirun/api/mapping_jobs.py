"""Jobs, Executions and Tasks in Cloud Run's v2 shapes and in its v1 ones: tables for `api/mapping.py`.

v2 keeps a task's settings in `template`, at a Task's top level; v1 keeps some of them in annotations of the
execution. Pure. Source: the v2 REST reference and its v1 counterpart.
"""

from typing import Final

from minirun.api.mapping import (
    DURATION,
    SAME,
    Codec,
    Document,
    Path,
    Row,
    Table,
    dig,
    each,
    nested,
    put,
    rows,
    to_v1,
    to_v2,
)
from minirun.api.mapping_services import (
    CLIENT,
    ENV,
    LABELLED,
    common_to_v2,
    running,
    states_to_v2,
    unmapped,
)
from minirun.model.labels import EXECUTION, JOB, RUN_CREATOR, RUN_LAST_MODIFIER

TEXT_DURATION: Final = Codec(lambda text: str(DURATION.to_v1(text)), DURATION.to_v2)  # v1 writes "600"


def _task(v2: Path, v1: Path) -> Table:
    """What a task runs: below `v2`, and in the TaskSpec at `v1`."""
    return (
        *running(v2, v1),
        Row((*v2, "maxRetries"), (*v1, "maxRetries"), SAME, keeps_zero=True),
        Row((*v2, "timeout"), (*v1, "timeoutSeconds"), TEXT_DURATION),
    )


TASK: Final[Table] = (*LABELLED, *_task((), ("spec",)))
TEMPLATE: Final[Table] = (
    *LABELLED,
    Row(("taskCount",), ("spec", "taskCount"), SAME),
    Row(("parallelism",), ("spec", "parallelism"), SAME),
    *_task(("template",), ("spec", "template", "spec")),
)
"""Of an ExecutionTemplate, and of an Execution, which has the same fields."""
JOB_TABLE: Final[Table] = (
    *LABELLED,
    *CLIENT,
    Row(("startExecutionToken",), ("spec", "startExecutionToken"), SAME),
    Row(("runExecutionToken",), ("spec", "runExecutionToken"), SAME),
    Row(("template",), ("spec", "template"), nested(TEMPLATE)),
)
STATUS: Final[Table] = (
    *(
        Row((name,), ("status", name), SAME)
        for name in (
            *(
                "startTime",
                "completionTime",
                "runningCount",
                "succeededCount",
                "failedCount",
                "cancelledCount",
            ),
            *("retriedCount", "logUri", "index", "retried", "lastAttemptResult", "executionCount"),
        )
    ),
    *(
        Row(("latestCreatedExecution", there), ("status", "latestCreatedExecution", here), SAME)
        for there, here in (
            ("name", "name"),
            ("createTime", "creationTimestamp"),
            ("completionTime", "completionTimestamp"),
            ("completionStatus", "completionStatus"),
        )
    ),
)
SIGNED: Final[Table] = (
    Row(("creator",), ("metadata", "annotations", RUN_CREATOR), SAME),
    Row(("lastModifier",), ("metadata", "annotations", RUN_LAST_MODIFIER), SAME),
)
_OVERRIDE: Final = nested((*rows("name", "args", "clearArgs"), Row(("env",), ("env",), each(ENV))))
RUN_REQUEST: Final[Table] = (
    Row(("overrides", "taskCount"), ("overrides", "taskCount"), SAME),
    Row(("overrides", "timeout"), ("overrides", "timeoutSeconds"), DURATION),
    Row(("overrides", "containerOverrides"), ("overrides", "containerOverrides"), each(_OVERRIDE)),
)


def job_to_v1(v2: Document, name: str, stored: Document | None = None) -> Document:
    """A v2 Job as v1's; arguments as in `mapping.service_to_v1`."""
    v1 = to_v1(JOB_TABLE, v2)
    put(v1, ("metadata", "name"), name)
    put(v1, ("metadata", "annotations"), unmapped(dig(stored, ("metadata", "annotations")) or {}))
    return v1 | {"apiVersion": "run.googleapis.com/v1", "kind": "Job"}


def _shared(v1: Document, table: Table, parent: str) -> Document:
    return common_to_v2(v1, parent) | to_v2(table, v1) | to_v2(STATUS, v1)


def job_to_v2(v1: Document, parent: str, ready: str) -> Document:
    """A v1 Job, as it is shown, as v2's; arguments as in `mapping.service_to_v2`."""
    v2 = _shared(v1, (*JOB_TABLE, *SIGNED), f"{parent}/jobs")
    v2.setdefault("launchStage", "GA")
    if latest := v2.get("latestCreatedExecution"):
        latest["name"] = f"{v2['name']}/executions/{latest['name']}"
    return v2 | states_to_v2(v1, ready, apart=True)


def execution_to_v2(v1: Document, parent: str, ready: str) -> Document:
    """A v1 Execution as v2's; `ready` is its condition Completed."""
    job = v1["metadata"]["labels"].get(JOB, "")
    v2 = _shared(v1, (*TEMPLATE, *SIGNED), f"{parent}/jobs/{job}/executions")
    return v2 | states_to_v2(v1, ready) | {"job": job, "launchStage": "GA"}


def task_to_v2(v1: Document, parent: str, ready: str) -> Document:
    """A v1 Task as v2's; `ready` is its condition Completed."""
    labels = v1["metadata"]["labels"]
    job, execution = labels.get(JOB, ""), labels.get(EXECUTION, "")
    v2 = _shared(v1, TASK, f"{parent}/jobs/{job}/executions/{execution}/tasks")
    return v2 | states_to_v2(v1, ready) | {"job": job, "execution": execution}


def run_to_v1(v2: Document) -> Document:
    """A v2 RunJobRequest as v1's."""
    return to_v1(RUN_REQUEST, v2)
