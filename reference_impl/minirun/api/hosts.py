"""Which of Google's APIs a host name means: gcloud takes this server for its HTTP proxy.

Each API is an app of its own whose refusals have Google's form. Counterpart: Google's front end.
"""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Host, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from minirun.api.cloud_logging import CloudLogging
from minirun.api.cloudrun import CloudRunV1
from minirun.api.cloudrun_v2 import CloudRunV2
from minirun.api.google import refused
from minirun.api.iam import IAM
from minirun.api.managed import Managed
from minirun.api.neighbours import neighbours
from minirun.api.rest_v2 import routes as routes_v2
from minirun.api.status import StatusError
from minirun.api.tokens import TokensAPI
from minirun.telemetry.logs import LogStore


def google_app(routes: Sequence[BaseRoute]) -> ASGIApp:
    """An app that refuses as Google's APIs do."""
    return Starlette(routes=routes, exception_handlers={StatusError: refused, HTTPException: refused})


def google_hosts(
    managed: Managed, v2: CloudRunV2, logs: LogStore, iam: IAM, tokens: TokensAPI
) -> list[BaseRoute]:
    """The routes by host, and below every other host name those of the v2 API."""
    below_v2 = Mount("/v2", google_app([*iam.routes, *routes_v2(v2)]))
    policies = [Route(f"/v1{r.path}", r.endpoint, methods=r.methods) for r in iam.routes]
    run = google_app([below_v2, *policies, *CloudRunV1(managed).routes])
    others = {
        "logging": CloudLogging(managed, logs).routes,
        "iamcredentials": tokens.impersonation,
        **neighbours(managed),
    }
    return [
        Host("run.googleapis.com", run),
        Host("{region}-run.googleapis.com", run),
        *(Host(f"{api}.googleapis.com", google_app(routes)) for api, routes in others.items()),
        Host("{api}.googleapis.com", google_app([])),
        below_v2,
    ]


def origin_form(app: ASGIApp) -> ASGIApp:
    """The app, also for targets as proxies are sent them (`http://HOST/PATH`); some servers keep those."""

    async def strip(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and "://" in scope["path"]:
            scope = {**scope, "path": "/" + scope["path"].partition("://")[2].partition("/")[2]}
        await app(scope, receive, send)

    return strip
