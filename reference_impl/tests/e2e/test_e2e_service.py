"""A Service's life on a real platform: real processes, real sockets, the commands a user types."""

import collections
import json
import signal
import threading
from pathlib import Path

import pytest
from liveplatform import SERVING, Platform, conditions, free_port, manifest


@pytest.mark.runtime
def test_a_service_is_deployed_called_and_goes_to_zero_and_back(any_platform: Platform) -> None:
    any_platform.minirun("deploy", "hello", "--image", "hello", "--env", "TARGET=moon")
    first = any_platform.get("hello")  # the first request after Ready succeeds
    assert first.status_code == 200
    assert "moon" in first.text
    assert any_platform.pods("hello")

    any_platform.wait_until(lambda: not any_platform.pods("hello"), 40, "scale to zero")
    assert conditions(any_platform.api.get(f"{SERVING}/revisions/hello-00001").json())["Active"] == "False"
    assert conditions(any_platform.api.get(f"{SERVING}/services/hello").json())["Ready"] == "True"

    assert any_platform.get("hello").status_code == 200
    assert len(any_platform.pods("hello")) == 1


@pytest.mark.runtime
def test_traffic_is_split_exactly_by_tag_and_percent_and_rolled_back(any_platform: Platform) -> None:
    any_platform.minirun("deploy", "hello", "--image", "hello", "--env", "TARGET=one")
    any_platform.minirun(
        "deploy", "hello", "--image", "hello", "--env", "TARGET=two", "--no-traffic", "--tag", "new"
    )
    assert "two" in any_platform.get("new-hello.default.localhost").text
    assert "two" in any_platform.get("hello", headers={"Knative-Serving-Tag": "new"}).text
    assert "one" in any_platform.get("hello").text

    any_platform.minirun("traffic", "hello", "--to", "hello-00001=80", "--to", "hello-00002=20")
    seen = collections.Counter("two" in any_platform.get("hello").text for _ in range(100))
    assert seen == {False: 80, True: 20}

    any_platform.minirun("traffic", "hello", "--to", "hello-00001=100")
    assert all("one" in any_platform.get("hello").text for _ in range(20))


@pytest.mark.runtime
def test_a_prober_sees_only_200_while_the_image_is_replaced(any_platform: Platform) -> None:
    any_platform.minirun("deploy", "hello", "--image", "hello", "--env", "TARGET=v1")
    stop, seen = threading.Event(), []

    def probe() -> None:
        while not stop.is_set():
            seen.append(any_platform.get("hello").status_code)

    prober = threading.Thread(target=probe)
    prober.start()
    for version in range(2, 5):
        any_platform.minirun("deploy", "hello", "--image", "hello", "--env", f"TARGET=v{version}")
        assert f"v{version}" in any_platform.minirun("invoke", "hello").stdout
    stop.set()
    prober.join()
    assert set(seen) == {200}
    assert len(seen) > 50


def test_a_bad_deploy_says_why_and_does_not_take_traffic_from_a_working_revision(platform: Platform) -> None:
    platform.minirun("deploy", "hello", "--image", "hello", "--env", "TARGET=good")
    failed = platform.minirun("deploy", "hello", "--image", "crash", "--env", "CRASH=exit:3", check=False)
    assert failed.returncode != 0
    assert "hello-00002" in failed.stderr
    assert "good" in platform.get("hello").text
    service = platform.api.get(f"{SERVING}/services/hello").json()
    assert service["status"]["latestReadyRevisionName"] == "hello-00001"
    assert conditions(service)["ConfigurationsReady"] == "False"

    platform.minirun("deploy", "hello", "--image", "hello", "--env", "TARGET=better")
    assert "better" in platform.get("hello").text


def test_deleting_a_service_takes_everything_with_it(platform: Platform) -> None:
    platform.minirun("deploy", "hello", "--image", "hello")
    platform.minirun("services", "delete", "hello")
    assert platform.get("hello").status_code == 404
    for plural in ("services", "configurations", "routes", "revisions"):
        platform.wait_until(lambda p=plural: not platform.api.get(f"{SERVING}/{p}").json()["items"])
    platform.wait_until(lambda: not platform.pods())


def test_your_own_folder_is_built_deployed_and_its_log_lines_are_read_back(
    platform: Platform, tmp_path: Path
) -> None:
    source = tmp_path / "my app"
    source.mkdir()
    (source / "Procfile").write_text("web: python main.py\n")
    (source / "main.py").write_text(
        "import http.server, json, os\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        print(json.dumps({'severity': 'WARNING', 'message': 'seen ' + self.path}), flush=True)\n"
        "        self.send_response(200); self.end_headers()\n"
        "        self.wfile.write(os.environ['K_SERVICE'].encode())\n"
        "    def log_message(self, *a): pass\n"
        "http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), H).serve_forever()\n"
    )
    platform.minirun("deploy", "mine", "--source", str(source))
    assert platform.get("mine", "/page").text == "mine"
    platform.wait_until(lambda: "seen /page" in platform.minirun("logs", "mine").stdout, what="the log line")
    assert "WARNING" in platform.minirun("logs", "mine").stdout
    assert "mine" in platform.minirun("images", "list").stdout


def test_applying_what_was_exported_changes_nothing(platform: Platform, tmp_path: Path) -> None:
    platform.minirun(
        "deploy", "hello", "--image", "hello", "--concurrency", "7", "--max", "3", "--timeout", "20"
    )
    before = platform.api.get(f"{SERVING}/services/hello").json()
    exported = tmp_path / "service.yaml"
    exported.write_text(platform.minirun("export", "hello").stdout)
    platform.minirun("apply", "-f", str(exported))
    after = platform.api.get(f"{SERVING}/services/hello").json()
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert after["spec"] == before["spec"]


def test_an_app_gets_its_variables_from_config_maps_and_secrets(platform: Platform) -> None:
    core, body = "/api/v1/namespaces/default", manifest("configured")
    [container] = body["spec"]["template"]["spec"]["containers"]
    container["envFrom"] = [{"prefix": "SITE_", "configMapRef": {"name": "site"}}]
    password = {"secretKeyRef": {"name": "db", "key": "password"}}
    container["env"] = [
        {"name": "PASSWORD", "valueFrom": password},
        {"name": "TARGET", "value": "$(SITE_HOST)/$(PASSWORD)"},
    ]
    assert platform.api.post(f"{SERVING}/services", json=body).status_code == 201

    def ready() -> dict[str, str]:
        found: dict[str, str] = conditions(platform.api.get(f"{SERVING}/services/configured").json())
        return found

    platform.wait_until(lambda: ready().get("Ready") == "False", what="the missing ConfigMap to be told")
    site = {"metadata": {"name": "site"}, "data": {"HOST": "a.example"}}
    assert platform.api.post(f"{core}/configmaps", json=site).status_code == 201
    secret = {"metadata": {"name": "db"}, "stringData": {"password": "s3cret"}}
    assert platform.api.post(f"{core}/secrets", json=secret).status_code == 201
    platform.wait_until(lambda: ready().get("Ready") == "True", what="the service to recover")
    assert platform.get("configured").text.strip() == "Hello a.example/s3cret!"


WEB = """
import os, sys, urllib.request, http.server
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(urllib.request.urlopen(os.environ["BACKEND"]).read())
    def log_message(self, *a): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), H)
print(sys.argv[1], "of", os.environ["K_SERVICE"], flush=True)
server.serve_forever()
"""
SIDE = WEB.replace(
    'urllib.request.urlopen(os.environ["BACKEND"]).read()', 'os.environ["K_REVISION"].encode()'
)


def test_a_sidecar_shares_loopback_has_its_own_log_and_starts_first_when_it_must(platform: Platform) -> None:
    features = {"metadata": {"name": "config-features"}, "data": {"multi-container-probing": "enabled"}}
    system = "/api/v1/namespaces/knative-serving/configmaps"
    assert platform.api.post(system, json=features).status_code == 201
    body = manifest("pair", **{"run.googleapis.com/container-dependencies": '{"web": ["side"]}'})
    port = free_port()
    backend = [{"name": "BACKEND", "value": f"http://localhost:{port}/"}]
    web = {"image": "hello", "name": "web", "command": ["python", "-c", WEB, "web"], "env": backend}
    side = {"image": "hello", "name": "side", "command": ["python", "-c", SIDE, "side"]}
    body["spec"]["template"]["spec"]["containers"] = [
        web | {"ports": [{"containerPort": 8080}]},
        side
        | {
            "env": [{"name": "PORT", "value": str(port)}],
            "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
        },
    ]
    made = platform.api.post(f"{SERVING}/services", json=body)
    assert made.status_code == 201, made.text

    def pair() -> tuple[str, str]:
        seen = platform.api.get(f"{SERVING}/services/pair").json()
        return conditions(seen).get("Ready", ""), seen["status"].get("latestReadyRevisionName", "")

    platform.wait_until(lambda: pair() == ("True", "pair-00001"))
    assert platform.get("pair").text == "pair-00001"
    [pod] = platform.pods("pair")
    statuses = [(c["name"], c["ready"]) for c in pod["status"]["containerStatuses"]]
    assert statuses == [("web", True), ("side", True)]
    log = f"/api/v1/namespaces/default/pods/{pod['metadata']['name']}/log"
    for name in ("web", "side"):
        assert platform.api.get(log, params={"container": name}).text == f"{name} of pair\n"
    unclear = platform.api.get(log)
    assert (unclear.status_code, "choose one of: [web side]" in unclear.text) == (400, True)
    assert platform.api.get(log, params={"container": "x"}).status_code == 400

    template = {"metadata": {"annotations": {"example.com/again": "1"}}}
    merge = {"content-type": "application/merge-patch+json"}
    change = json.dumps({"spec": {"template": template}})
    patched = platform.api.patch(f"{SERVING}/services/pair", content=change, headers=merge)
    assert patched.status_code == 200, patched.text
    platform.wait_until(lambda: pair() == ("True", "pair-00002"), what="a second one beside it")
    assert platform.get("pair").text == "pair-00002"
    platform.minirun("services", "delete", "pair")
    platform.wait_until(lambda: not platform.pods("pair"), what="all to end")


READER = """
import os, http.server
path = os.environ.get("MINIRUN_MOUNTS", "") + "/etc/site/pages/index"
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(open(path, "rb").read())
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), H).serve_forever()
"""


def test_an_app_finds_its_volumes_under_the_root_that_it_is_told(platform: Platform) -> None:
    body = manifest("reader")
    spec = body["spec"]["template"]["spec"]
    spec["containers"][0] |= {
        "command": ["python", "-c", READER],
        "volumeMounts": [{"name": "site", "mountPath": "/etc/site"}],
    }
    items = [{"key": "home", "path": "pages/index"}]
    spec["volumes"] = [{"name": "site", "configMap": {"name": "pages", "items": items}}]
    pages = {"metadata": {"name": "pages"}, "data": {"home": "welcome"}}
    assert platform.api.post("/api/v1/namespaces/default/configmaps", json=pages).status_code == 201
    made = platform.api.post(f"{SERVING}/services", json=body)
    assert made.status_code == 201, made.text
    platform.wait_until(
        lambda: conditions(platform.api.get(f"{SERVING}/services/reader").json()).get("Ready") == "True"
    )
    assert platform.get("reader").text == "welcome"
    assert "put $MINIRUN_MOUNTS" in platform.minirun("logs", "reader").stdout


def test_it_ends_cleanly_on_sigterm_and_on_ctrl_c_and_leaves_no_process(machine: Platform) -> None:
    for how in (signal.SIGTERM, signal.SIGINT):
        machine.start()
        machine.minirun("deploy", "hello", "--image", "hello")
        assert machine.get("hello").status_code == 200
        assert machine.stop(how) == 0
        assert machine.instance_processes() == []


def test_a_service_made_over_the_bare_api_is_served(platform: Platform) -> None:
    made = platform.api.post(
        f"{SERVING}/services", json=manifest("bare"), params={"fieldValidation": "Strict"}
    )
    assert made.status_code == 201, made.text
    platform.wait_until(
        lambda: conditions(platform.api.get(f"{SERVING}/services/bare").json()).get("Ready") == "True"
    )
    assert platform.get("bare").status_code == 200
    assert platform.get("bare.default.svc.cluster.local").status_code == 200


def test_what_a_service_is_made_of_comes_back_when_somebody_deletes_it(platform: Platform) -> None:
    platform.minirun("deploy", "hello", "--image", "hello")
    for address in (
        "/apis/apps/v1/namespaces/default/deployments",
        "/apis/autoscaling.internal.knative.dev/v1alpha1/namespaces/default/podautoscalers",
        "/apis/networking.internal.knative.dev/v1alpha1/namespaces/default/serverlessservices",
        "/apis/networking.internal.knative.dev/v1alpha1/namespaces/default/ingresses",
    ):
        (there,) = (each["metadata"] for each in platform.api.get(address).json()["items"])
        place = f"{address}/{there['name']}"
        assert platform.api.delete(place).status_code == 200

        def is_new(place: str = place, uid: str = there["uid"]) -> bool:
            found = platform.api.get(place)
            return found.status_code == 200 and found.json()["metadata"]["uid"] != uid

        platform.wait_until(is_new, what=f"a new {place}")
        assert platform.get("hello").status_code == 200
