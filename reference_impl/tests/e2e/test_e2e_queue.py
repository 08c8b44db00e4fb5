"""A request that finds no room in the cloudrun profile: it queues for ten seconds, and no longer."""

import time
from pathlib import Path
from typing import Any

from liveplatform import running

SERVICES = "/apis/serving.knative.dev/v1/namespaces/demo/services"
REGIONAL, LOGGING = {"host": "us-central1-run.googleapis.com"}, {"host": "logging.googleapis.com"}
ONE_REQUEST = {
    "apiVersion": "serving.knative.dev/v1",
    "kind": "Service",
    "metadata": {"name": "busy", "annotations": {"run.googleapis.com/invoker-iam-disabled": "true"}},
    "spec": {
        "template": {
            "metadata": {"annotations": {"autoscaling.knative.dev/maxScale": "1"}},
            "spec": {"containers": [{"image": "stream"}], "containerConcurrency": 1},
        }
    },
}


def test_a_request_that_no_instance_can_take_is_told_so_after_ten_seconds(tmp_path: Path) -> None:
    with running(tmp_path / "data") as platform:
        platform.api.post(SERVICES, json=ONE_REQUEST, headers=REGIONAL).raise_for_status()

        def status() -> dict[str, Any]:
            shown = platform.api.get(f"{SERVICES}/busy", headers=REGIONAL).json()
            return dict(shown.get("status", {}))

        platform.wait_until(
            lambda: {"Ready": "True"} in [{c["type"]: c["status"]} for c in status().get("conditions", [])]
        )
        host = {"host": str(status()["url"]).removeprefix("http://")}
        endless = {"count": "1000000", "interval": "100"}
        with platform.web.stream("GET", "/", params=endless, headers=host) as served:
            assert served.status_code == 200
            began = time.monotonic()
            refused = platform.web.get("/", headers=host)
            assert (refused.status_code, refused.text) == (429, "Rate exceeded.\n")
            assert 10 <= time.monotonic() - began < 20
        wanted = 'resource.labels.service_name = "busy" AND severity = WARNING'
        query = {"resourceNames": ["projects/demo"], "filter": wanted}
        logged = platform.api.post("/v2/entries:list", json=query, headers=LOGGING).json()["entries"][0]
        text = "The request was aborted because there was no available instance."
        assert (logged["textPayload"], logged["httpRequest"]["status"]) == (text, 429)
