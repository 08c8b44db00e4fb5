"""What Knative's webhook refuses, in its words. Each row is a change to a good Service and the text it gets.

The texts were taken from knative/serving pkg/apis/serving (k8s_validation_test.go, v1/*_validation_test.go).
"""

import copy
from typing import Any

import pytest

from minirun.model.decoding import decode
from minirun.model.defaults import set_defaults
from minirun.model.field_errors import FieldError, describe
from minirun.model.meta import with_meta
from minirun.model.resources import Configuration, Revision, Route, Service
from minirun.model.settings import DefaultsSettings, FeaturesSettings
from minirun.model.validation import Rules, validate

DNS_1035 = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
    "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for "
    "validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
C0 = "spec.template.spec.containers[0]"
KINDS: dict[str, Any] = {
    "Service": Service,
    "Configuration": Configuration,
    "Route": Route,
    "Revision": Revision,
}


def service(container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    containers = [{"image": "hello"} | (container or {})]
    return {"metadata": {"name": "hello"}, "spec": {"template": {"spec": {"containers": containers} | spec}}}


def containers(*declared: dict[str, Any]) -> dict[str, Any]:
    return service(containers=list(declared))


def traffic(*targets: dict[str, Any]) -> dict[str, Any]:
    document = service()
    document["spec"]["traffic"] = list(targets)
    return document


def template_metadata(**metadata: Any) -> dict[str, Any]:
    document = service()
    document["spec"]["template"]["metadata"] = metadata
    return document


def metadata(**metadata: Any) -> dict[str, Any]:
    return service() | {"metadata": {"name": "hello"} | metadata}


def probe(**fields: Any) -> dict[str, Any]:
    return service({"readinessProbe": fields})


def refusal(
    document: dict[str, Any],
    old: dict[str, Any] | None = None,
    kind: str = "Service",
    rules: Rules | None = None,
) -> str:
    """The webhook's text; empty when the document is accepted."""
    settings = DefaultsSettings()
    before = decode(old, KINDS[kind]).resource if old else None
    before = set_defaults(before, None, settings, "someone") if before else None
    new, unknown = decode(document, KINDS[kind])
    if before:  # clients write back the annotations that they read
        new = with_meta(new, annotations=before.metadata.annotations | new.metadata.annotations)
    new = set_defaults(new, before, settings, "someone")
    return describe(validate(new, before, rules or Rules(settings), unknown))


def mounting(volume: dict[str, Any], **mount: Any) -> dict[str, Any]:
    """A Service with a volume `v` and a mount of it."""
    mounted = {"volumeMounts": [{"name": "v", "mountPath": "/v"} | mount]}
    return service(mounted, volumes=[{"name": "v"} | volume])


ACCEPTED = {
    "variables and files from outside": service(
        {
            "env": [
                {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}},
                {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
            ],
            "envFrom": [{"prefix": "P_", "secretRef": {"name": "s"}}, {"configMapRef": {"name": "c"}}],
            "volumeMounts": [
                {"name": "secret", "mountPath": "/s", "subPath": "k"},
                {"name": "all", "mountPath": "/all"},
                {"name": "scratch", "mountPath": "/scratch"},
            ],
            "securityContext": {
                "runAsUser": 1000,
                "runAsNonRoot": True,
                "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
            },
            "terminationMessagePath": "/dev/termination-log",
        },
        volumes=[
            {"name": "secret", "secret": {"secretName": "s", "items": [{"key": "k", "path": "k"}]}},
            {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {
                "name": "all",
                "projected": {
                    "sources": [
                        {"secret": {"name": "s"}},
                        {"serviceAccountToken": {"path": "token", "audience": "me"}},
                        {
                            "downwardAPI": {
                                "items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]
                            }
                        },
                    ]
                },
            },
        ],
        imagePullSecrets=[{"name": "registry"}],
    ),
    "a service with an image": service(),
    "the greatest concurrency": service(containerConcurrency=1000),
    "a registry image by digest": service({"image": "gcr.io/a/b@sha256:" + "0" * 64}),
    "a registry with a port": service({"image": "localhost:5000/a/b_c:v1.2"}),
    "a port named h2c": service({"ports": [{"name": "h2c", "containerPort": 9000}]}),
    "a sidecar without a port": containers({"image": "a", "ports": [{"containerPort": 80}]}, {"image": "b"}),
    "a probe of the serving port by name": service(
        {"ports": [{"name": "http1"}], "readinessProbe": {"httpGet": {"port": "http1"}}}
    ),
    "equal requests and limits": service(
        {"resources": {"limits": {"cpu": 1}, "requests": {"cpu": "1000m", "memory": "1Gi"}}}
    ),
    "empty values of fields that must not be set": service({"stdin": False, "securityContext": {}}),
    "cluster-local visibility": metadata(labels={"networking.knative.dev/visibility": "cluster-local"}),
    "a label of somebody else's": metadata(labels={"serving.name": "x"}),
    "a rollout of whole seconds": metadata(annotations={"serving.knative.dev/rollout-duration": "2m"}),
    "a template with a name of its own": template_metadata(name="hello-first"),
    "a timeout at the limit with a response start below it": service(
        timeoutSeconds=600, responseStartTimeoutSeconds=300
    ),
    "a split with a tag": traffic(
        {"revisionName": "hello-00001", "percent": 90, "tag": "old"}, {"latestRevision": True, "percent": 10}
    ),
}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no containers": (containers(), "missing field(s): spec.template.spec.containers"),
    "no image": (service({"image": ""}), f"missing field(s): {C0}.image"),
    "an image that is none": (
        service({"image": "foo:bar:baz"}),
        f"Failed to parse image reference: {C0}.image\n"
        'image: "foo:bar:baz", error: could not parse reference: foo:bar:baz',
    ),
    "too high a concurrency": (
        service(containerConcurrency=1001),
        "expected 0 <= 1001 <= 1000: spec.template.spec.containerConcurrency",
    ),
    "a negative concurrency": (
        service(containerConcurrency=-10),
        "expected 0 <= -10 <= 1000: spec.template.spec.containerConcurrency",
    ),
    "too long a timeout": (
        service(timeoutSeconds=601),
        "expected 0 <= 601 <= 600: spec.template.spec.timeoutSeconds",
    ),
    "a response start after the timeout": (
        service(timeoutSeconds=10, responseStartTimeoutSeconds=11),
        "expected 0 <= 11 <= 10: spec.template.spec.responseStartTimeoutSeconds",
    ),
    "an idle timeout after the timeout": (
        service(timeoutSeconds=10, idleTimeoutSeconds=11),
        "expected 0 <= 11 <= 10: spec.template.spec.idleTimeoutSeconds",
    ),
    "a bad service account": (
        service(serviceAccountName="foo@bar.baz"),
        f"invalid value: foo@bar.baz: spec.template.spec.serviceAccountName\n{SUBDOMAIN}",
    ),
    "forbidden fields of a container": (
        service({"lifecycle": {"preStop": {}}, "stdin": True, "stdinOnce": True, "tty": True}),
        f"must not set the field(s): {C0}.lifecycle, {C0}.stdin, {C0}.stdinOnce, {C0}.tty",
    ),
    "forbidden fields of a pod": (
        service(hostNetwork=True, terminationGracePeriodSeconds=5),
        "must not set the field(s): spec.template.spec.hostNetwork, "
        "spec.template.spec.terminationGracePeriodSeconds",
    ),
    "a host port": (
        service({"ports": [{"containerPort": 80, "hostPort": 80}]}),
        f"must not set the field(s): {C0}.ports[0].hostPort",
    ),
    "a reserved port": (
        service({"ports": [{"containerPort": 8022}]}),
        f"invalid value: 8022 is a reserved port: {C0}.ports.containerPort\n"
        "8022 is a reserved port, please use a different value",
    ),
    "a port out of range": (
        service({"ports": [{"containerPort": 65536}]}),
        f"expected 0 <= 65536 <= 65535: {C0}.ports.containerPort",
    ),
    "a port of another protocol": (
        service({"ports": [{"containerPort": 80, "protocol": "UDP"}]}),
        f"invalid value: UDP: {C0}.ports.protocol",
    ),
    "a port with another name": (
        service({"ports": [{"containerPort": 80, "name": "http"}]}),
        f"Port name http is not allowed: {C0}.ports\nName must be empty, or one of: 'h2c', 'http1'",
    ),
    "several ports": (
        service({"ports": [{"containerPort": 80}, {"containerPort": 81}]}),
        "more than one container port is set: spec.template.spec.containers[*].ports\n"
        "Only a single port is allowed across all containers",
    ),
    "several containers without a port": (
        containers({"image": "a"}, {"image": "b"}),
        "missing field(s): spec.template.spec.containers[*].ports",
    ),
    "containers of one name": (
        containers(
            {"name": "x", "image": "a", "ports": [{"containerPort": 80}]}, {"name": "x", "image": "b"}
        ),
        'duplicate container name "x": spec.template.spec.containers[1].name',
    ),
    "the name of the queue proxy": (
        service({"name": "queue-proxy"}),
        f'"queue-proxy" is a reserved container name: {C0}.name',
    ),
    "a probe on a sidecar": (
        containers(
            {"image": "a", "ports": [{"containerPort": 80}]},
            {"image": "b", "livenessProbe": {"timeoutSeconds": 1, "httpGet": {"path": "/"}}},
        ),
        "must not set the field(s): spec.template.spec.containers[1].livenessProbe.httpGet, "
        "spec.template.spec.containers[1].livenessProbe.timeoutSeconds",
    ),
    "a reserved variable": (
        service({"env": [{"name": "PORT", "value": "80"}]}),
        f'"PORT" is a reserved environment variable: {C0}.env[0].name',
    ),
    "a variable without a name": (
        service({"env": [{"value": "80"}]}),
        f"missing field(s): {C0}.env[0].name",
    ),
    "a variable from a field of the pod": (
        service({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
        f"must not set the field(s): {C0}.env[0].valueFrom.fieldRef",
    ),
    "variables from nowhere": (
        service({"envFrom": [{"prefix": "A_"}]}),
        f"expected exactly one, got neither: {C0}.envFrom[0].configMapRef, {C0}.envFrom[0].secretRef",
    ),
    "a mount of no volume": (
        service({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}),
        f"volumeMount has no matching volume: {C0}.volumeMounts[0].name",
    ),
    "a mount on a reserved path": (
        mounting({"emptyDir": {}}, mountPath="/dev/"),
        f'mountPath "/dev" is a reserved path: {C0}.volumeMounts[0].mountPath',
    ),
    "a mount on a relative path": (
        mounting({"emptyDir": {}}, mountPath="v"),
        f"invalid value: v: {C0}.volumeMounts[0].mountPath",
    ),
    "a mount that spreads": (
        mounting({"emptyDir": {}}, mountPropagation="HostToContainer"),
        f"must not set the field(s): {C0}.volumeMounts[0].mountPropagation",
    ),
    "a volume that nobody mounts": (
        service(volumes=[{"name": "v", "emptyDir": {}}]),
        'volume with name "v" not mounted: spec.template.spec.volumes[0].name',
    ),
    "a volume of nothing": (
        mounting({}),
        "expected exactly one, got neither: "
        + ", ".join(
            f"spec.template.spec.volumes[0].{s}" for s in ("configMap", "emptyDir", "projected", "secret")
        ),
    ),
    "a volume of the machine": (
        mounting({"emptyDir": {}, "hostPath": {"path": "/"}}),
        "must not set the field(s): spec.template.spec.volumes[0].hostPath",
    ),
    "a file without a key": (
        mounting({"secret": {"secretName": "s", "items": [{"path": "p"}]}}),
        "missing field(s): spec.template.spec.volumes[0].items[0].key",
    ),
    "a token without a path": (
        mounting({"projected": {"sources": [{"serviceAccountToken": {}}]}}),
        "missing field(s): spec.template.spec.volumes[0].projected[0].serviceAccountToken.path",
    ),
    "a negative user": (
        service({"securityContext": {"runAsUser": -10}}),
        f"expected 0 <= -10 <= 2147483647: {C0}.securityContext.runAsUser",
    ),
    "a privileged container": (
        service({"securityContext": {"privileged": True, "capabilities": {"add": ["SYS_ADMIN"]}}}),
        f"must not set the field(s): {C0}.securityContext.capabilities.add, {C0}.securityContext.privileged",
    ),
    "a choice of nodes": (
        service(nodeSelector={"a": "b"}, tolerations=[{"key": "a"}]),
        "must not set the field(s): spec.template.spec.nodeSelector, spec.template.spec.tolerations",
    ),
    "two handlers in a probe": (
        probe(httpGet={"path": "/"}, tcpSocket={}),
        f"expected exactly one, got both: {C0}.readinessProbe.httpGet, {C0}.readinessProbe.tcpSocket",
    ),
    "a liveness probe without a handler": (
        service({"livenessProbe": {"periodSeconds": 1}}),
        "expected exactly one, got neither: "
        + ", ".join(f"{C0}.livenessProbe.{handler}" for handler in ("exec", "grpc", "httpGet", "tcpSocket")),
    ),
    "a probe of another port": (
        probe(tcpSocket={"port": "imap"}),
        f"invalid value: imap: {C0}.readinessProbe.tcpSocket.port\nProbe port must match container port",
    ),
    "a threshold without a period": (
        probe(tcpSocket={}, failureThreshold=3, timeoutSeconds=2),
        f"failureThreshold is disallowed when periodSeconds is zero: {C0}.readinessProbe.failureThreshold\n"
        f"timeoutSeconds is disallowed when periodSeconds is zero: {C0}.readinessProbe.timeoutSeconds",
    ),
    "a negative delay": (
        probe(tcpSocket={}, initialDelaySeconds=-1),
        f"expected 0 <= -1 <= 2147483647: {C0}.readinessProbe.initialDelaySeconds",
    ),
    "a request above its limit": (
        service({"resources": {"limits": {"memory": "1Gi"}, "requests": {"memory": "1025Mi"}}}),
        f"invalid value: 1025Mi: {C0}.resources.requests.memory\n"
        "must be less than or equal to memory limit of 1Gi",
    ),
    "a quantity that is none": (
        service({"resources": {"limits": {"cpu": "one"}}}),
        f"invalid value: one: {C0}.resources.limits.cpu\n"
        '"one" is not a quantity: write a number and, if need be, a suffix, like 500m, 2, 256Mi or 1G',
    ),
    "a label of Knative's": (
        metadata(labels={"serving.knative.dev/name": "x"}),
        'invalid key name "serving.knative.dev/name": metadata.labels',
    ),
    "another visibility": (
        metadata(labels={"networking.knative.dev/visibility": "bad-label"}),
        "invalid value: bad-label: metadata.labels.networking.knative.dev/visibility",
    ),
    "an autoscaling annotation in the wrong place": (
        metadata(annotations={"autoscaling.knative.dev/min-scale": "1"}),
        'invalid key name "autoscaling.knative.dev/min-scale": metadata.annotations\n'
        'autoscaling annotations must be put under "spec.template.metadata.annotations" to work',
    ),
    "a rollout of half a second": (
        metadata(annotations={"serving.knative.dev/rollout-duration": "500ms"}),
        "rollout-duration=500ms is not at second precision: "
        "metadata.annotations.serving.knative.dev/rollout-duration",
    ),
    "a name that starts with a digit": (
        metadata(name="1hello"),
        f"not a DNS 1035 label: [{DNS_1035}]: metadata.name",
    ),
    "a template name without the prefix": (
        template_metadata(name="other-first"),
        'invalid value: "other-first" must have prefix "hello-": spec.template.metadata.name',
    ),
    "traffic that is not all": (
        traffic({"percent": 90}),
        "Traffic targets sum to 90, want 100: spec.traffic",
    ),
    "a percentage out of range": (
        traffic({"percent": 101}, {"percent": -1}),
        "expected 0 <= -1 <= 100: spec.traffic[1].percent\nexpected 0 <= 101 <= 100: spec.traffic[0].percent",
    ),
    "a latest revision with a name": (
        traffic({"revisionName": "hello-1", "latestRevision": True, "percent": 100}),
        'may not set revisionName "hello-1" when latestRevision is true: spec.traffic[0].latestRevision',
    ),
    "no latest revision and no name": (
        traffic({"latestRevision": False, "percent": 100}),
        'may not set revisionName "" when latestRevision is false: spec.traffic[0].latestRevision',
    ),
    "a configuration in a service's traffic": (
        traffic({"configurationName": "hello", "percent": 100}),
        "must not set the field(s): spec.traffic[0].configurationName",
    ),
    "a url in a target": (
        traffic({"url": "http://x", "percent": 100}),
        "must not set the field(s): spec.traffic[0].url",
    ),
    "a tag twice": (
        traffic({"tag": "x", "percent": 50}, {"tag": "x", "percent": 50}),
        'Multiple definitions for "x": spec.traffic[0].tag, spec.traffic[1].tag',
    ),
    "a tag that is no label": (
        traffic({"tag": "X", "percent": 100}),
        f"invalid value: not a DNS 1035 label: [{DNS_1035}]: spec.traffic[0].tag",
    ),
}


@pytest.mark.parametrize("document", ACCEPTED.values(), ids=ACCEPTED)
def test_it_is_accepted(document: dict[str, Any]) -> None:
    assert refusal(document) == ""


@pytest.mark.parametrize(("document", "text"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_with_knatives_words(document: dict[str, Any], text: str) -> None:
    assert refusal(document) == text


def test_everything_that_is_wrong_is_said_at_once_and_sorted() -> None:
    document = service({"image": ""}, containerConcurrency=1001, timeoutSeconds=601)
    assert refusal(document) == (
        "expected 0 <= 1001 <= 1000: spec.template.spec.containerConcurrency\n"
        "expected 0 <= 601 <= 600: spec.template.spec.timeoutSeconds\n"
        f"missing field(s): {C0}.image"
    )


def test_a_field_that_the_operator_has_switched_on_may_be_set() -> None:
    features = FeaturesSettings.parse({"kubernetes.podspec-nodeselector": "Enabled"})
    rules = Rules(pod_fields=features.pod_fields)
    assert refusal(service(nodeSelector={"a": "b"}), rules=rules) == ""
    wrong = refusal(service(runtimeClassName="gvisor"), rules=rules)
    assert wrong == "must not set the field(s): spec.template.spec.runtimeClassName"


def test_mounts_are_read_only_but_for_empty_folders() -> None:
    document = mounting({"emptyDir": {}})
    document["spec"]["template"]["spec"]["volumes"].append({"name": "s", "secret": {"secretName": "s"}})
    container = document["spec"]["template"]["spec"]["containers"][0]
    container["volumeMounts"].append({"name": "s", "mountPath": "/s"})
    new = set_defaults(decode(document, Service).resource, None, DefaultsSettings(), "someone")
    mounts = new.spec.template.spec.containers[0].volume_mounts
    assert [mount.read_only for mount in mounts] == [False, True]


def test_equal_messages_are_joined_with_their_paths_sorted() -> None:
    errors = [FieldError("m", ("b",)), FieldError("m", ("a", "b")), FieldError("m", ("c",), "more")]
    assert describe(errors) == "m: a, b\nm: c\nmore"


def test_a_standalone_route_names_a_configuration_or_a_revision() -> None:
    route = {"metadata": {"name": "r"}, "spec": {"traffic": [{"percent": 100}]}}
    both = "spec.traffic[0].configurationName, spec.traffic[0].revisionName"
    assert refusal(route, kind="Route") == f"expected exactly one, got neither: {both}"
    route["spec"]["traffic"] = [{"percent": 100, "configurationName": "c", "revisionName": "r"}]  # type: ignore[index]
    assert refusal(route, kind="Route") == f"expected exactly one, got both: {both}"
    route["spec"]["traffic"] = [{"percent": 100, "configurationName": "c"}]  # type: ignore[index]
    assert refusal(route, kind="Route") == ""


def test_a_revision_can_not_change() -> None:
    old = {"metadata": {"name": "r"}, "spec": {"containers": [{"image": "hello:1"}]}}
    new = {"metadata": {"name": "r"}, "spec": {"containers": [{"image": "hello:2"}]}}
    assert refusal(new, old, "Revision") == (
        'Immutable fields changed (-old +new): spec\ncontainers[0].image:\n\t-: "hello:1"\n\t+: "hello:2"\n'
    )
    relabelled = {"metadata": {"name": "r", "labels": {"a": "b"}}, "spec": old["spec"]}
    assert refusal(relabelled, old, "Revision") == ""


def test_a_named_template_changes_only_with_its_name() -> None:
    old = template_metadata(name="hello-first")
    new = copy.deepcopy(old)
    new["spec"]["template"]["spec"]["containers"][0]["image"] = "hello:2"
    assert refusal(new, old).startswith(
        "Saw the following changes without a name change (-old +new): spec.template.metadata.name\n"
        'spec.containers[0].image:\n\t-: "hello"\n\t+: "hello:2"'
    )
    new["spec"]["template"]["metadata"]["name"] = "hello-second"
    assert refusal(new, old) == ""


def test_the_creator_stays_and_the_last_modifier_changes_with_the_spec() -> None:
    old = metadata(
        annotations={"serving.knative.dev/creator": "ada", "serving.knative.dev/lastModifier": "ada"}
    )
    new = metadata(
        annotations={"serving.knative.dev/creator": "bob", "serving.knative.dev/lastModifier": "bob"}
    )
    settings = DefaultsSettings()
    before = set_defaults(decode(old, Service).resource, None, settings, "ada")
    after = set_defaults(decode(new, Service).resource, before, settings, "bob")
    errors = describe(validate(after, before, Rules(settings)))
    assert errors == (
        "annotation value is immutable: metadata.annotations.serving.knative.dev/creator\n"
        "invalid value: bob: metadata.annotations.serving.knative.dev/lastModifier"
    )


def test_labels_that_name_an_owner_need_the_owner_reference() -> None:
    labels = {"serving.knative.dev/service": "hello"}
    document = {"metadata": {"name": "hello", "labels": labels}, "spec": service()["spec"]}
    wanted = "missing field(s): metadata.labels.serving.knative.dev/service"
    assert refusal(document, kind="Configuration") == wanted
    owner = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "hello", "uid": "1"}
    document["metadata"]["ownerReferences"] = [owner]
    assert refusal(document, kind="Configuration") == ""


def test_autoscaling_annotations_are_checked_where_they_belong() -> None:
    rules = Rules(check_annotations=lambda annotations: [("too big", (key,)) for key in annotations])
    document = template_metadata(annotations={"autoscaling.knative.dev/min-scale": "9"})
    path = "spec.template.metadata.annotations.autoscaling.knative.dev/min-scale"
    assert refusal(document, rules=rules) == f"too big: {path}"


def test_zero_concurrency_is_refused_where_the_operator_does_not_allow_it() -> None:
    rules = Rules(DefaultsSettings(allow_container_concurrency_zero=False))
    assert refusal(service(containerConcurrency=0), rules=rules) == (
        "expected 1 <= 0 <= 1000: spec.template.spec.containerConcurrency"
    )
