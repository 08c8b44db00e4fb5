# Your part of minirun, lab 6. `lab check 6` says how far it is.
"""From the decision to replicas: bounds, the way to zero, and who buffers requests on the way.

Zero is not a number like any other: a revision without traffic first becomes inactive, then the activator
must be in the path (so that no request meets an empty revision), and only then, after the grace period and
the retention period, its last pod goes. Everything here is a function of what is observed; the counterparts
in Knative are pkg/reconciler/autoscaling/kpa (kpa.go, scaler.go) and the PodAutoscaler's conditions.
"""

from dataclasses import dataclass, replace
from math import ceil

from minirun.autoscaling.spec import DeciderSpec, ScalePolicy
from minirun.model.clock import SECOND_NS

PROXY, SERVE = "Proxy", "Serve"  # modes of a ServerlessService: the activator is in the path, or it is not
MIN_ACTIVATORS = 2
PROXY_REQUEUE_NS = 3 * SECOND_NS  # look again for new traffic, when the activator is in the path already

# Why a PodAutoscaler is not active: the reason of its condition, and the message that goes with it.
MESSAGES = {
    "": "",
    "Queued": "Requests to the target are being buffered as resources are provisioned.",
    "NoTraffic": "The target is not receiving traffic.",
    "TimedOut": "The target could not be activated.",
}


@dataclass(frozen=True, slots=True)
class ActiveCondition:
    """The PodAutoscaler's condition Active: `True`, `False` or `Unknown` (activating), since unix time."""

    status: str = "Unknown"
    reason: str = "Queued"
    since_ns: int = 0


@dataclass(frozen=True, slots=True)
class ScaleInput:
    """What the way to replicas depends on.

    desired: the decider's answer, -1 if it has none. replicas: of the deployment. active_age_ns: how long the
    Active condition is as it is. proxy_for_ns: how long requests certainly go through the activator (0 if
    they do not). probe_ok: whether a probe sent to the revision now is answered by the activator.
    """

    desired: int
    replicas: int
    active_status: str
    active_age_ns: int
    initialized: bool
    sks_mode: str
    proxy_for_ns: int
    probe_ok: bool


@dataclass(frozen=True, slots=True)
class ScaleOutcome:
    """want: the scale to report. replicas: what to set the deployment to, None to leave it.

    requeue_after_ns: when to look again, None if the next decision does. probed: whether the answer of the
    probe was used; probe_again: it was not the activator that answered, keep asking in the background.
    """

    want: int
    replicas: int | None = None
    requeue_after_ns: int | None = None
    probed: bool = False
    probe_again: bool = False


def scale_bounds(policy: ScalePolicy, initialized: bool) -> tuple[int, int]:
    """Least and most pods (0 = no limit); a reachable revision first has to reach its initial scale."""
    if policy.initial_scale > 1 and not initialized and policy.reachable:
        return max(policy.initial_scale, policy.min_scale), policy.max_scale
    return policy.min_scale, policy.max_scale


def desired_replicas(policy: ScalePolicy, seen: ScaleInput) -> ScaleOutcome:
    """How many replicas a revision gets, and when to look again."""
    if seen.desired < 0 and seen.active_status != "Unknown":
        return ScaleOutcome(seen.desired)  # no metrics yet: who just started must not scale anything
    least, most = scale_bounds(policy, seen.initialized)
    want = seen.desired
    if want < least:
        want = least
    elif most and want > most:
        want = most
    outcome = scale_to_zero(policy, seen) if want == 0 else ScaleOutcome(want, want)
    return replace(outcome, replicas=None) if outcome.replicas == seen.replicas else outcome


def scale_to_zero(policy: ScalePolicy, seen: ScaleInput) -> ScaleOutcome:
    """The steps from one pod to none, for a revision that is wanted at zero."""
    # TODO(you): about 24 lines
    raise NotImplementedError("task 6.3")


def sks_mode(want: int, excess_burst_capacity: int) -> str:
    """Serve only if pods are wanted and the ready ones could take a burst; else the activator buffers."""
    return SERVE if want > 0 and excess_burst_capacity >= 0 else PROXY


def num_activators(spec: DeciderSpec, ready: int) -> int:
    """How many activators stand before a revision with `ready` pods: enough for all its load and a burst."""
    burst = spec.target_burst_capacity
    if burst == 0:
        return MIN_ACTIVATORS
    return max(MIN_ACTIVATORS, ceil((ready * spec.total_value + max(burst, 0.0)) / spec.activator_capacity))


def active_condition(
    policy: ScalePolicy,
    active: ActiveCondition,
    initialized: bool,
    want: int,
    ready: int,
    now_ns: int,
    service_known: bool = True,
) -> tuple[ActiveCondition, bool]:
    """The Active condition after a reconcile, and whether the scale target is initialized (for good).

    want: the scale to report, -1 if unknown. ready: pods that are ready. service_known: False before the
    revision's private service exists. The condition's time moves when its status or its reason changes.
    """
    enough = max(policy.min_scale, 1 if initialized else policy.initial_scale)
    status, reason = active.status, active.reason
    if want == 0 or enough == 0:
        timed_out = status == "Unknown" and enough > 0
        status, reason = "False", "TimedOut" if timed_out else "NoTraffic"
    elif want < 0 and status == "False":
        reason = reason if ready >= enough else "NoTraffic"
    elif ready < enough:
        status, reason = "Unknown", "Queued"
    else:
        status, reason = "True", ""
    if (status, reason) != (active.status, active.reason):
        active = ActiveCondition(status, reason, now_ns)
    return active, initialized or (ready >= enough and service_known)
