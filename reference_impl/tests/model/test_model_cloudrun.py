"""What Cloud Run fills into a template, and which CPU, memory and GPU it refuses."""

import pytest

from minirun.model.cloudrun import check, complete
from minirun.model.meta import ObjectMeta
from minirun.model.resources import (
    Container,
    ContainerPort,
    HTTPGetAction,
    Probe,
    ResourceRequirements,
    RevisionSpec,
    RevisionTemplate,
)


def template(concurrency: int | None = None, gpu_type: str = "", **limits: str) -> RevisionTemplate:
    limits = {name.replace("gpu", "nvidia.com/gpu"): value for name, value in limits.items()}
    notes = {"run.googleapis.com/cpu-throttling": "False"} if gpu_type else {}
    return RevisionTemplate(
        metadata=ObjectMeta(annotations=notes),
        spec=RevisionSpec(
            containers=[Container(image="hello", resources=ResourceRequirements(limits=dict(limits)))],
            container_concurrency=concurrency,
            node_selector={"run.googleapis.com/accelerator": gpu_type} if gpu_type else {},
        ),
    )


@pytest.mark.parametrize(
    "good",
    [
        template(80, cpu="1", memory="512Mi"),
        template(80, cpu="1000m", memory="4Gi"),
        template(80, cpu="2", memory="8Gi"),
        template(80, cpu="4", memory="2Gi"),
        template(80, cpu="8", memory="32Gi"),
        template(1, cpu="0.08", memory="128Mi"),
        template(1, cpu="500m", memory="512Mi"),
        template(4, "nvidia-l4", cpu="4", memory="16Gi", gpu="1"),
        template(4, "nvidia-rtx-pro-6000", cpu="20", memory="80Gi", gpu="1"),
    ],
)
def test_documented_combinations_are_taken(good: RevisionTemplate) -> None:
    assert not list(check(good))


@pytest.mark.parametrize(
    ("bad", "field", "says"),
    [
        (template(80, cpu="1", memory="5Gi"), "memory", "between 128Mi and 4Gi"),
        (template(80, cpu="4", memory="1Gi"), "memory", "between 2Gi and 16Gi"),
        (template(80, cpu="3", memory="4Gi"), "cpu", "2, 4, 6, 8"),
        (template(80, cpu="16", memory="32Gi"), "cpu", "16"),
        (template(1, cpu="0.05", memory="128Mi"), "cpu", "0.08"),
        (template(80, cpu="0.5", memory="512Mi"), "containerConcurrency", "must be 1"),
        (template(4, "nvidia-l4", cpu="2", memory="16Gi", gpu="1"), "cpu", "4, 6, 8"),
        (template(4, "nvidia-l4", cpu="4", memory="8Gi", gpu="1"), "memory", "between 16Gi and 32Gi"),
        (template(4, "nvidia-l4", cpu="4", memory="16Gi", gpu="2"), "nvidia.com/gpu", "one GPU"),
        (template(4, "nvidia-t4", cpu="4", memory="16Gi", gpu="1"), "accelerator", "nvidia-l4"),
        (template(4, cpu="4", memory="16Gi", gpu="1"), "accelerator", "no type"),
    ],
)
def test_others_are_refused_with_the_field_and_what_is_allowed(
    bad: RevisionTemplate, field: str, says: str
) -> None:
    errors = list(check(bad))
    assert any(path.endswith(field) for error in errors for path in error.paths), errors
    assert says in " ".join(error.message for error in errors)


def test_a_gpu_needs_instance_based_billing() -> None:
    throttled = template(4, "nvidia-l4", cpu="4", memory="16Gi", gpu="1")
    throttled.metadata.annotations.clear()
    assert "--no-cpu-throttling" in " ".join(error.message for error in check(throttled))


def test_a_bare_template_gets_port_probe_account_and_most_instances() -> None:
    done = complete(RevisionTemplate(spec=RevisionSpec(containers=[Container(image="hello")])), "demo")
    (container,) = done.spec.containers
    assert container.ports == [ContainerPort(name="http1", container_port=8080)]
    assert container.startup_probe is not None
    assert container.startup_probe.timeout_seconds == container.startup_probe.period_seconds == 240
    assert done.spec.service_account_name.endswith("-compute@developer.gserviceaccount.com")
    assert done.metadata.annotations == {"autoscaling.knative.dev/maxScale": "100"}
    assert complete(done, "demo") == done
    assert complete(template(cpu="0.5"), "demo").spec.container_concurrency == 1


def test_a_declared_probe_gets_the_rest_of_its_numbers() -> None:
    declared = Container(image="a", liveness_probe=Probe(http_get=HTTPGetAction(), timeout_seconds=2))
    (done,) = complete(RevisionTemplate(spec=RevisionSpec(containers=[declared])), "demo").spec.containers
    assert done.liveness_probe == Probe(
        http_get=HTTPGetAction(path="/", port=8080),
        timeout_seconds=2,
        period_seconds=10,
        failure_threshold=3,
    )
    assert done.readiness_probe is None


def test_a_sidecar_gets_no_port_of_its_own() -> None:
    both = [
        Container(name="web", image="a", ports=[ContainerPort(container_port=9000)]),
        Container(name="s", image="b"),
    ]
    web, sidecar = complete(RevisionTemplate(spec=RevisionSpec(containers=both)), "demo").spec.containers
    assert web.ports[0].container_port == 9000
    assert sidecar == both[1]
