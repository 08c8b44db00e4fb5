"""Lab 05 live: the whole platform with the learner's autoscaler in it, as a client sees it."""

from random import Random
from typing import Any

import pytest

from minilab.part import Part

SERVICES = "/apis/serving.knative.dev/v1/namespaces/default/services"
DEPLOYMENT = "/apis/apps/v1/namespaces/default/deployments/{}-00001-deployment"
WHY = "a burst is answered by more instances, and no request is lost"
HOST = "{}.default.localhost"


def service(name: str, image: str, concurrency: int) -> dict[str, Any]:
    spec = {"containerConcurrency": concurrency, "containers": [{"image": image}]}
    head = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": name}}
    return {**head, "spec": {"template": {"spec": spec}}}


def ready(name: str) -> dict[str, Any]:
    field = ["status", "conditions", "Ready", "status"]
    return {"until": f"{SERVICES}/{name}", "field": field, "is": "True", "seconds": 10}


@pytest.mark.task("scenario")
def test_burst(part: Part, rng: Random) -> None:
    """A burst of slow requests is answered by several instances."""
    name, milliseconds = f"burst-{rng.randrange(10**6)}", rng.randint(1100, 1400)
    requests = [{"host": HOST.format(name), "path": f"/?sleep={milliseconds}"}] * 6
    steps: list[dict[str, Any]] = [
        {"apply": {SERVICES: service(name, "sleep", 1)}},
        ready(name),
        {"requests": requests, "parallel": 6},
        {"get": DEPLOYMENT.format(name)},
    ]
    part.holds("play", {"steps": steps}, _answered_by_several, "six answers, and more than one instance", WHY)


def _answered_by_several(came: list[Any]) -> str:
    _, is_ready, answers, deployment = came
    if is_ready is not True:
        return "the Service did not get ready"
    refused = [answer for answer in answers if answer[0] != 200 or "Slept for" not in answer[1]]
    if refused:
        return f"{len(refused)} of the requests were not answered"
    replicas = deployment.get("spec", {}).get("replicas", 1)
    return "" if 2 <= replicas <= 20 else f"the platform wanted {replicas} instances"
