"""What reconcilers share: labels, names, ownership, and plain conditions.

Names are those of knative/serving (pkg/apis/serving/register.go) and of knative.dev/pkg's kmeta.
"""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from minirun.model.meta import Condition, Resource, replace

SERVICE = "serving.knative.dev/service"
SERVICE_UID = "serving.knative.dev/serviceUID"
CONFIGURATION = "serving.knative.dev/configuration"
CONFIGURATION_UID = "serving.knative.dev/configurationUID"
CONFIGURATION_GENERATION = "serving.knative.dev/configurationGeneration"
REVISION = "serving.knative.dev/revision"
REVISION_UID = "serving.knative.dev/revisionUID"
ROUTING_STATE = "serving.knative.dev/routingState"
ROUTING_STATE_MODIFIED = "serving.knative.dev/routingStateModified"
ROUTES = "serving.knative.dev/routes"
NO_GC = "serving.knative.dev/no-gc"
CREATOR = "serving.knative.dev/creator"
LAST_MODIFIER = "serving.knative.dev/lastModifier"
ROLLOUT = "serving.knative.dev/rollout"
ROLLOUT_DURATION = "serving.knative.dev/rollout-duration"
VISIBILITY = "networking.knative.dev/visibility"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
PORT_ANNOTATION = "minirun.dev/port"
IDENTITY_ANNOTATION = "minirun.dev/identity"
IMAGE_NOTE_ANNOTATION = "minirun.dev/image-note"  # of a Revision: what users should know of its image

ACTIVE, RESERVE, PENDING = "active", "reserve", "pending"
MAX_NAME = 63


class Key(NamedTuple):
    """One piece of work: which reconciler, for which object."""

    reconciler: str
    namespace: str
    name: str


def child_name(parent: str, suffix: str) -> str:
    """`parent` + `suffix`, or, if that is too long, a hash in place of the parent's end (kmeta)."""
    if len(parent) + len(suffix) <= MAX_NAME:
        return parent + suffix
    digest = hashlib.md5(parent.encode(), usedforsecurity=False).hexdigest()
    return parent[: MAX_NAME - len(digest) - len(suffix)] + digest + suffix


def deployment_name(revision: str) -> str:
    """The Deployment of a revision."""
    return child_name(revision, "-deployment")


def is_controlled_by(child: Resource, owner: Resource) -> bool:
    """Whether `owner` made `child` and decides over it."""
    uid = owner.metadata.uid
    return any(ref.controller and ref.uid == uid for ref in child.metadata.owner_references)


def set_condition(conditions: Iterable[Condition], now: str, seen: Condition) -> list[Condition]:
    """The conditions of a kind without a happy one (Deployment, Pod), after one was observed.

    As in Kubernetes, the time of transition moves with the status only.
    """
    by_type = {condition.type: condition for condition in conditions}
    before = by_type.get(seen.type)
    moved = before is None or before.status != seen.status
    since = now if moved or before is None else before.last_transition_time
    by_type[seen.type] = replace(seen, last_transition_time=since)
    return [by_type[type_] for type_ in sorted(by_type)]
