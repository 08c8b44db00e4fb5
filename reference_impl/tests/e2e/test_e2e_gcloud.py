"""The unmodified gcloud against a real platform; one platform for all of these."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from liveplatform import Platform, conditions, running

pytestmark = pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")

CONFIGURATION = """
[core]
project = demo
disable_prompts = true
check_gce_metadata = false
disable_usage_reporting = true
should_prompt_to_enable_api = false
[component_manager]
disable_update_check = true
[survey]
disable_prompts = true
[proxy]
type = http
address = 127.0.0.1
port = {port}
[auth]
disable_credentials = true
[run]
region = us-central1
[api_endpoint_overrides]
run = http://run.googleapis.com/
logging = http://logging.googleapis.com/
cloudresourcemanager = http://cloudresourcemanager.googleapis.com/
iam = http://iam.googleapis.com/
serviceusage = http://serviceusage.googleapis.com/
"""


class Gcloud:
    """gcloud with a configuration of its own that leads to one platform."""

    def __init__(self, folder: Path, platform: Platform) -> None:
        (folder / "configurations").mkdir(parents=True)
        (folder / "active_config").write_text("local-run")
        (folder / "configurations" / "config_local-run").write_text(
            CONFIGURATION.format(port=platform.api_port)
        )
        kept = {k: v for k, v in os.environ.items() if not k.startswith("CLOUDSDK_")}
        self.environment = kept | {"CLOUDSDK_CONFIG": str(folder), "NO_COLOR": "1"}

    def __call__(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["gcloud", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--format=json").stdout)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("gcloud") / "data") as platform:
        yield platform


@pytest.fixture(scope="module")
def gcloud(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Gcloud:
    return Gcloud(tmp_path_factory.mktemp("config") / "gcloud", platform)


def kubernetes(platform: Platform, name: str, namespace: str = "demo") -> dict[str, Any]:
    """A Service as the Kubernetes address shows it."""
    found = platform.api.get(f"/apis/serving.knative.dev/v1/namespaces/{namespace}/services/{name}")
    assert found.status_code == 200, found.text
    service: dict[str, Any] = found.json()
    return service


def test_a_deploy_is_seen_by_both_fronts_and_updates_split_traffic(
    platform: Platform, gcloud: Gcloud
) -> None:
    said = gcloud("run", "deploy", "hello", "--image=hello", "--no-allow-unauthenticated").stderr
    assert "has been deployed and is serving" in said
    assert conditions(kubernetes(platform, "hello"))["Ready"] == "True"

    gcloud(
        "run", "services", "update", "hello", "--update-env-vars=TARGET=green", "--no-traffic", "--tag=green"
    )
    gcloud("run", "services", "update-traffic", "hello", "--to-tags=green=30")
    service = gcloud.json("run", "services", "describe", "hello")
    by_revision = {
        t["revisionName"]: t.get("percent") for t in service["status"]["traffic"] if "percent" in t
    }
    named = next(name for name in by_revision if name != "hello-00001")
    assert named.startswith("hello-00002-")
    assert by_revision == {"hello-00001": 70, named: 30}
    tagged = next(t for t in service["status"]["traffic"] if t.get("tag") == "green")
    assert tagged["url"].startswith("http://green---hello-")

    gcloud("run", "services", "update-traffic", "hello", "--to-latest")
    traffic = kubernetes(platform, "hello")["status"]["traffic"]
    assert {"revisionName": named, "latestRevision": True, "percent": 100} in traffic
    revisions = gcloud.json("run", "revisions", "list", "--service=hello")
    assert {r["metadata"]["name"] for r in revisions} == {"hello-00001", named}
    assert all(r["status"]["imageDigest"].startswith("hello@sha256:") for r in revisions)
    latest = gcloud("run", "revisions", "delete", named, check=False)
    assert "FAILED_PRECONDITION" in latest.stderr
    gcloud("run", "revisions", "delete", "hello-00001")


def test_logs_have_the_requests_and_what_the_instance_printed(platform: Platform, gcloud: Gcloud) -> None:
    gcloud("run", "deploy", "logged", "--image=hello", "--allow-unauthenticated")
    url = str(kubernetes(platform, "logged")["status"]["url"])
    assert platform.get(url.removeprefix("http://"), "/seen?x=1").status_code == 200
    read = gcloud("run", "services", "logs", "read", "logged").stdout
    assert f"GET 200 {url}/seen?x=1" in read
    asked = 'resource.labels.service_name="logged" AND httpRequest.status=200'
    (entry,) = gcloud.json("logging", "read", asked, "--limit=1")
    assert entry["httpRequest"]["requestUrl"] == f"{url}/seen?x=1"


def test_what_is_made_through_kubernetes_is_seen_by_gcloud_until_gcloud_deletes_it(
    platform: Platform, gcloud: Gcloud
) -> None:
    manifest = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "made-here"},
        "spec": {"template": {"spec": {"containers": [{"image": "hello"}]}}},
    }
    namespace = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "demo--europe-west1"}}
    namespace["metadata"]["labels"] = {"minirun.dev/profile": "cloudrun"}  # type: ignore[index]
    platform.api.post("/api/v1/namespaces", json=namespace).raise_for_status()
    address = "/apis/serving.knative.dev/v1/namespaces/demo--europe-west1/services"
    platform.api.post(address, json=manifest).raise_for_status()
    listed = gcloud.json("run", "services", "list")  # over all regions
    places = {
        (s["metadata"]["name"], s["metadata"]["labels"]["cloud.googleapis.com/location"]) for s in listed
    }
    assert ("made-here", "europe-west1") in places
    assert {s["metadata"]["namespace"] for s in listed} == {"demo"}
    gcloud("run", "services", "delete", "made-here", "--region=europe-west1")
    assert platform.api.get(f"{address}/made-here").status_code == 404


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--region=us-central1", "--memory=8Gi"),
            "spec.template.spec.containers.resources.limits.memory: Invalid value specified for memory.",
        ),
        (("--region=us-nowhere1",), "The provided region was invalid"),
    ],
)
def test_a_refusal_reads_in_gcloud_as_the_real_one_does(
    gcloud: Gcloud, arguments: tuple[str, ...], said: str
) -> None:
    failed = gcloud(
        "run", "deploy", "bad", "--image=hello", "--no-allow-unauthenticated", *arguments, check=False
    )
    assert failed.returncode == 1
    assert said in failed.stderr


def executions(platform: Platform, job: str) -> list[str]:
    """The names of a job's executions, the newest first."""
    items = platform.api.get("/apis/run.googleapis.com/v1/namespaces/demo/executions").json()["items"]
    mine = [e["metadata"] for e in items if e["metadata"]["labels"]["run.googleapis.com/job"] == job]
    return [meta["name"] for meta in sorted(mine, key=lambda m: int(m["resourceVersion"]), reverse=True)]


def test_a_job_is_created_run_and_told_of(platform: Platform, gcloud: Gcloud) -> None:
    waited = gcloud(
        "run", "jobs", "create", "work", "--image=job", "--tasks=2", "--execute-now", "--wait"
    ).stderr
    (name,) = executions(platform, "work")
    assert f"has successfully been created and completed execution [{name}]" in waited
    tasks = gcloud("run", "jobs", "executions", "tasks", "list", f"--execution={name}").stdout
    assert tasks.count("Succeeded") == 2
    described = gcloud("run", "jobs", "describe", "work").stdout
    assert "Executed 1 time" in described
    assert "by user@minirun.localhost" in described


def test_an_execution_that_fails_and_one_that_is_cancelled(platform: Platform, gcloud: Gcloud) -> None:
    gcloud("run", "jobs", "create", "sad", "--image=job", "--max-retries=0", "--set-env-vars=FAIL=1")
    failed = gcloud("run", "jobs", "execute", "sad", "--wait", check=False)
    assert failed.returncode == 1
    assert "The execution failed." in failed.stderr
    gcloud("run", "jobs", "execute", "sad", "--update-env-vars=FAIL=0,SLEEP_MS=60000")
    name, _ = executions(platform, "sad")
    assert "Cancelled execution" in gcloud("run", "jobs", "executions", "cancel", name).stderr
    gcloud("run", "jobs", "delete", "sad")
    assert executions(platform, "sad") == []


def test_secrets_by_version_and_a_sidecar_are_deployed_with_gclouds_own_flags(
    platform: Platform, gcloud: Gcloud
) -> None:
    versions = {"metadata": {"name": "db"}, "stringData": {"1": "old", "2": "new"}}
    made = platform.api.post("/api/v1/namespaces/demo/secrets", json=versions)
    assert made.status_code == 201, made.text
    sidecar = ("--container=side", "--image=hello", "--command=python", "--args=-m,http.server,0")
    web = ("--container=web", "--image=hello", "--port=8080", "--depends-on=side")
    secrets = ("--set-secrets=TARGET=db:latest,/secrets/password=db:1",)
    gcloud("run", "deploy", "pair", "--no-allow-unauthenticated", *web, *secrets, *sidecar)
    assert conditions(kubernetes(platform, "pair"))["Ready"] == "True"
    pods = platform.api.get("/api/v1/namespaces/demo/pods").json()["items"]
    [pod] = [pod for pod in pods if pod["metadata"]["name"].startswith("pair-")]
    ready = {status["name"]: status["ready"] for status in pod["status"]["containerStatuses"]}
    assert ready == {"web": True, "side": True}
    log = f"/api/v1/namespaces/demo/pods/{pod['metadata']['name']}/log"
    said = platform.api.get(log, params={"container": "web"}).text
    assert "put $MINIRUN_MOUNTS" in said
    assert "before /secrets" in said
