"""Private Services, and who gets in: over real sockets, from instances, and with the real gcloud."""

import base64
import json
import shutil
import socket
import ssl
import sysconfig
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from liveplatform import Platform, free_port, running

GCLOUD = pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
SERVICES = "/apis/serving.knative.dev/v1/namespaces/demo/services"
REGIONAL, GLOBAL = {"host": "us-central1-run.googleapis.com"}, {"host": "run.googleapis.com"}
LOGGING, CREDENTIALS = {"host": "logging.googleapis.com"}, {"host": "iamcredentials.googleapis.com"}
INVOKER = "roles/run.invoker"
ROBOT = "robot@demo.iam.gserviceaccount.com"
MIRROR = '''
"""mirror: says what it was sent; below /call it calls another service, with an ID token for it."""

import http.client
import json
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit


def call(url):
    from google.auth.transport.requests import Request
    from google.oauth2.id_token import fetch_id_token

    parts = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port)
    token = fetch_id_token(Request(), url)
    connection.request("GET", "/", headers={"Host": parts.netloc, "Authorization": f"Bearer {token}"})
    return connection.getresponse().read()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/call/"):
            body = call(self.path.removeprefix("/call/"))
        else:
            body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
'''


class Cloud:
    """A platform as a project's owner sees it; the API has TLS on `tls`."""

    def __init__(self, platform: Platform, tls: str) -> None:
        self.platform, self.tls = platform, tls

    def deploy(self, name: str, **annotations: str) -> str:
        """Makes a Service of the mirror, and returns its URL when it is ready."""
        libraries = {"name": "PYTHONPATH", "value": sysconfig.get_paths()["purelib"]}
        spec = {"template": {"spec": {"containers": [{"image": "mirror", "env": [libraries]}]}}}
        body: dict[str, Any] = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "spec": spec}
        body["metadata"] = {"name": name, "annotations": annotations}
        self.platform.api.post(SERVICES, json=body, headers=REGIONAL).raise_for_status()
        self.platform.wait_until(lambda: self.ready(name) == "True", what=f"{name} to be ready")
        return str(self.show(name)["status"]["url"])

    def show(self, name: str) -> dict[str, Any]:
        shown: dict[str, Any] = self.platform.api.get(f"{SERVICES}/{name}", headers=REGIONAL).json()
        return shown

    def ready(self, name: str) -> str:
        conditions = self.show(name)["status"].get("conditions", [])
        return str(next((c["status"] for c in conditions if c["type"] == "Ready"), ""))

    def bind(self, name: str, *members: str) -> None:
        """Replaces the policy: these members may invoke."""
        policy = {"bindings": [{"role": INVOKER, "members": members}]} if members else {}
        address = f"/v1/projects/demo/locations/us-central1/services/{name}:setIamPolicy"
        self.platform.api.post(address, json={"policy": policy}, headers=GLOBAL).raise_for_status()

    def token(self, audience: str, email: str = ROBOT) -> str:
        """An ID token of a service account."""
        address = f"/v1/projects/-/serviceAccounts/{email}:generateIdToken"
        answer = self.platform.api.post(address, json={"audience": audience}, headers=CREDENTIALS)
        return str(answer.raise_for_status().json()["token"])

    def get(self, url: str, token: str = "", path: str = "/", **headers: str) -> httpx.Response:
        if token:
            headers["authorization"] = f"Bearer {token}"
        return self.platform.web.get(path, headers={"host": url.removeprefix("http://"), **headers})


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp("identity")
    (folder / "mirror").mkdir()
    (folder / "mirror" / "main.py").write_text(MIRROR)
    (folder / "mirror" / "Procfile").write_text("web: python main.py\n")
    tls = f"127.0.0.1:{free_port()}"
    with running(folder / "data", "--tls", tls) as platform:
        platform.minirun("build", str(folder / "mirror"), "-t", "mirror")
        yield Cloud(platform, tls)


@pytest.fixture(scope="module")
def private(cloud: Cloud) -> str:
    """The URL of a private Service that the robot may invoke."""
    url = cloud.deploy("private", **{"run.googleapis.com/custom-audiences": '["my-audience"]'})
    cloud.bind("private", f"serviceAccount:{ROBOT}")
    return url


def test_who_shows_nothing_is_forbidden(cloud: Cloud, private: str) -> None:
    refused = cloud.get(private, path="/a?b=c")
    assert refused.status_code == 403
    assert "Your client does not have permission to get URL <code>/a</code> from this server." in refused.text
    wanted = 'resource.labels.service_name = "private" AND severity = WARNING'
    query = {"resourceNames": ["projects/demo"], "filter": wanted}
    logged = cloud.platform.api.post("/v2/entries:list", json=query, headers=LOGGING).json()["entries"]
    assert logged[0]["textPayload"].startswith("The request was not authenticated.")
    assert logged[0]["httpRequest"]["status"] == 403


@pytest.mark.parametrize("kind", ["garbage", "forged", "for somebody else", "an access token"])
def test_a_token_that_proves_nothing_is_no_entrance(cloud: Cloud, private: str, kind: str) -> None:
    good = cloud.token(private)
    address = f"/v1/projects/-/serviceAccounts/{ROBOT}:generateAccessToken"
    token = {
        "garbage": "a.b.c",
        "forged": good[:-8] + "AAAAAAAA",
        "for somebody else": cloud.token("http://other.example"),
        "an access token": cloud.platform.api.post(address, json={}, headers=CREDENTIALS).json()[
            "accessToken"
        ],
    }[kind]
    refused = cloud.get(private, token)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == (
        'Bearer error="invalid_token" error_description="The access token could not be verified"'
    )


def test_an_invoker_gets_in_and_the_container_sees_who_but_no_usable_token(
    cloud: Cloud, private: str
) -> None:
    token = cloud.token(private)
    seen = cloud.get(private, token).json()["authorization"]
    assert seen == f"Bearer {token.rpartition('.')[0]}.SIGNATURE_REMOVED_BY_GOOGLE"
    assert cloud.get(private, cloud.token("my-audience")).status_code == 200
    assert cloud.get(private, cloud.token(f"{private}/")).status_code == 200


def test_the_serverless_header_goes_first(cloud: Cloud, private: str) -> None:
    token = f"Bearer {cloud.token(private)}"
    both = cloud.get(private, "of-the-app", **{"x-serverless-authorization": token})
    assert both.json()["authorization"] == "Bearer of-the-app"
    bad = {"x-serverless-authorization": "Bearer a.b.c"}
    assert cloud.get(private, cloud.token(private), **bad).status_code == 401


@pytest.mark.usefixtures("private")
def test_minirun_invoke_shows_the_owners_identity_where_it_is_asked_to(cloud: Cloud) -> None:
    invoke = ("invoke", "-n", "demo", "private")
    assert "answered 403 Forbidden" in cloud.platform.minirun(*invoke, check=False).stderr
    assert '"x-serverless-authorization"' in cloud.platform.minirun(*invoke, "--identity").stdout


def test_somebody_who_is_no_invoker_is_forbidden(cloud: Cloud, private: str) -> None:
    assert cloud.get(private, cloud.token(private, "other@demo.iam.gserviceaccount.com")).status_code == 403


def test_a_service_is_public_while_all_users_may_invoke_or_nobody_checks(cloud: Cloud) -> None:
    url = cloud.deploy("open")
    assert cloud.get(url).status_code == 403
    cloud.bind("open", "allUsers")
    assert cloud.get(url, "of-the-app").json()["authorization"] == "Bearer of-the-app"
    cloud.bind("open")
    assert cloud.get(url).status_code == 403
    unchecked = cloud.deploy("unchecked", **{"run.googleapis.com/invoker-iam-disabled": "True"})
    assert cloud.get(unchecked).status_code == 200


def test_a_policy_goes_with_its_service(cloud: Cloud) -> None:
    url = cloud.deploy("again")
    cloud.bind("again", "allUsers")
    assert cloud.get(url).status_code == 200
    cloud.platform.api.delete(f"{SERVICES}/again", headers=REGIONAL).raise_for_status()
    cloud.platform.wait_until(lambda: "status" not in cloud.show("again"), what="its end")
    assert cloud.get(cloud.deploy("again")).status_code == 403


def test_ingress_keeps_a_service_inside(cloud: Cloud) -> None:
    url = cloud.deploy("inside", **{"run.googleapis.com/ingress": "internal"})
    cloud.bind("inside", "allUsers")
    outside = cloud.get(url)
    assert outside.status_code == 404
    assert "Page not found" in outside.text
    assert cloud.get("http://inside.demo.svc.cluster.local").status_code == 200


def test_an_instance_calls_a_private_service_with_the_token_of_its_account(
    cloud: Cloud, private: str
) -> None:
    caller = cloud.deploy("caller")
    cloud.bind("caller", "allUsers")
    account = cloud.show("caller")["spec"]["template"]["spec"]["serviceAccountName"]
    assert b"does not have permission" in cloud.get(caller, path=f"/call/{private}").content
    cloud.bind("private", f"serviceAccount:{ROBOT}", f"serviceAccount:{account}")
    assert cloud.get(caller, path=f"/call/{private}").json()["host"] == private.removeprefix("http://")


def test_tokens_and_policies_outlive_the_platform(cloud: Cloud, private: str) -> None:
    token = cloud.token(private)
    cloud.platform.stop()
    cloud.platform.start("--tls", cloud.tls)
    assert cloud.get(private, token).status_code == 200
    assert cloud.get(private, cloud.token(private, "other@b.c")).status_code == 403


def connect(cloud: Cloud, target: str) -> tuple[socket.socket, bytes]:
    """A connection to the API's port after a CONNECT, and the answer's head."""
    sock = socket.create_connection(("127.0.0.1", cloud.platform.api_port), timeout=20)
    sock.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(1)
    return sock, head


def test_no_tunnel_leads_out_and_the_log_says_which_override_is_missing(cloud: Cloud) -> None:
    sock, head = connect(cloud, "pubsub.googleapis.com:443")
    with sock:
        assert head.startswith(b"HTTP/1.1 403 ")
    lines = [path.read_text() for path in (cloud.platform.data_dir / "logs").iterdir() if path.is_file()]
    assert "api_endpoint_overrides/pubsub" in "".join(lines)


@pytest.fixture
def kubeconfig(cloud: Cloud, tmp_path: Path) -> Path:
    file = tmp_path / "kubeconfig"
    cloud.platform.minirun("kubeconfig", "--tls", cloud.tls, "--write", str(file))
    return file


def test_a_tunnel_to_kubernetes_ends_at_our_own_tls_port(cloud: Cloud, kubeconfig: Path) -> None:
    authority = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]["certificate-authority-data"]
    trust = ssl.create_default_context(cadata=base64.b64decode(authority).decode())
    sock, head = connect(cloud, "kubernetes.default:443")
    assert head.startswith(b"HTTP/1.1 200 ")
    with trust.wrap_socket(sock, server_hostname="kubernetes.default") as tunnel:
        tunnel.sendall(b"GET /readyz HTTP/1.1\r\nHost: kubernetes.default\r\nConnection: close\r\n\r\n")
        assert tunnel.recv(1000).startswith(b"HTTP/1.1 200 ")


@pytest.fixture
def own_configuration(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's configuration of gcloud, which nobody else may touch."""
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(own))
    monkeypatch.setenv("CLOUDSDK_CORE_PROJECT", "not-this-one")
    monkeypatch.setenv("XDG_DATA_HOME", str(cloud.platform.data_dir.parent / "share"))
    return own


@GCLOUD
def test_minirun_gcloud_grants_calls_and_takes_back(cloud: Cloud, own_configuration: Path) -> None:
    url = cloud.deploy("granted")
    run = partial(cloud.platform.minirun, "gcloud")
    token = run("auth", "print-identity-token", f"--audiences={url}").stdout.strip()
    assert cloud.get(url, token).status_code == 200
    everybody = ("granted", "--member=allUsers", f"--role={INVOKER}")
    run("run", "services", "add-iam-policy-binding", *everybody)
    assert cloud.get(url).status_code == 200
    shown = json.loads(run("run", "services", "get-iam-policy", "granted", "--format=json").stdout)
    assert shown["bindings"] == [{"members": ["allUsers"], "role": INVOKER}]
    run("run", "services", "remove-iam-policy-binding", *everybody)
    assert cloud.get(url).status_code == 403
    missing = run("run", "services", "describe", "nobody", check=False)
    assert (missing.returncode, "Cannot find service" in missing.stderr) == (1, True)
    assert "unset CLOUDSDK_CORE_PROJECT" in run("--print-env").stdout
    assert list(own_configuration.iterdir()) == []


@GCLOUD
@pytest.mark.usefixtures("own_configuration")
def test_gcloud_finds_a_cluster_here_by_kubeconfig_and_as_gke(cloud: Cloud, kubeconfig: Path) -> None:
    run = partial(cloud.platform.minirun, "gcloud", "run")
    run("deploy", "onk8s", "--image=hello", "--platform=kubernetes", f"--kubeconfig={kubeconfig}")
    assert cloud.platform.get("onk8s").text == "Hello World!\n"
    gke = ("--platform=gke", "--cluster=any", "--cluster-location=us-central1-a")
    assert run("services", "list", *gke, "--format=value(metadata.name)").stdout.split() == ["onk8s"]
