"""The two profiles of a namespace: `knative` and `cloudrun`, as one table.

A namespace's label `minirun.dev/profile` alone decides defaults, limits, what a timeout means, what a full
revision answers and who may call. The fronts translate shapes, never behaviour. Sources: Knative's
config-defaults; Cloud Run's documentation on concurrency, instance autoscaling (how long requests queue),
request timeouts, quotas and authentication.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from minirun.model import cloudrun
from minirun.model.field_errors import Errors
from minirun.model.regions import DATA_DOMAINS
from minirun.model.resources import Namespace, RevisionTemplate
from minirun.model.settings import SIDECAR_PROBES, DefaultsSettings

PROFILE_LABEL: Final = "minirun.dev/profile"


class QueueLimit(NamedTuple):
    """How long a request may wait for an instance: so many times the mean start-up time, or longer."""

    start_ups: float
    min_seconds: float

    def seconds(self, mean_start_up_seconds: float | None) -> float:
        """The limit; infinite if no start-up was seen yet (None): how long one takes nobody knows."""
        if mean_start_up_seconds is None:
            return math.inf
        return max(self.min_seconds, self.start_ups * mean_start_up_seconds)


NO_LIMIT: Final = QueueLimit(start_ups=0, min_seconds=math.inf)


@dataclass(frozen=True, slots=True)
class Profile:
    """A row of the table.

    `timeout_covers_whole_request`: `timeoutSeconds` bounds the request from arrival to its last byte;
    otherwise the time to the first byte of the response. `overflow_status`: the answer to a request that
    finds the queue full, or waits in it for longer than `queue_limit`. `public`: callers need no identity.
    `max_scale`: instances of a revision that sets none; 0 is no limit. `pod_fields`: what may be set of a pod
    although Knative has it switched off. `run_domains`: Services answer as `NAME-HASH-CODE` under each of
    these, and the first is in their addresses. `email_accounts`: service accounts are e-mail addresses.
    `logs_requests`: every request has a log entry, with its whole URL. `metadata_server`: each instance has
    one. `secrets_have_versions`: the keys of a Secret are its versions, and `latest` is the highest.
    `signs_metadata`: whoever changes only labels or annotations is the last modifier, too. `defaults`: the
    values of `config-defaults` that the profile fixes, by field name. `complete` fills in what a template of
    a namespace leaves open, beyond those; `check` gives what is wrong with one, beyond Knative's rules.
    """

    timeout_covers_whole_request: bool
    overflow_status: int
    public: bool
    max_scale: int
    queue_limit: QueueLimit = NO_LIMIT
    run_domains: tuple[str, ...] = ()
    email_accounts: bool = False
    metadata_server: bool = False
    logs_requests: bool = False
    secrets_have_versions: bool = False
    signs_metadata: bool = False
    defaults: dict[str, int | str | bool] = field(default_factory=dict)
    pod_fields: frozenset[str] = frozenset()
    complete: Callable[[RevisionTemplate, str], RevisionTemplate] = lambda template, namespace: template
    check: Callable[[RevisionTemplate], Errors] = lambda template: iter(())

    def defaults_settings(self, settings: DefaultsSettings) -> DefaultsSettings:
        """The operators' `config-defaults` with what the profile fixes put over them."""
        return replace(settings, **self.defaults)  # type: ignore[arg-type]  # the table names fields only


PROFILES: Final = {
    "knative": Profile(timeout_covers_whole_request=False, overflow_status=503, public=True, max_scale=0),
    "cloudrun": Profile(
        timeout_covers_whole_request=True,
        overflow_status=429,
        public=False,
        max_scale=100,
        queue_limit=QueueLimit(start_ups=3.5, min_seconds=10),
        run_domains=DATA_DOMAINS,
        email_accounts=True,
        metadata_server=True,
        logs_requests=True,
        secrets_have_versions=True,
        signs_metadata=True,
        defaults={
            "container_concurrency": 80,
            "container_concurrency_max_limit": 1000,
            "allow_container_concurrency_zero": False,
            "revision_timeout_seconds": 300,
            "max_revision_timeout_seconds": 3600,
            "revision_response_start_timeout_seconds": 0,
            "revision_cpu_limit": "1000m",
            "revision_memory_limit": "512Mi",
            "readiness_probe": False,
        },
        pod_fields=frozenset({"nodeSelector", "runtimeClassName", "csi", "nfs", SIDECAR_PROBES}),
        complete=cloudrun.complete,
        check=cloudrun.check,
    ),
}


def profile_of(namespace: Namespace | None) -> Profile:
    """The profile of a namespace; `knative` where its label names none (or the namespace is not there)."""
    name = namespace.metadata.labels.get(PROFILE_LABEL, "") if namespace else ""
    return PROFILES.get(name, PROFILES["knative"])
