"""A real kubectl for a test: its own home, so that nobody's configuration or cache is touched."""

import os
import shutil
import subprocess
from pathlib import Path

from liveplatform import Platform

GCLOUD_FOLDER = Path("/usr/lib/google-cloud-sdk/bin")


def kubectls() -> dict[str, str]:
    """Version → program: those that come with gcloud, and the one on the PATH."""
    found = {path.name.removeprefix("kubectl."): str(path) for path in GCLOUD_FOLDER.glob("kubectl.1.*")}
    on_path = shutil.which("kubectl")
    return found or ({"kubectl": on_path} if on_path else {})


class Kubectl:
    """One program, a platform that it talks to, and a namespace of its own there."""

    def __init__(self, program: str, platform: Platform, home: Path, namespace: str) -> None:
        self.program, self.platform, self.home, self.namespace = program, platform, home, namespace
        home.mkdir()
        config = home / "config"
        platform.minirun("kubeconfig", "--write", str(config))
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(config)}
        self("create", "namespace", namespace)

    def __call__(self, *arguments: str, stdin: str | None = None, status: int = 0, **environment: str) -> str:
        """What a command prints, on both streams; it must end with `status`."""
        done = subprocess.run(
            [self.program, "--namespace", self.namespace, *arguments],
            input=stdin,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        output = done.stdout + done.stderr
        assert done.returncode == status, f"{arguments}: {done.returncode}\n{output}"
        return output

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command that goes on; the caller ends it."""
        command = [self.program, "--namespace", self.namespace, *arguments]
        return subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, text=True)

    def service(self, name: str, **env: str) -> str:
        """The YAML of a Service."""
        variables = "".join(f"\n        - {{name: {key}, value: {value}}}" for key, value in env.items())
        return f"""
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {{name: {name}, namespace: {self.namespace}}}
spec:
  template:
    spec:
      containers:
      - image: hello
        env:{variables or " []"}
"""

    def deployed(self, name: str) -> None:
        """Applies a Service and waits until it is Ready."""
        self("apply", "-f", "-", stdin=self.service(name))
        self("wait", "--for=condition=Ready", f"ksvc/{name}", "--timeout=30s")
