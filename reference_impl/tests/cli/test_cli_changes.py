"""What the options of deploy, traffic, apply and export make of a Service: pure changes."""

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun.cli.common import pending
from minirun.cli.deploy import UPDATED, Changes, changed_service, changed_traffic
from minirun.cli.manifests import Document, portable, three_way_patch
from minirun.control.configuration import revision_name
from minirun.model.labels import LAST_APPLIED
from minirun.model.meta import Condition, ObjectMeta, replace
from minirun.model.patches import merge_patch
from minirun.model.resources import (
    Configuration,
    Container,
    EnvVar,
    ResourceRequirements,
    Service,
    ServiceSpec,
    ServiceStatus,
    TrafficTarget,
)

NOW = "2026-11-24T10:00:00Z"
NEW = Service(metadata=ObjectMeta(name="hello", namespace="default"))
LIVE = replace(
    NEW,
    spec=ServiceSpec(traffic=[TrafficTarget(latest_revision=True, percent=100)]),
    status=ServiceStatus(latest_ready_revision_name="hello-00001"),
)


def changed(service: Service, **changes: object) -> Service:
    given = {"env": {}, "annotations": {}} | changes
    return changed_service(service, Changes(**given), NOW)  # type: ignore[arg-type]


def container(service: Service) -> Container:
    return service.spec.template.spec.containers[0]


def test_a_new_service_gets_what_the_options_say() -> None:
    service = changed(
        NEW,
        image="hello",
        env={"A": "1"},
        concurrency=0,
        min_scale=0,
        max_scale=5,
        timeout_seconds=10,
        cpu="500m",
        memory="64Mi",
        port=9000,
        command=("python",),
        args=("main.py", "-v"),
    )
    spec, meta = service.spec.template.spec, service.spec.template.metadata
    assert (spec.container_concurrency, spec.timeout_seconds) == (0, 10)
    assert meta.annotations == {
        UPDATED: NOW,
        "autoscaling.knative.dev/min-scale": "0",
        "autoscaling.knative.dev/max-scale": "5",
    }
    got = container(service)
    assert (got.image, got.env, got.command, got.args) == (
        "hello",
        [EnvVar(name="A", value="1")],
        ["python"],
        ["main.py", "-v"],
    )
    assert got.resources == ResourceRequirements(limits={"cpu": "500m", "memory": "64Mi"})
    assert got.ports[0].container_port == 9000


def test_what_a_later_deploy_does_not_name_stays() -> None:
    first = changed(NEW, image="hello", env={"A": "1", "B": "2"}, concurrency=7, cpu="1", args=("x",))
    second = changed(first, env={"B": "3"}, memory="1Gi")
    assert container(second).image == "hello"
    assert container(second).env == [EnvVar(name="A", value="1"), EnvVar(name="B", value="3")]
    assert container(second).args == ["x"]
    assert second.spec.template.spec.container_concurrency == 7
    assert container(second).resources == ResourceRequirements(limits={"cpu": "1", "memory": "1Gi"})


def test_annotations_of_the_service_do_not_go_to_its_revisions() -> None:
    given = {"serving.knative.dev/rollout-duration": "60s", "autoscaling.knative.dev/target": "5"}
    service = changed(NEW, image="hello", annotations=given)
    assert service.metadata.annotations == {"serving.knative.dev/rollout-duration": "60s"}
    assert service.spec.template.metadata.annotations["autoscaling.knative.dev/target"] == "5"
    assert "serving.knative.dev/rollout-duration" not in service.spec.template.metadata.annotations


def test_without_traffic_the_split_is_pinned_to_the_revision_that_serves_now() -> None:
    service = changed(LIVE, image="hello", no_traffic=True)
    assert service.spec.traffic == [
        TrafficTarget(revision_name="hello-00001", latest_revision=False, percent=100)
    ]


def test_without_traffic_a_new_service_is_refused() -> None:
    with pytest.raises(click.UsageError, match="needs a service that is ready"):
        changed(NEW, image="hello", no_traffic=True)


def test_a_tag_names_the_revision_that_this_deploy_makes() -> None:
    service = changed(LIVE, image="hello", tag="next")
    name = service.spec.template.metadata.name
    assert name.startswith("hello-")
    assert service.spec.traffic[1:] == [TrafficTarget(tag="next", revision_name=name, percent=0)]
    again = changed(service, env={"A": "1"})
    assert again.spec.template.metadata.name == ""


def test_a_tagged_revision_of_a_long_name_is_named_as_the_server_would_name_it() -> None:
    name = "a" * 63
    long = replace(LIVE, metadata=replace(LIVE.metadata, name=name, generation=1))
    tagged = changed(long, image="hello", tag="next").spec.template.metadata.name
    made = Configuration(metadata=replace(LIVE.metadata, name=name, generation=2))
    assert tagged == revision_name(made)
    assert len(tagged) == 63


def test_a_tag_that_is_given_again_moves() -> None:
    service = changed(changed(LIVE, image="hello", tag="next"), tag="next")
    name = service.spec.template.metadata.name
    assert [t.revision_name for t in service.spec.traffic if t.tag == "next"] == [name]


def test_traffic_is_split_as_said_and_tags_stay() -> None:
    service = replace(
        LIVE, spec=ServiceSpec(traffic=[TrafficTarget(tag="old", revision_name="hello-00001", percent=100)])
    )
    assert changed_traffic(service, {"hello-00001": "80", "LATEST": "20"}, {}, latest=False) == [
        TrafficTarget(revision_name="hello-00001", latest_revision=False, percent=80),
        TrafficTarget(latest_revision=True, percent=20),
        TrafficTarget(tag="old", revision_name="hello-00001"),
    ]


def test_tags_are_set_and_taken_away_and_the_split_stays() -> None:
    spec = ServiceSpec(
        traffic=[
            TrafficTarget(latest_revision=True, percent=100),
            TrafficTarget(tag="old", revision_name="hello-00001", percent=0),
        ]
    )
    tags = {"old": "", "new": "hello-00002"}
    assert changed_traffic(replace(LIVE, spec=spec), {}, tags, latest=False) == [
        TrafficTarget(latest_revision=True, percent=100),
        TrafficTarget(tag="new", revision_name="hello-00002", latest_revision=False),
    ]


def test_latest_takes_everything() -> None:
    spec = ServiceSpec(traffic=[TrafficTarget(revision_name="hello-00001", percent=100)])
    got = changed_traffic(replace(LIVE, spec=spec), {}, {}, latest=True)
    assert got == [TrafficTarget(latest_revision=True, percent=100)]


@pytest.mark.parametrize(
    ("percents", "latest", "message"),
    [({"a": "1"}, True, "--latest and --to"), ({"a": "much"}, False, "'much' is no percentage")],
)
def test_a_split_that_makes_no_sense_is_refused(percents: dict[str, str], latest: bool, message: str) -> None:
    with pytest.raises(click.UsageError, match=message):
        changed_traffic(LIVE, percents, {}, latest)


SCALARS = st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
JSON = st.dictionaries(
    st.sampled_from("abcd"),
    SCALARS | st.dictionaries(st.sampled_from("xyz"), SCALARS, max_size=3),
    max_size=4,
)


@given(last=JSON, new=JSON, others=st.dictionaries(st.sampled_from("mn"), SCALARS))
def test_applying_reaches_the_file_and_leaves_what_others_set(
    last: Document, new: Document, others: Document
) -> None:
    assert merge_patch({**last, **others}, three_way_patch(last, new)) == {**new, **others}


def test_an_exported_service_holds_what_a_person_wrote_and_no_more() -> None:
    service = changed(LIVE, image="hello", annotations={"autoscaling.knative.dev/target": "5"})
    made = {"serving.knative.dev/creator": "me", LAST_APPLIED: "{}", "own": "yes"}
    service = replace(
        service, metadata=replace(service.metadata, uid="u", resource_version="7", annotations=made)
    )
    assert portable(service) == {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "hello", "annotations": {"own": "yes"}},
        "spec": {
            "template": {
                "metadata": {"annotations": {"autoscaling.knative.dev/target": "5"}},
                "spec": {"containers": [{"image": "hello"}]},
            },
            "traffic": [{"latestRevision": True, "percent": 100}],
        },
    }


def test_an_exported_service_does_not_name_revisions_that_are_only_here() -> None:
    service = changed(LIVE, image="hello", tag="next")
    template = {"metadata": {}, "spec": {"containers": [{"image": "hello"}]}}
    assert portable(service)["spec"] == {"template": template}


def test_what_is_pending_is_named_with_its_reason() -> None:
    def status(*conditions: Condition, observed: int = 1) -> Service:
        meta = replace(LIVE.metadata, generation=1)
        return replace(LIVE, metadata=meta, status=ServiceStatus(observed, list(conditions)))

    routes = Condition(type="RoutesReady", status="Unknown", reason="Deploying", message="starting")
    assert pending(status(routes)) == "RoutesReady is Unknown (Deploying: starting)"
    assert pending(status(observed=0)) == "waiting for the platform to see the change"
    assert pending(status(Condition(type="Ready", status="True"))) == ""
