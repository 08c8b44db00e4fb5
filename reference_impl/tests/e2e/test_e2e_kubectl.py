"""Unmodified kubectl against a real platform: the oldest and the newest on this machine, and all of them."""

import json
import re
import time
from collections.abc import Iterator

import pytest
from kubectlclient import Kubectl, kubectls
from liveplatform import Platform, running

from minirun.control.pods import TERMINATION_GRACE_SECONDS

PROGRAMS = kubectls()
VERSIONS = sorted(PROGRAMS, key=lambda version: [int(n) for n in re.findall(r"\d+", version)])
ALWAYS = {*VERSIONS[:1], *VERSIONS[-1:]}

pytestmark = pytest.mark.skipif(not PROGRAMS, reason="kubectl is not installed")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("kubectl") / "data") as platform:
        yield platform


@pytest.fixture(
    scope="module",
    params=[pytest.param(v, marks=() if v in ALWAYS else pytest.mark.soak) for v in VERSIONS],
)
def kubectl(
    request: pytest.FixtureRequest, platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> Kubectl:
    namespace = f"with-{request.param.replace('.', '-')}"
    home = tmp_path_factory.mktemp("home") / "home"
    return Kubectl(PROGRAMS[request.param], platform, home, namespace)


def test_a_service_is_applied_waited_for_changed_and_deleted(kubectl: Kubectl) -> None:
    document = kubectl.service("life")
    assert "life created" in kubectl("apply", "-f", "-", stdin=document)
    assert "condition met" in kubectl("wait", "--for=condition=Ready", "ksvc/life", "--timeout=30s")
    kubectl("apply", "-f", "-", stdin=document)
    changed = kubectl.service("life", TARGET="you")
    assert "+  generation: 2" in kubectl("diff", "-f", "-", stdin=changed, status=1)
    assert "life configured" in kubectl("apply", "-f", "-", stdin=changed)
    kubectl(
        "wait", "--for=jsonpath={.status.latestReadyRevisionName}=life-00002", "ksvc/life", "--timeout=30s"
    )
    generation = kubectl("get", "ksvc", "life", "-o", "jsonpath={.metadata.generation}")
    assert generation == "2", "applying the same again changed nothing"
    assert 'life" deleted' in kubectl("delete", "ksvc", "life", "--wait", "--timeout=30s")
    assert "NotFound" in kubectl("get", "ksvc", "life", status=1)


def test_an_object_is_created_and_replaced(kubectl: Kubectl) -> None:
    assert "made created" in kubectl("create", "-f", "-", stdin=kubectl.service("made"))
    assert "already exists" in kubectl("create", "-f", "-", stdin=kubectl.service("made"), status=1)
    stored = json.loads(kubectl("get", "ksvc", "made", "-o", "json"))
    stored["spec"]["template"]["spec"]["timeoutSeconds"] = 7
    stored["metadata"].pop("resourceVersion")
    assert "made replaced" in kubectl("replace", "-f", "-", stdin=json.dumps(stored))
    path = "jsonpath={.spec.template.spec.timeoutSeconds}"
    assert kubectl("get", "ksvc", "made", "-o", path) == "7"
    kubectl("delete", "ksvc", "made", "--wait=false")


def test_an_object_is_labelled_annotated_patched_and_edited(kubectl: Kubectl) -> None:
    kubectl.deployed("many")
    assert "labeled" in kubectl("label", "ksvc", "many", "a=b")
    assert "annotate" in kubectl("annotate", "ksvc", "many", "note=here")
    kubectl("patch", "ksvc", "many", "--type=merge", "-p", '{"metadata":{"labels":{"c":"d"}}}')
    operation = '[{"op":"add","path":"/metadata/labels/e","value":"f"}]'
    kubectl("patch", "ksvc", "many", "--type=json", "-p", operation)
    refused = kubectl("patch", "ksvc", "many", "-p", "{}", status=1)
    assert "application/strategic-merge-patch+json is not supported" in refused
    assert "edited" in kubectl("edit", "ksvc", "many", KUBE_EDITOR="sed -i s/note:.here/note:\\ there/")
    labels = json.loads(kubectl("get", "ksvc", "many", "-o", "json"))["metadata"]
    assert {"a": "b", "c": "d", "e": "f"}.items() <= labels["labels"].items()
    assert labels["annotations"]["note"] == "there"
    assert kubectl("get", "ksvc", "-l", "a=b,e in (f)", "-o", "name") == "service.serving.knative.dev/many\n"
    kubectl("delete", "ksvc", "many", "--wait=false")


def test_server_side_apply_owns_what_it_applies(kubectl: Kubectl) -> None:
    document = kubectl.service("owned", TARGET="me")
    assert "owned serverside-applied" in kubectl("apply", "--server-side", "-f", "-", stdin=document)
    other = kubectl.service("owned", TARGET="you")
    conflict = kubectl("apply", "--server-side", "--field-manager=other", "-f", "-", stdin=other, status=1)
    assert "conflict" in conflict
    forced = ("apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-")
    assert "serverside-applied" in kubectl(*forced, stdin=other)
    kubectl("delete", "ksvc", "owned", "--wait=false")


def test_what_there_is_is_shown_with_knatives_columns(kubectl: Kubectl) -> None:
    kubectl.deployed("shown")
    heading, row = kubectl("get", "ksvc", "shown").splitlines()
    assert heading.split() == ["NAME", "URL", "LATESTCREATED", "LATESTREADY", "READY", "REASON"]
    assert row.split()[2:] == ["shown-00001", "shown-00001", "True"]
    wide = kubectl("get", "pods", "-o", "wide", "-l", "serving.knative.dev/service=shown")
    assert re.search(r"shown-00001-deployment-\S+ +1/1 +Running +0 +\d+s +127\.0\.0\.1", wide)
    everything = kubectl("get", "all", "--ignore-not-found")
    for kind in ("pod", "deployment.apps", "service.serving.knative.dev", "revision.serving.knative.dev"):
        assert f"\n{kind}/shown" in f"\n{everything}"
    assert "shown-00001" in kubectl("get", "ksvc", "shown", "-o", "yaml")
    assert "ingresses" in kubectl("api-resources", "--categories=networking")
    pages = kubectl("get", "configurations,routes,rev", "--chunk-size=1", "--no-headers").splitlines()
    assert sum("/shown" in line for line in pages) == 3
    by_age = kubectl("get", "ksvc", "-A", "--sort-by=.metadata.creationTimestamp", "--no-headers")
    assert re.search(rf"{kubectl.namespace} +shown ", by_age)
    kubectl("delete", "ksvc", "shown", "--wait=false")


def test_an_object_is_described_with_its_events(kubectl: Kubectl) -> None:
    kubectl.deployed("told")
    wanted = 'Created Configuration "told"'
    kubectl.platform.wait_until(lambda: wanted in kubectl("describe", "ksvc", "told"), what="the events")
    events = kubectl("get", "events", "--field-selector", "involvedObject.name=told-00001")
    assert "revision/told-00001" in events
    assert "configuration/told " not in events
    assert "Service/told" in kubectl("events", "--for=ksvc/told")
    kubectl("delete", "ksvc", "told", "--wait=false")


def test_a_watch_prints_what_changes(kubectl: Kubectl) -> None:
    watch = kubectl.start("get", "ksvc", "-w")
    try:
        kubectl.deployed("watched")
        assert watch.stdout is not None
        lines = iter(watch.stdout.readline, "")
        assert any(
            re.match(r"watched +http://\S+ +watched-00001 +watched-00001 +True", line) for line in lines
        )
    finally:
        watch.kill()
        watch.communicate()
    kubectl("delete", "ksvc", "watched", "--wait=false")


def test_what_an_instance_prints_is_shown(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=kubectl.service("loud").replace("image: hello", "image: slow-start"))
    which = ("-l", "serving.knative.dev/service=loud")
    kubectl.platform.wait_until(lambda: "loading" in kubectl("logs", *which), what="the output")
    assert "loading" in kubectl("logs", *which, "--tail=1", "--timestamps")
    followed = kubectl.start("logs", *which, "-f")
    try:
        assert followed.stdout is not None
        assert "loading" in followed.stdout.readline()
    finally:
        followed.kill()
        followed.communicate()
    kubectl("delete", "ksvc", "loud", "--wait=false")


def test_the_schema_of_a_kind_is_explained(kubectl: Kubectl) -> None:
    explained = kubectl("explain", "ksvc.spec.template", "--recursive")
    assert re.search(r"containers\s+<\[\]Container>", explained)
    assert re.search(r"secretKeyRef\s+<KeySelector>", explained)
    assert "A program that serves requests" in kubectl("explain", "ksvc")
    fields = kubectl("explain", "ksvc.spec.template.spec.containers")
    assert re.search(r"workingDir\s+<string>\s+Where it starts", fields)
    assert re.search(r"readinessProbe\s+<Probe>\s+Asked all the time", fields)
    assert "<no description>" not in fields


def test_core_objects_are_made_by_imperative_commands(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "settings", "--from-literal=a=b")
    kubectl("create", "secret", "generic", "secrets", "--from-literal=user=me")
    kubectl("create", "serviceaccount", "robot")
    kubectl("create", "service", "externalname", "alias", "--external-name=example.com")
    kubectl("patch", "configmap", "settings", "-p", '{"data":{"c":"d"}}')
    assert json.loads(kubectl("get", "cm", "settings", "-o", "jsonpath={.data}")) == {"a": "b", "c": "d"}
    assert kubectl("get", "secret", "secrets", "-o", "jsonpath={.data.user}") == "bWU="
    assert "example.com" in kubectl("get", "services", "alias"), "services alone are core/v1's"
    kubectl("delete", "cm/settings", "secret/secrets", "sa/robot", "svc/alias")


def test_questions_about_oneself_are_answered(kubectl: Kubectl) -> None:
    assert kubectl("auth", "can-i", "create", "ksvc") == "yes\n"
    assert "minirun" in kubectl("auth", "whoami")


def test_a_pod_is_deleted_in_the_time_that_it_is_given(kubectl: Kubectl) -> None:
    deaf = kubectl.service("deaf", CRASH="ignore-sigterm").replace("image: hello", "image: crash")
    kubectl("apply", "-f", "-", stdin=deaf)
    kubectl("wait", "--for=condition=Ready", "ksvc/deaf", "--timeout=30s")
    pod = kubectl("get", "pods", "-o", "name", "-l", "serving.knative.dev/service=deaf").strip()
    began = time.monotonic()
    kubectl("delete", pod, "--now", "--timeout=30s")
    assert 1 <= time.monotonic() - began < TERMINATION_GRACE_SECONDS / 2, "--now is one second"
    kubectl("delete", "ksvc", "deaf", "--wait=false")


MAPPING = """
apiVersion: serving.knative.dev/v1beta1
kind: DomainMapping
metadata: {name: DOMAIN}
spec: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: mapped}}
"""
CLAIM = """
apiVersion: networking.internal.knative.dev/v1alpha1
kind: ClusterDomainClaim
metadata: {name: DOMAIN}
spec: {namespace: NAMESPACE}
"""
SHOWS_HOSTS = """
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        names = "Host", "X-Forwarded-Host"
        self.wfile.write(" ".join(str(self.headers[name]) for name in names).encode())

http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def test_a_domain_is_claimed_and_mapped_to_an_app_that_sees_its_own_name(
    kubectl: Kubectl, platform: Platform
) -> None:
    domain = f"shop.{kubectl.namespace}.example.com"
    service = json.loads(
        kubectl("create", "-f", "-", "--dry-run=client", "-o", "json", stdin=kubectl.service("mapped"))
    )
    service["spec"]["template"]["spec"]["containers"][0]["command"] = ["python3", "-c", SHOWS_HOSTS]
    kubectl("apply", "-f", "-", stdin=json.dumps(service))
    wrong = CLAIM.replace("DOMAIN", domain).replace("namespace: NAMESPACE", "")
    assert "missing field(s): spec.namespace" in kubectl("create", "-f", "-", stdin=wrong, status=1)
    kubectl("create", "-f", "-", stdin=CLAIM.replace("DOMAIN", domain).replace("NAMESPACE", "other"))
    kubectl("create", "-f", "-", stdin=MAPPING.replace("DOMAIN", domain))
    kubectl("wait", "--for=condition=DomainClaimed=false", f"dm/{domain}", "--timeout=30s")
    kubectl("patch", "cdc", domain, "--type=merge", "-p", f'{{"spec":{{"namespace":"{kubectl.namespace}"}}}}')
    kubectl("wait", "--for=condition=Ready", "ksvc/mapped", f"dm/{domain}", "--timeout=30s")
    own = f"mapped.{kubectl.namespace}"
    assert platform.get(domain).text == f"{own}.svc.cluster.local {domain}"
    assert platform.get(f"{own}.localhost").text == f"{own}.localhost None"
    kubectl("delete", f"dm/{domain}", f"cdc/{domain}", "ksvc/mapped", "--wait=false")


def test_an_unknown_field_is_refused(kubectl: Kubectl) -> None:
    wrong = kubectl.service("wrong").replace("containers:", "containerz:")
    refused = kubectl("apply", "-f", "-", stdin=wrong, status=1)
    assert 'strict decoding error: unknown field "spec.template.spec.containerz"' in refused


def test_a_namespace_goes_with_all_that_is_in_it(kubectl: Kubectl) -> None:
    kubectl("create", "namespace", f"{kubectl.namespace}-gone")
    kubectl("create", "configmap", "inside", "-n", f"{kubectl.namespace}-gone", "--from-literal=a=b")
    kubectl("delete", "namespace", f"{kubectl.namespace}-gone", "--timeout=30s")
    assert "NotFound" in kubectl("get", "namespace", f"{kubectl.namespace}-gone", status=1)
