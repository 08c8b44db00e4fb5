"""What clients see echoed after a create, and that defaulting again changes nothing."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirun.model.decoding import decode
from minirun.model.defaults import set_defaults
from minirun.model.profiles import PROFILES, profile_of
from minirun.model.resources import Namespace, ObjectMeta, Revision, Route, Service
from minirun.model.settings import DefaultsSettings


def service(*containers: dict[str, Any], **spec: Any) -> Service:
    document = {
        "metadata": {"name": "s"},
        "spec": {"template": {"spec": {"containers": list(containers)} | spec}},
    }
    return decode(document, Service).resource


def echoed(new: Service, settings: DefaultsSettings | None = None) -> dict[str, Any]:
    done = set_defaults(new, None, settings or DefaultsSettings(), "ada")
    spec: dict[str, Any] = msgspec.to_builtins(done)["spec"]
    return spec


def test_a_minimal_service_is_completed_as_knative_does() -> None:
    assert echoed(service({"image": "hello"})) == {
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "user-container",
                        "image": "hello",
                        "resources": {},
                        "readinessProbe": {"tcpSocket": {"port": 0}, "successThreshold": 1},
                    }
                ],
                "containerConcurrency": 0,
                "timeoutSeconds": 300,
                "enableServiceLinks": False,
            }
        },
        "traffic": [{"latestRevision": True, "percent": 100}],
    }


def test_several_containers_are_numbered_around_the_names_that_are_taken() -> None:
    containers = echoed(
        service(
            {"image": "a", "ports": [{"containerPort": 1}]},
            {"image": "b", "name": "user-container-0"},
            {"image": "c"},
        )
    )["template"]["spec"]["containers"]
    assert [c["name"] for c in containers] == ["user-container-1", "user-container-0", "user-container-2"]
    assert ["readinessProbe" in c for c in containers] == [True, False, False], (
        "only the serving one is probed"
    )


def test_a_periodic_readiness_probe_gets_kubernetes_thresholds() -> None:
    spec = echoed(service({"image": "a", "readinessProbe": {"httpGet": {"path": "/"}, "periodSeconds": 5}}))
    assert spec["template"]["spec"]["containers"][0]["readinessProbe"] == {
        "httpGet": {"path": "/", "port": 0},
        "periodSeconds": 5,
        "successThreshold": 1,
        "failureThreshold": 3,
        "timeoutSeconds": 1,
    }


@pytest.mark.parametrize(
    ("declared", "default", "timeout", "stored"),
    [(None, 100, 300, 100), (None, 300, 300, None), (None, 0, 300, None), (0, 100, 300, 0), (5, 100, 300, 5)],
)
def test_the_idle_timer_is_set_only_if_it_would_go_off_before_the_timeout(
    declared: int | None, default: int, timeout: int, stored: int | None
) -> None:
    spec = echoed(
        service({"image": "a"}, timeoutSeconds=timeout, idleTimeoutSeconds=declared),
        DefaultsSettings(revision_idle_timeout_seconds=default),
    )
    assert spec["template"]["spec"].get("idleTimeoutSeconds") == stored


def test_operators_resources_fill_in_what_is_not_declared() -> None:
    operator = DefaultsSettings(
        revision_cpu_limit="1", revision_memory_limit="512Mi", revision_cpu_request="100m"
    )
    spec = echoed(service({"image": "a", "resources": {"limits": {"memory": "1Gi"}}}), operator)
    assert spec["template"]["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "1", "memory": "1Gi"},
        "requests": {"cpu": "100m"},
    }


def test_targets_say_whether_they_follow_the_latest_revision() -> None:
    document = {"spec": {"traffic": [{"revisionName": "a", "percent": 1}, {"configurationName": "c"}]}}
    route = set_defaults(decode(document, Route).resource, None, DefaultsSettings(), "ada")
    assert [t.latest_revision for t in route.spec.traffic] == [False, True]


def test_a_writer_signs_and_only_a_changed_spec_is_signed_again() -> None:
    first = set_defaults(service({"image": "a"}), None, DefaultsSettings(), "ada")
    assert first.metadata.annotations == {
        "serving.knative.dev/creator": "ada",
        "serving.knative.dev/lastModifier": "ada",
    }
    assert set_defaults(first, first, DefaultsSettings(), "bob") == first
    changed = msgspec.structs.replace(first, spec=service({"image": "b"}).spec)
    signed = set_defaults(changed, first, DefaultsSettings(), "bob").metadata.annotations
    assert signed == {"serving.knative.dev/creator": "ada", "serving.knative.dev/lastModifier": "bob"}


def test_the_cloudrun_profile_has_cloud_runs_defaults_and_limits() -> None:
    labelled = Namespace(metadata=ObjectMeta(name="p", labels={"minirun.dev/profile": "cloudrun"}))
    profile = profile_of(labelled)
    assert (profile.overflow_status, profile.public, profile.timeout_covers_whole_request) == (
        429,
        False,
        True,
    )
    limits = [profile.queue_limit.seconds(mean) for mean in (None, 0.1, 2.0, 6.0)]
    assert limits == [math.inf, 10, 10, 21]
    assert profile_of(None).queue_limit.seconds(6.0) == math.inf
    spec = echoed(service({"image": "a"}), profile.defaults_settings(DefaultsSettings()))["template"]["spec"]
    assert (spec["containerConcurrency"], spec["timeoutSeconds"]) == (80, 300)
    assert spec["containers"][0]["resources"] == {"limits": {"cpu": "1000m", "memory": "512Mi"}}
    assert profile.defaults_settings(DefaultsSettings()).max_revision_timeout_seconds == 3600


@pytest.mark.parametrize("labels", [{}, {"minirun.dev/profile": "unheard-of"}])
def test_any_other_namespace_is_knatives(labels: dict[str, str]) -> None:
    assert profile_of(Namespace(metadata=ObjectMeta(labels=labels))) is PROFILES["knative"]
    assert profile_of(None) is PROFILES["knative"]


container = st.fixed_dictionaries(
    {"image": st.just("a")},
    optional={
        "name": st.sampled_from(["", "x", "user-container-1"]),
        "ports": st.just([{"containerPort": 80}]),
        "readinessProbe": st.sampled_from([{}, {"periodSeconds": 3}, {"grpc": {"port": 1}}]),
        "resources": st.sampled_from([{}, {"limits": {"cpu": "1"}}]),
    },
)


@given(
    st.lists(container, max_size=3), st.sampled_from([None, 0, 10]), st.sampled_from(list(PROFILES.values()))
)
@settings(max_examples=60)
def test_defaulting_twice_changes_nothing(
    containers: list[dict[str, Any]], timeout: int | None, profile: Any
) -> None:
    fixed = profile.defaults_settings(DefaultsSettings())
    once = set_defaults(service(*containers, timeoutSeconds=timeout), None, fixed, "ada")
    assert set_defaults(once, once, fixed, "bob") == once


def test_a_stored_revision_stays_as_it_is_when_the_defaults_change() -> None:
    document = {"metadata": {"name": "r"}, "spec": {"containers": [{"image": "a"}]}}
    stored = set_defaults(decode(document, Revision).resource, None, DefaultsSettings(), "ada")
    others = DefaultsSettings(revision_timeout_seconds=77, revision_cpu_limit="3")
    assert set_defaults(stored, stored, others, "ada") == stored
    assert set_defaults(decode(document, Revision).resource, None, others, "ada") != stored
