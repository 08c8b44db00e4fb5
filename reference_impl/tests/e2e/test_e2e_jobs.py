"""Jobs on real processes: run, retried, cancelled, logged, and a platform that is killed in the middle."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from liveplatform import Platform, running

RUN = "/apis/run.googleapis.com/v1/namespaces/default"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One platform for all of these."""
    with running(tmp_path_factory.mktemp("jobs") / "data") as platform:
        yield platform


def make_job(
    platform: Platform, name: str, task: dict[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    env = [{"name": key, "value": value} for key, value in (task or {}).pop("env", {}).items()]
    containers = [{"image": "job", "env": env}]
    template = {"spec": {**spec, "template": {"spec": {"containers": containers, **(task or {})}}}}
    job = {
        "apiVersion": "run.googleapis.com/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": template},
    }
    made = platform.api.post(f"{RUN}/jobs", json=job)
    assert made.status_code == 201, made.text
    return dict(made.json())


def start(platform: Platform, job: str, **overrides: Any) -> str:
    body = {"overrides": overrides} if overrides else {}
    made = platform.api.post(f"{RUN}/jobs/{job}:run", json=body)
    assert made.status_code == 200, made.text
    return str(made.json()["metadata"]["name"])


def execution(platform: Platform, name: str) -> dict[str, Any]:
    return dict(platform.api.get(f"{RUN}/executions/{name}").json())


def status(platform: Platform, name: str) -> dict[str, Any]:
    return dict(execution(platform, name).get("status", {}))


def completed(platform: Platform, name: str) -> dict[str, Any]:
    """The status of an execution when it has completed."""
    platform.wait_until(lambda: "completionTime" in status(platform, name), what=f"{name} to complete")
    return status(platform, name)


def condition(status: dict[str, Any], type_: str = "Completed") -> dict[str, Any]:
    return next(dict(c) for c in status["conditions"] if c["type"] == type_)


def log_of(platform: Platform, name: str) -> list[dict[str, Any]]:
    query = {"labelSelector": f"run.googleapis.com/execution={name}"}
    found = platform.api.get("/apis/minirun.dev/v1/namespaces/default/logentries", params=query).json()
    return list(found["items"])


def pods_of(platform: Platform, name: str) -> list[dict[str, Any]]:
    query = {"labelSelector": f"run.googleapis.com/execution={name}"}
    items = platform.api.get("/api/v1/namespaces/default/pods", params=query).json()["items"]
    return list(items)


def test_tasks_share_the_work_and_every_line_says_whose_it_is(platform: Platform) -> None:
    made = make_job(platform, "primes", {"env": {"NUMBERS": "1000"}}, taskCount=3)
    task = made["spec"]["template"]["spec"]["template"]["spec"]
    assert (task["maxRetries"], task["timeoutSeconds"]) == (3, "600")
    assert made["metadata"]["annotations"]["run.googleapis.com/creator"]
    name = start(platform, "primes")
    done = completed(platform, name)
    assert done["succeededCount"] == 3
    assert condition(done)["status"] == "True"
    entries = log_of(platform, name)
    found = [int(entry["message"].split()[3]) for entry in entries if entry["severity"] == "INFO"]
    assert (len(found), sum(found)) == (3, 168)  # the primes below 1000
    labels = entries[0]["metadata"]["labels"]
    assert labels["run.googleapis.com/job"] == "primes"
    assert labels["run.googleapis.com/task_index"] in "012"
    job = platform.api.get(f"{RUN}/jobs/primes").json()
    assert job["status"]["latestCreatedExecution"]["name"] == name
    assert job["status"]["latestCreatedExecution"]["completionStatus"] == "EXECUTION_SUCCEEDED"
    text = platform.api.get(f"/api/v1/namespaces/default/pods/{name}-task0-attempt0/log").text
    assert text.startswith("task 0 of 3, attempt 0, begins\n")


def test_a_failing_task_is_tried_again_and_may_succeed_then(platform: Platform) -> None:
    make_job(platform, "shaky", {"env": {"FAIL": "3", "FAIL_ATTEMPTS": "1"}, "maxRetries": 1})
    name = start(platform, "shaky")
    done = completed(platform, name)
    assert (done["succeededCount"], done["retriedCount"]) == (1, 1)
    query = {"labelSelector": f"run.googleapis.com/execution = {name}"}
    (task,) = platform.api.get(f"{RUN}/tasks", params=query).json()["items"]
    assert task["metadata"]["labels"]["run.googleapis.com/runningState"] == "Succeeded"
    assert task["status"]["retried"] == 1
    assert task["status"]["lastAttemptResult"] == {"exitCode": 0, "status": {}}


def test_overrides_are_for_one_execution_only(platform: Platform) -> None:
    make_job(platform, "plain", {"maxRetries": 0})
    env = [{"name": "FAIL", "value": "4"}]
    name = start(platform, "plain", taskCount=2, containerOverrides=[{"env": env}])
    done = completed(platform, name)
    assert done["failedCount"] == 2
    text = f"Task {name}-task0 failed with message: The container exited with an error."
    assert condition(done)["message"] == text
    assert completed(platform, start(platform, "plain"))["succeededCount"] == 1
    refused = platform.api.post(f"{RUN}/jobs/plain:run", json={"overrides": {"taskCount": 10_001}})
    assert refused.status_code == 400
    assert "expected 1 <= 10001 <= 10000: spec.template.spec.taskCount" in refused.json()["message"]


def test_a_timeout_ends_the_attempt(platform: Platform) -> None:
    make_job(platform, "late", {"env": {"SLEEP_MS": "60000"}, "maxRetries": 0, "timeoutSeconds": 1})
    done = completed(platform, start(platform, "late"))
    assert condition(done)["reason"] == "DeadlineExceeded"


def test_a_cancelled_execution_ends_its_processes(platform: Platform) -> None:
    make_job(platform, "long", {"env": {"SLEEP_MS": "60000"}}, taskCount=2)
    name = start(platform, "long")
    platform.wait_until(lambda: status(platform, name).get("runningCount") == 2, what="two tasks to run")
    platform.wait_until(  # from then on it hears SIGTERM
        lambda: sum("begins" in entry["message"] for entry in log_of(platform, name)) == 2,
        what="both apps to begin",
    )
    answered = platform.api.post(f"{RUN}/executions/{name}:cancel", json={})
    assert answered.status_code == 200, answered.text
    assert answered.json()["metadata"]["name"] == name
    done = completed(platform, name)
    assert (condition(done)["status"], condition(done)["reason"]) == ("False", "Cancelled")
    assert done["cancelledCount"] == 2
    platform.wait_until(lambda: not pods_of(platform, name), what="the pods to go")
    said = [entry["message"] for entry in log_of(platform, name) if entry["severity"] == "WARNING"]
    assert sorted(said) == ["task 0 was told to end", "task 1 was told to end"]


def test_what_is_done_to_executions_through_the_api(platform: Platform) -> None:
    assert platform.api.post(f"{RUN}/executions", json={}).status_code == 405
    assert platform.api.post(f"{RUN}/jobs/nobody:run", json={}).status_code == 404
    assert platform.api.post(f"{RUN}/jobs/primes:walk", json={}).status_code == 404
    name = start(platform, "primes")
    completed(platform, name)
    assert platform.api.delete(f"{RUN}/executions/{name}").status_code == 200
    platform.wait_until(lambda: not pods_of(platform, name), what="the pods to go")
    assert log_of(platform, name) == []


def test_a_platform_that_is_killed_goes_on_with_the_execution(platform: Platform) -> None:
    make_job(platform, "steady", {"env": {"SLEEP_MS": "700"}, "maxRetries": 0}, taskCount=3, parallelism=1)
    name = start(platform, "steady")
    platform.wait_until(lambda: status(platform, name).get("succeededCount") == 1, what="the first task")
    platform.stop(signal.SIGKILL)
    platform.start()
    done = completed(platform, name)
    assert (done["succeededCount"], done.get("retriedCount", 0)) == (3, 0)
    begun = [entry["message"] for entry in log_of(platform, name) if "begins" in entry.get("message", "")]
    assert begun.count("task 0 of 3, attempt 0, begins") == 1
