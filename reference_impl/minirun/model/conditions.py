"""Conditions: what an object says of itself, and how the happy one follows from the others.

Each kind has a happy condition (`Ready`) and the conditions it depends on, in the table `CONDITION_SETS`.
Ready is True when all of those are True, False when one is False, Unknown otherwise, and it repeats the
reason and the message of the one that keeps it from being True. Conditions outside the set (a Revision's
`Active`) inform and never decide. Counterpart: knative.dev/pkg apis.ConditionManager ("living condition
sets"). Pure.
"""

from collections.abc import Iterable, Sequence

from minirun.model.meta import Condition, replace

READY = "Ready"
TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"

CONDITION_SETS: dict[str, tuple[str, ...]] = {
    "Service": ("ConfigurationsReady", "RoutesReady"),
    "Configuration": (),
    "Revision": ("ResourcesAvailable", "ContainerHealthy"),
    "Route": ("AllTrafficAssigned", "IngressReady", "CertificateProvisioned"),
    "PodAutoscaler": ("Active", "ScaleTargetInitialized", "SKSReady"),
    "ServerlessService": ("EndpointsPopulated",),
    "Ingress": ("NetworkConfigured", "LoadBalancerReady"),
    "DomainMapping": ("DomainClaimed", "ReferenceResolved", "IngressReady", "CertificateProvisioned"),
}


def find(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """The condition of that type, or None."""
    return next((c for c in conditions if c.type == type_), None)


def is_true(conditions: Iterable[Condition], type_: str = READY) -> bool:
    """Whether the condition of that type is there and True."""
    return status_of(conditions, type_) == TRUE


def status_of(conditions: Iterable[Condition], type_: str = READY) -> str:
    """ "True", "False" or "Unknown"; a condition that is not there is Unknown."""
    found = find(conditions, type_)
    return found.status if found else UNKNOWN


def mark(
    kind: str,
    conditions: Sequence[Condition],
    now: str,
    type_: str,
    status: str,
    reason: str = "",
    message: str = "",
) -> list[Condition]:
    """The conditions after one of them was observed.

    Args:
        kind: the object's kind, a key of `CONDITION_SETS`.
        conditions: the conditions so far.
        now: the time to stamp on whatever changes (RFC 3339).
        type_, status: what was observed; `Ready` itself only for kinds whose set is empty.
        reason: one CamelCase word; empty when True.
        message: a sentence; empty when True.

    Returns:
        All conditions sorted by type. A condition's time moves when its status, reason or message changes
        (knative.dev/pkg apis/condition_set.go), so that repeating an observation changes nothing.
    """
    dependents = CONDITION_SETS[kind]
    by_type = {c.type: c for c in conditions}
    for missing in (READY, *dependents):
        by_type.setdefault(missing, Condition(type=missing, status=UNKNOWN, last_transition_time=now))
    severity = "" if type_ in (READY, *dependents) else "Info"
    _observe(by_type, Condition(type_, status, severity, reason=reason, message=message), now)
    if type_ in dependents:
        _observe(by_type, _happiness([by_type[d] for d in dependents]), now)
    return [by_type[t] for t in sorted(by_type)]


def _observe(by_type: dict[str, Condition], seen: Condition, now: str) -> None:
    before = by_type.get(seen.type)
    if before is None or replace(before, last_transition_time="") != seen:
        by_type[seen.type] = replace(seen, last_transition_time=now)


def _happiness(dependents: list[Condition]) -> Condition:
    """Ready, as its dependents make it: a False one decides first, then an Unknown one."""
    for status in (FALSE, UNKNOWN):
        for condition in dependents:
            if condition.status == status:
                return replace(condition, type=READY, severity="", last_transition_time="")
    return Condition(READY, TRUE)
