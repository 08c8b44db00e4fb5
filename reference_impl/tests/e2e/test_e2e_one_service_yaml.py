"""One service.yaml through every client into one namespace: the same Service, and it comes back whole."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from liveplatform import Platform, running

import minirun

FILE = Path(minirun.__file__).parent / "samples" / "service.yaml"
NAMESPACE = "demo"  # for gcloud: the project
SERVICE = f"/apis/serving.knative.dev/v1/namespaces/{NAMESPACE}/services/greeter"
NOT_DECLARED = (
    "serving.knative.dev/",
    "client.knative.dev/",
    "run.googleapis.com/",
    "kubectl.kubernetes.io/last-applied",
)
MINIRUN = (sys.executable, "-m", "minirun")
APPLY = {
    "minirun": (*MINIRUN, "apply", "-n", NAMESPACE, "-f"),
    "kubectl": ("kubectl", "apply", "-n", NAMESPACE, "-f"),
    "kn": ("kn", "service", "apply", "-n", NAMESPACE, "-f"),
    "gcloud": (*MINIRUN, "gcloud", "run", "services", "replace", "--async"),
}
EXPORT = {
    "minirun": (*MINIRUN, "export", "-n", NAMESPACE, "greeter"),
    "kubectl": ("kubectl", "get", "ksvc", "-n", NAMESPACE, "-o", "yaml", "greeter"),
    "kn": ("kn", "service", "export", "-n", NAMESPACE, "-o", "yaml", "greeter"),
    "gcloud": (*MINIRUN, "gcloud", "run", "services", "describe", "--format=export", "greeter"),
}
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{{name: minirun, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
contexts: [{{name: minirun, context: {{cluster: minirun, user: minirun}}}}]
users: [{{name: minirun, user: {{}}}}]
current-context: minirun
"""


class Desk:
    """Where a user sits: clients whose configuration leads to one platform, and to nothing else."""

    def __init__(self, platform: Platform, home: Path) -> None:
        self.platform = platform
        home.mkdir()
        (home / "kubeconfig").write_text(KUBECONFIG.format(port=platform.api_port))
        kept = {k: v for k, v in platform.environment.items() if not k.startswith(("CLOUDSDK_", "XDG_"))}
        self.environment = {**kept, "HOME": str(home), "KUBECONFIG": str(home / "kubeconfig")}

    def run(self, command: tuple[str, ...], *more: str) -> str:
        done = subprocess.run(
            (*command, *more), env=self.environment, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def service(self) -> dict[str, Any]:
        answer = self.platform.api.get(SERVICE)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def delete(self) -> None:
        self.platform.api.delete(SERVICE)
        self.platform.wait_until(lambda: self.platform.api.get(SERVICE).status_code == 404, what="its end")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("one service")
    with running(folder / "data") as platform:
        namespace = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": {"minirun.dev/profile": "cloudrun"}},
        }
        platform.api.post("/api/v1/namespaces", json=namespace).raise_for_status()
        yield Desk(platform, folder / "home")


def declared(service: dict[str, Any]) -> dict[str, Any]:
    """What the user declared, as it is stored: without who did it, what clients add, and defaults shown."""

    def own(metadata: dict[str, Any]) -> dict[str, str]:
        notes = metadata.get("annotations", {})
        return {k: v for k, v in notes.items() if not k.startswith(NOT_DECLARED)}

    template = service["spec"]["template"]
    metadata = {**template["metadata"], "annotations": own(template["metadata"])}
    metadata.pop("name", None)  # gcloud names the revision
    spec = {**service["spec"], "template": {**template, "metadata": metadata}}
    return {"labels": service["metadata"]["labels"], "annotations": own(service["metadata"]), "spec": spec}


@pytest.mark.parametrize("client", APPLY)
def test_each_client_deploys_the_same_and_gets_back_what_it_can_apply_again(
    desk: Desk, client: str, tmp_path: Path
) -> None:
    if client != "minirun" and shutil.which(client) is None:
        pytest.skip(f"{client} is not installed")
    desk.run(APPLY["minirun"], str(FILE))
    wanted = declared(desk.service())
    desk.delete()

    desk.run(APPLY[client], str(FILE))
    first = desk.service()
    assert declared(first) == wanted

    again = tmp_path / "again.yaml"
    again.write_text(desk.run(EXPORT[client]))
    assert yaml.safe_load(again.read_text())["metadata"]["name"] == "greeter"
    desk.run(APPLY[client], str(again))
    assert declared(desk.service()) == wanted
    desk.delete()
    desk.run(APPLY[client], str(again))
    assert declared(desk.service()) == wanted
    desk.delete()
