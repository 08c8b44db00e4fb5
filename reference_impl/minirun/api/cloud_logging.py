"""Cloud Logging's `entries:list` over the stored log entries, for gcloud's `logs read` and `logging read`.

Counterpart: logging.googleapis.com/v2 with the resource types cloud_run_revision and cloud_run_job.
"""

import base64
from collections.abc import Iterator
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from minirun.api.google import answer, read_json
from minirun.api.logfilter import FilterError, parse_filter
from minirun.api.logs import timestamp
from minirun.api.managed import Managed
from minirun.api.status import StatusError
from minirun.model.regions import Place, place_of
from minirun.telemetry.logs import LogEntry, LogStore

PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 1000


class CloudLogging:
    """The address."""

    def __init__(self, managed: Managed, logs: LogStore) -> None:
        self._managed, self._logs = managed, logs
        self.routes = [Route("/v2/entries:list", self._list, methods=["POST"])]

    async def _list(self, request: Request) -> Response:
        body = await read_json(request)
        try:
            test = parse_filter(str(body.get("filter", "")))
            size = min(int(str(body.get("pageSize", PAGE_DEFAULT))) or PAGE_DEFAULT, PAGE_MAX)
            start = int(base64.urlsafe_b64decode(str(body.get("pageToken", ""))) or 0)
        except FilterError as error:
            raise StatusError(400, f"Unparseable filter: {error}") from None
        except ValueError:
            raise StatusError(
                400, "pageSize is a whole number, pageToken one that this server gave"
            ) from None
        found = [entry for entry in self._entries(_projects(body)) if test(entry)]
        newest_first = str(body.get("orderBy", "")).endswith("desc")
        found.sort(key=lambda entry: str(entry["timestamp"]), reverse=newest_first)
        page, after = found[start : start + size], start + size
        more = base64.urlsafe_b64encode(str(after).encode()).decode() if after < len(found) else ""
        return answer({"entries": page} | ({"nextPageToken": more} if more else {}))

    def _entries(self, projects: list[str]) -> Iterator[dict[str, Any]]:
        for project in projects:
            for place in self._managed.places(project, "-"):
                for number, entry in enumerate(self._logs.read(place.namespace)):
                    yield shown(entry, number)


def _projects(body: dict[str, Any]) -> list[str]:
    names = body.get("resourceNames") or []
    if not names or not all(str(name).startswith("projects/") for name in names):
        raise StatusError(400, 'resourceNames must name projects: ["projects/PROJECT"]')
    return sorted({str(name).split("/")[1] for name in names})


def shown(entry: LogEntry, number: int) -> dict[str, Any]:
    """A stored entry as Cloud Logging shows it.

    Args:
        number: of the entry among those of its namespace; it makes the `insertId`.
    """
    place = place_of(entry.namespace)
    payload = dict(entry.json_payload or {})
    request = payload.pop("httpRequest", None)
    body: dict[str, Any] = {"httpRequest": request} if request else {}
    if payload:
        body["jsonPayload"] = payload
    elif entry.message or not request:
        body["textPayload"] = entry.message
    if entry.trace:
        body["trace"] = f"projects/{place.project}/traces/{entry.trace}"
    if entry.span_id:
        body["spanId"] = entry.span_id
    return body | {
        "insertId": f"{entry.timestamp_unix_ns:x}-{number:x}",
        "logName": f"projects/{place.project}/logs/run.googleapis.com%2F{entry.stream}",
        "timestamp": timestamp(entry.timestamp_unix_ns),
        "receiveTimestamp": timestamp(entry.timestamp_unix_ns),
        "severity": entry.severity,
        "labels": ({"instanceId": entry.pod} if entry.pod else {}) | entry.labels,
        "resource": resource_of(entry, place),
    }


def resource_of(entry: LogEntry, place: Place) -> dict[str, Any]:
    """The monitored resource that wrote an entry."""
    here = {"location": place.region, "project_id": place.project}
    if entry.job:
        return {"type": "cloud_run_job", "labels": {"job_name": entry.job} | here}
    names = {
        "service_name": entry.service,
        "revision_name": entry.revision,
        "configuration_name": entry.configuration,
    }
    return {"type": "cloud_run_revision", "labels": names | here}
