"""The unmodified google-cloud-run client, over REST and over gRPC, against a real platform."""

import warnings
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import (
    Aborted,
    BadRequest,
    Conflict,
    GoogleAPICallError,
    NotFound,
)
from google.auth.credentials import AnonymousCredentials
from liveplatform import Platform, free_port, running

with warnings.catch_warnings():  # of the client's own generated code
    warnings.simplefilter("ignore")
    from google.cloud import run_v2
    from google.cloud.run_v2.services.executions.transports import ExecutionsGrpcTransport
    from google.cloud.run_v2.services.jobs.transports import JobsGrpcTransport
    from google.cloud.run_v2.services.revisions.transports import RevisionsGrpcTransport
    from google.cloud.run_v2.services.services.transports import ServicesGrpcTransport
    from google.cloud.run_v2.services.tasks.transports import TasksGrpcTransport

PARENT = "projects/demo/locations/us-central1"
KUBERNETES = "/apis/serving.knative.dev/v1/namespaces/demo/services"


@pytest.fixture(scope="module")
def grpc_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, grpc_port: int) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("client") / "data", "--grpc", f"127.0.0.1:{grpc_port}") as platform:
        yield platform


class Clients:
    """The clients of one transport."""

    def __init__(self, transport: str, api_port: int, grpc_port: int) -> None:
        self.transport = transport
        if transport == "grpc":
            self.channel = grpc.insecure_channel(f"127.0.0.1:{grpc_port}")
            self.services = run_v2.ServicesClient(transport=ServicesGrpcTransport(channel=self.channel))
            self.revisions = run_v2.RevisionsClient(transport=RevisionsGrpcTransport(channel=self.channel))
            self.jobs = run_v2.JobsClient(transport=JobsGrpcTransport(channel=self.channel))
            self.executions = run_v2.ExecutionsClient(transport=ExecutionsGrpcTransport(channel=self.channel))
            self.tasks = run_v2.TasksClient(transport=TasksGrpcTransport(channel=self.channel))
            return
        options = ClientOptions(api_endpoint=f"http://127.0.0.1:{api_port}")
        how: Any = {"transport": "rest", "credentials": AnonymousCredentials(), "client_options": options}
        self.services = run_v2.ServicesClient(**how)
        self.revisions = run_v2.RevisionsClient(**how)
        self.jobs = run_v2.JobsClient(**how)
        self.executions = run_v2.ExecutionsClient(**how)
        self.tasks = run_v2.TasksClient(**how)

    def close(self) -> None:
        for client in (self.services, self.revisions, self.jobs, self.executions, self.tasks):
            client.transport.close()


@pytest.fixture(scope="module", params=["rest", "grpc"])
def clients(request: pytest.FixtureRequest, platform: Platform, grpc_port: int) -> Iterator[Clients]:
    clients = Clients(request.param, platform.api_port, grpc_port)
    yield clients
    clients.close()


def a_service(**template: Any) -> run_v2.Service:
    container = run_v2.Container(
        image="hello",
        env=[run_v2.EnvVar(name="TARGET", value="one")],
        ports=[run_v2.ContainerPort(container_port=8080)],
        resources=run_v2.ResourceRequirements(
            limits={"cpu": "1", "memory": "1Gi"}, startup_cpu_boost=True, cpu_idle=True
        ),
    )
    return run_v2.Service(
        labels={"team": "x"},
        ingress=run_v2.IngressTraffic.INGRESS_TRAFFIC_ALL,
        template=run_v2.RevisionTemplate(
            containers=[container],
            execution_environment=run_v2.ExecutionEnvironment.EXECUTION_ENVIRONMENT_GEN2,
            max_instance_request_concurrency=4,
            timeout="600s",
            **template,
        ),
    )


def test_a_service_lives_from_create_to_delete(platform: Platform, clients: Clients) -> None:
    services, name = clients.services, f"{PARENT}/services/life-{clients.transport}"
    service_id = name.rpartition("/")[2]
    scaling = run_v2.RevisionScaling(min_instance_count=1, max_instance_count=3)
    made = services.create_service(
        parent=PARENT, service=a_service(scaling=scaling), service_id=service_id
    ).result(timeout=30)
    assert made.name == name
    assert made.terminal_condition.state == run_v2.Condition.State.CONDITION_SUCCEEDED
    assert not made.reconciling
    assert made.template.scaling == scaling
    assert made.template.containers[0].resources.cpu_idle
    assert made.uri.startswith(f"http://{service_id}-")
    seen = platform.api.get(f"{KUBERNETES}/{service_id}").json()  # one truth, in Knative's shape
    assert seen["spec"]["template"]["spec"]["timeoutSeconds"] == 600
    assert seen["spec"]["template"]["metadata"]["annotations"]["autoscaling.knative.dev/minScale"] == "1"

    made.template.containers[0].env[0].value = "two"
    made.description = "changed"
    changed = services.update_service(service=made).result(timeout=30)
    assert changed.latest_ready_revision.endswith("-00002")
    only = run_v2.Service(name=name, description="masked", template=run_v2.RevisionTemplate())
    masked = services.update_service(
        request=run_v2.UpdateServiceRequest(service=only, update_mask="description")
    ).result(timeout=30)
    assert (masked.description, masked.template.containers[0].env[0].value) == ("masked", "two")
    assert masked.latest_ready_revision == changed.latest_ready_revision

    masked.traffic = [
        run_v2.TrafficTarget(
            type_=run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION,
            revision=f"{service_id}-00001",
            percent=60,
            tag="old",
        ),
        run_v2.TrafficTarget(
            type_=run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST, percent=40
        ),
    ]
    split = services.update_service(service=masked).result(timeout=30)
    assert {(s.revision, s.percent) for s in split.traffic_statuses} == {
        (f"{service_id}-00001", 60),
        (f"{service_id}-00002", 40),
    }
    assert next(s for s in split.traffic_statuses if s.tag).uri.startswith("http://old---")

    revisions = list(clients.revisions.list_revisions(parent=name))
    assert [r.name.rpartition("-")[2] for r in revisions] == ["00001", "00002"]
    with pytest.raises(BadRequest):
        clients.revisions.delete_revision(name=revisions[0].name)

    gone = services.delete_service(name=name).result(timeout=10)
    assert gone.delete_time
    with pytest.raises(NotFound):
        services.get_service(name=name)


def test_refusals_have_the_codes_that_the_client_knows(clients: Clients) -> None:
    services, name = clients.services, f"refused-{clients.transport}"
    create = lambda **more: services.create_service(  # noqa: E731
        parent=PARENT, service_id=name, service=a_service(**more)
    )
    created = create().result(timeout=30)
    with pytest.raises(Conflict):  # on gRPC its subclass AlreadyExists
        create()
    with pytest.raises(NotFound, match="does not exist"):
        services.get_service(name=f"{PARENT}/services/none")
    with pytest.raises(NotFound, match="Location"):
        services.create_service(
            parent="projects/demo/locations/us-nowhere1", service_id=name, service=a_service()
        )
    created.etag = '"1"'
    with pytest.raises(Aborted if clients.transport == "grpc" else Conflict, match="etag"):
        services.update_service(service=created)
    big = a_service()
    big.template.containers[0].resources.limits["memory"] = "9Gi"
    with pytest.raises(BadRequest, match="errors"):
        services.create_service(parent=PARENT, service_id="big", service=big)
    broken = a_service()
    broken.template.containers[0].image = "no-such-image"
    failed = services.create_service(parent=PARENT, service_id=f"{name}-broken", service=broken)
    with pytest.raises(GoogleAPICallError, match="no-such-image"):
        failed.result(timeout=30)


def test_a_trial_stores_nothing_and_a_missing_service_may_be_made_by_an_update(
    platform: Platform, clients: Clients
) -> None:
    services, service_id = clients.services, f"maybe-{clients.transport}"
    tried = services.create_service(
        request=run_v2.CreateServiceRequest(
            parent=PARENT, service=a_service(), service_id=service_id, validate_only=True
        )
    )
    assert tried.done()
    assert platform.api.get(f"{KUBERNETES}/{service_id}").status_code == 404
    service = a_service()
    service.name = f"{PARENT}/services/{service_id}"
    made = services.update_service(
        request=run_v2.UpdateServiceRequest(service=service, allow_missing=True)
    ).result(timeout=30)
    assert made.uid
    pages = services.list_services(
        request=run_v2.ListServicesRequest(parent="projects/demo/locations/-", page_size=1)
    )
    assert made.name in [s.name for s in pages]  # over several pages


def test_operations_answer_after_a_restart_until_they_are_deleted(platform: Platform) -> None:
    body = {"template": {"containers": [{"image": "hello"}]}, "ingress": 1, "invokerIamDisabled": True}
    address = f"/v2/{PARENT}"
    query = {"serviceId": "kept", "$alt": "json;enum-encoding=int"}
    begun = platform.api.post(f"{address}/services", params=query, json=body)
    name = begun.json()["name"]
    done = platform.api.post(f"/v2/{name}:wait", json={"timeout": "20s"}).json()
    assert done["done"]
    platform.stop()
    platform.start()
    again = platform.api.get(f"/v2/{name}").json()
    assert again["response"] == done["response"]
    assert again["response"]["@type"] == "type.googleapis.com/google.cloud.run.v2.Service"
    assert name in [o["name"] for o in platform.api.get(f"{address}/operations").json()["operations"]]
    host = str(again["response"]["uri"]).removeprefix("http://")
    assert platform.get(host).status_code == 200
    assert platform.get(host.partition(".")[0] + ".a.run.app").status_code == 200
    assert platform.api.delete(f"/v2/{name}").status_code == 200
    assert platform.api.get(f"/v2/{name}").status_code == 404


def a_job(**template: Any) -> run_v2.Job:
    container = run_v2.Container(image="job", env=[run_v2.EnvVar(name="NUMBERS", value="1000")])
    task = run_v2.TaskTemplate(containers=[container], max_retries=0, timeout={"seconds": 60})
    return run_v2.Job(template=run_v2.ExecutionTemplate(template=task, **template), labels={"team": "x"})


def test_a_job_is_made_run_and_read_down_to_its_tasks(clients: Clients, platform: Platform) -> None:
    jobs, executions, tasks, own = (
        clients.jobs,
        clients.executions,
        clients.tasks,
        f"sums-{clients.transport}",
    )
    made = jobs.create_job(parent=PARENT, job=a_job(task_count=2), job_id=own).result(timeout=30)
    assert made.name == f"{PARENT}/jobs/{own}"
    assert made.terminal_condition.state == run_v2.Condition.State.CONDITION_SUCCEEDED
    assert (made.template.task_count, made.template.template.max_retries) == (2, 0)
    assert made.template.template.timeout.total_seconds() == 60

    execution = jobs.run_job(name=made.name).result(timeout=30)
    assert (execution.succeeded_count, execution.job) == (2, own)
    assert execution.completion_time >= execution.start_time
    assert [e.name for e in executions.list_executions(parent=made.name)] == [execution.name]
    found = list(tasks.list_tasks(parent=execution.name))
    assert sorted(task.index for task in found) == [0, 1]
    assert tasks.get_task(name=found[0].name).last_attempt_result.exit_code == 0
    stored = platform.api.get(f"/apis/run.googleapis.com/v1/namespaces/demo/jobs/{own}").json()
    assert stored["spec"]["template"]["spec"]["template"]["spec"]["maxRetries"] == 0
    with pytest.raises(NotFound):
        executions.get_execution(name=execution.name.replace(f"/jobs/{own}/", "/jobs/other/"))
    assert len(list(tasks.list_tasks(parent=f"{made.name}/executions/-"))) == 2
    latest = jobs.get_job(name=made.name).latest_created_execution
    assert latest.name == execution.name
    assert latest.completion_status == run_v2.ExecutionReference.CompletionStatus.EXECUTION_SUCCEEDED


def test_runs_are_overridden_fail_are_cancelled_and_deleted(clients: Clients) -> None:
    jobs, executions = clients.jobs, clients.executions
    job = jobs.create_job(parent=PARENT, job=a_job(), job_id="odd").result(timeout=30)
    overrides = run_v2.RunJobRequest.Overrides
    failing = overrides.ContainerOverride(env=[run_v2.EnvVar(name="FAIL", value="3")])
    request = run_v2.RunJobRequest(name=job.name, overrides=overrides(container_overrides=[failing]))
    with pytest.raises(GoogleAPICallError, match="The container exited with an error"):
        jobs.run_job(request=request).result(timeout=30)
    (failed,) = executions.list_executions(parent=job.name)
    assert failed.conditions[0].execution_reason == run_v2.Condition.ExecutionReason.NON_ZERO_EXIT_CODE

    job = jobs.get_job(name=job.name)
    job.template.template.containers[0].env = [run_v2.EnvVar(name="SLEEP_MS", value="60000")]
    changed = jobs.update_job(job=job).result(timeout=30)
    assert changed.generation == 2
    name = jobs.run_job(name=job.name).metadata.name
    cancelled = executions.cancel_execution(name=name).result(timeout=30)
    assert cancelled.cancelled_count == 1
    executions.delete_execution(name=name).result(timeout=30)
    with pytest.raises(NotFound):
        executions.get_execution(name=name)
    jobs.delete_job(name=job.name).result(timeout=30)
    assert "odd" not in [each.name.rpartition("/")[2] for each in jobs.list_jobs(parent=PARENT)]
    with pytest.raises(BadRequest, match="expected 1 <= 10001 <= 10000"):
        jobs.create_job(parent=PARENT, job=a_job(task_count=10_001), job_id="many")


def test_a_policy_is_set_tested_and_kept_from_stale_writers(platform: Platform, clients: Clients) -> None:
    services, name = clients.services, f"{PARENT}/services/policy-{clients.transport}"
    services.create_service(parent=PARENT, service=a_service(), service_id=name.rpartition("/")[2])
    policy = services.get_iam_policy(request={"resource": name})
    assert not policy.bindings
    stale = policy.etag
    policy.bindings.add(role="roles/run.invoker", members=["allUsers"])
    kept = services.set_iam_policy(request={"resource": name, "policy": policy})
    assert [binding.role for binding in kept.bindings] == ["roles/run.invoker"]
    assert services.get_iam_policy(request={"resource": name}) == kept
    policy.etag = stale
    with pytest.raises((Aborted, Conflict)):
        services.set_iam_policy(request={"resource": name, "policy": policy})
    asked = {"resource": name, "permissions": ["run.services.get"]}
    assert list(services.test_iam_permissions(request=asked).permissions) == ["run.services.get"]
    with pytest.raises(NotFound):
        services.get_iam_policy(request={"resource": f"{PARENT}/services/nobody"})
