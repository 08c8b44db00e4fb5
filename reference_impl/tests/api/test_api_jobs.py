"""Jobs through the API: what is filled in and refused, what a run may change, both shapes of Cloud Run."""

from typing import Any

import httpx
import pytest
from apiworld import Platform

from minirun.api.jobs import ContainerOverride, override_container
from minirun.api.mapping_jobs import job_to_v1, job_to_v2
from minirun.model.clock import SECOND_NS
from minirun.model.resources import Container, EnvVar
from minirun.telemetry.logs import LogEntry

V1 = "http://us-central1-run.googleapis.com/apis/run.googleapis.com/v1/namespaces/demo/jobs"
KUBERNETES = "/apis/run.googleapis.com/v1/namespaces/default/jobs"
MOUNT = {"name": "v", "mountPath": "/v"}
RUN = "run.googleapis.com/"


def v1_job(name: str = "j", task: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """What `gcloud run jobs create` sends."""
    task = {"containers": [{"image": "job", "name": ""}], "nodeSelector": {}} | (task or {})
    return {
        "apiVersion": "run.googleapis.com/v1",
        "kind": "Job",
        "metadata": {"name": name, "annotations": {f"{RUN}client-name": "gcloud"}},
        "spec": {"template": {"spec": {"template": {"spec": task}, **spec}}},
    }


async def test_a_job_gets_cloud_runs_defaults_and_its_creator(client: httpx.AsyncClient) -> None:
    made = (await client.post(V1, json=v1_job())).json()
    execution = made["spec"]["template"]["spec"]
    task = execution["template"]["spec"]
    assert execution["taskCount"] == 1
    assert (task["maxRetries"], task["timeoutSeconds"]) == (3, "600")
    assert task["containers"][0]["resources"]["limits"] == {"cpu": "1000m", "memory": "512Mi"}
    assert made["metadata"]["annotations"][f"{RUN}creator"]
    again = await client.put(f"{V1}/j", json=made)
    assert again.json()["metadata"]["generation"] == 1
    forged = made | {"metadata": made["metadata"] | {"annotations": {f"{RUN}creator": "me"}}}
    kept = (await client.put(f"{V1}/j", json=forged)).json()["metadata"]["annotations"]
    assert kept[f"{RUN}creator"] == made["metadata"]["annotations"][f"{RUN}creator"]


@pytest.mark.parametrize(
    ("job", "field", "said"),
    [
        (v1_job(taskCount=0), "spec.template.spec.taskCount", "expected 1 <= 0 <= 10000"),
        (v1_job(parallelism=-1), "spec.template.spec.parallelism", "expected 0 <= -1 <= 10000"),
        (v1_job(task={"maxRetries": 11}), "template.spec.maxRetries", "expected 0 <= 11 <= 10"),
        (v1_job(task={"timeoutSeconds": "86401"}), "timeoutSeconds", "expected 1 <= 86401 <= 86400"),
        (v1_job(task={"timeoutSeconds": "1h"}), "timeoutSeconds", "invalid value: 1h"),
        (v1_job(task={"containers": []}), "spec.containers", "missing field(s)"),
        (
            v1_job(task={"containers": [{"image": "job", "resources": {"limits": {"memory": "8Gi"}}}]}),
            "spec.template.spec.containers.resources.limits.memory",
            "Invalid value specified for memory",
        ),
        (
            v1_job(task={"containers": [{"image": "job", "volumeMounts": [MOUNT]}]}),
            "volumeMounts[0].name",
            "volumeMount has no matching volume",
        ),
        (v1_job("n" * 50), "metadata.name", "must be no more than 49 characters"),
        (
            v1_job(task={"containers": [{"image": "job", "env": [{"name": "CLOUD_RUN_JOB"}]}]}),
            "containers[0].env",
            "The following reserved env names were provided: CLOUD_RUN_JOB",
        ),
    ],
)
async def test_what_cloud_run_refuses(
    client: httpx.AsyncClient, job: dict[str, Any], field: str, said: str
) -> None:
    refused = await client.post(V1, json=job)
    assert refused.status_code == 400
    (violation,) = refused.json()["error"]["details"][0]["fieldViolations"]
    assert violation["field"].endswith(field)
    assert said in violation["description"]


async def test_a_run_is_refused_when_its_overrides_are_of_nothing(client: httpx.AsyncClient) -> None:
    await client.post(KUBERNETES, json=v1_job())
    for overrides, said in (
        ({"containerOverrides": [{"name": "other"}]}, "There is no container 'other' to override"),
        ({"taskCount": 0}, "expected 1 <= 0 <= 10000"),
        ({"taskCount": "x"}, "the body is no RunJobRequest"),
    ):
        refused = await client.post(f"{KUBERNETES}/j:run", json={"overrides": overrides})
        assert refused.status_code == 400
        assert said in refused.json()["message"]
    for content in (b"", b"{}"):  # `kubectl create --raw` says no media type
        tried = await client.post(f"{KUBERNETES}/j:run", params={"dryRun": "All"}, content=content)
        assert tried.json()["kind"] == "Execution"
    listed = await client.get(KUBERNETES.replace("jobs", "executions"))
    assert listed.json()["items"] == []


def test_overrides_replace_arguments_and_merge_variables() -> None:
    container = Container(args=["a"], env=[EnvVar(name="A", value="1"), EnvVar(name="B", value="2")])
    changed = override_container(container, ContainerOverride(env=[EnvVar(name="A", value="3")]))
    assert changed.args == ["a"]
    assert {variable.name: variable.value for variable in changed.env} == {"A": "3", "B": "2"}
    assert override_container(container, ContainerOverride(args=["b"])).args == ["b"]
    assert override_container(container, ContainerOverride(clear_args=True)).args == []


def test_a_v2_job_comes_back_from_v1_as_it_was() -> None:
    v2 = {
        "labels": {"team": "x"},
        "launchStage": "BETA",
        "template": {
            "taskCount": 3,
            "parallelism": 2,
            "labels": {"run": "y"},
            "template": {
                "containers": [{"image": "job", "args": ["a"], "env": [{"name": "A", "value": "1"}]}],
                "volumes": [{"name": "v", "emptyDir": {"medium": "MEMORY", "sizeLimit": "1Gi"}}],
                "maxRetries": 0,
                "timeout": "90s",
                "serviceAccount": "sa@x.iam.gserviceaccount.com",
                "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
                "vpcAccess": {"egress": "ALL_TRAFFIC"},
                "nodeSelector": {"accelerator": "nvidia-l4"},
            },
        },
    }
    v1 = job_to_v1(v2, "j")
    task = v1["spec"]["template"]["spec"]["template"]["spec"]
    assert (task["timeoutSeconds"], task["maxRetries"]) == ("90", 0)
    back = job_to_v2(v1, "projects/p/locations/r", "True")
    assert {name: back[name] for name in v2} == v2
    assert back["name"] == "projects/p/locations/r/jobs/j"


async def test_lines_of_tasks_are_found_by_their_job(client: httpx.AsyncClient, platform: Platform) -> None:
    labels = {f"{RUN}execution_name": "j-abcde", f"{RUN}task_index": "1"}
    entry = LogEntry(
        timestamp_unix_ns=10**9 * SECOND_NS,
        message="done",
        namespace="demo",
        job="j",
        execution="j-abcde",
        stream="stdout",
        labels=labels,
    )
    platform.logs.append(entry)
    await client.post(V1, json=v1_job())
    wanted = "resource.type = cloud_run_job AND resource.labels.job_name = j AND severity >= DEFAULT"
    body = {"resourceNames": ["projects/demo"], "filter": wanted}
    (found,) = (await client.post("http://logging.googleapis.com/v2/entries:list", json=body)).json()[
        "entries"
    ]
    assert found["textPayload"] == "done"
    assert found["labels"].items() >= labels.items()


@pytest.mark.parametrize("rest", ["workers", "workers/x/tasks", "jobs/x/tasks", "jobs/x/executions/y/z"])
async def test_what_v2_does_not_have_is_a_404(client: httpx.AsyncClient, rest: str) -> None:
    answered = await client.get(f"/v2/projects/demo/locations/us-central1/{rest}")
    assert (answered.status_code, answered.json()["error"]["status"]) == (404, "NOT_FOUND")
