"""PodAutoscaler → ServerlessService and the Deployment's replicas: the decision becomes pods.

The decider says how many pods the load needs; `autoscaling.lifecycle` makes of that what may be asked for,
above all on the way to zero. Here both meet the stored objects. Counterpart: pkg/reconciler/autoscaling/kpa
in knative/serving.
"""

import dataclasses

from minirun.autoscaling.lifecycle import (
    MESSAGES,
    PROXY,
    ActiveCondition,
    ScaleInput,
    active_condition,
    desired_replicas,
    num_activators,
    sks_mode,
)
from minirun.autoscaling.multiscaler import DeciderStatus
from minirun.autoscaling.spec import ScalePolicy, decider_spec, metric_spec, scale_policy
from minirun.control.children import put
from minirun.control.context import Context
from minirun.control.endpoints import Entry, Specs
from minirun.control.serverlessservice import THROUGH_ACTIVATOR, make_sks
from minirun.control.service_scaling import bounds_of, share_of
from minirun.model.clock import MILLISECOND_NS, SECOND_NS
from minirun.model.conditions import TRUE, UNKNOWN, find, is_true, mark
from minirun.model.labels import SERVICE
from minirun.model.meta import Condition, replace, unix_seconds
from minirun.model.resources import (
    Deployment,
    PodAutoscaler,
    PodAutoscalerStatus,
    Route,
    ServerlessService,
)
from minirun.store.store import edit

ACTIVE, INITIALIZED, SKS_READY = "Active", "ScaleTargetInitialized", "SKSReady"
PROBE_AGAIN_NS = SECOND_NS
MOMENT_NS = MILLISECOND_NS  # later than a limit, so that "longer than" holds on a clock that is exact


def age_ns(condition: Condition | None, now_ns: int) -> int:
    """How long a condition is as it is; 0 for one that is not there."""
    return now_ns - unix_seconds(condition.last_transition_time) * SECOND_NS if condition else 0


def observe(
    decided: DeciderStatus,
    deployment: Deployment,
    autoscaler: PodAutoscaler,
    sks: ServerlessService | None,
    through_activator: bool,
    now_ns: int,
) -> ScaleInput:
    """What the way to replicas depends on, read from the objects."""
    conditions = autoscaler.status.conditions
    active = find(conditions, ACTIVE)
    proxied = find(sks.status.conditions, THROUGH_ACTIVATOR) if sks else None
    return ScaleInput(
        desired=decided.desired_scale,
        replicas=deployment.spec.replicas,
        active_status=active.status if active else UNKNOWN,
        active_age_ns=age_ns(active, now_ns),
        initialized=is_true(conditions, INITIALIZED),
        sks_mode=sks.spec.mode if sks else PROXY,
        proxy_for_ns=age_ns(proxied, now_ns) if proxied and proxied.status == TRUE else 0,
        probe_ok=through_activator,
    )


def next_status(
    autoscaler: PodAutoscaler,
    policy: ScalePolicy,
    sks: ServerlessService,
    want: int,
    ready: int,
    now_ns: int,
    now: str,
) -> PodAutoscalerStatus:
    """The status, when `want` pods are asked for (-1: nobody knows) and `ready` are ready."""
    status, conditions = autoscaler.status, autoscaler.status.conditions
    before = find(conditions, ACTIVE)
    known = ActiveCondition(before.status, before.reason) if before else ActiveCondition()
    active, initialized = active_condition(
        policy, known, is_true(conditions, INITIALIZED), want, ready, now_ns
    )
    seen = (active.status, active.reason, MESSAGES[active.reason])
    conditions = mark("PodAutoscaler", conditions, now, ACTIVE, *seen)
    if initialized:
        conditions = mark("PodAutoscaler", conditions, now, INITIALIZED, TRUE)
    if is_true(sks.status.conditions):
        conditions = mark("PodAutoscaler", conditions, now, SKS_READY, TRUE)
    else:
        text = "ServerlessService is not ready."
        conditions = mark("PodAutoscaler", conditions, now, SKS_READY, UNKNOWN, "NotReady", text)
    return replace(
        status,
        observed_generation=autoscaler.metadata.generation,
        conditions=conditions,
        service_name=sks.status.service_name,
        actual_scale=ready,
        desired_scale=status.desired_scale if want < 0 and (status.desired_scale or 0) >= 0 else want,
    )


def specs_of(ctx: Context, entry: Entry, autoscaler: PodAutoscaler) -> Specs:
    """What the autoscaler's numbers are; they are worked out again only after something they depend on."""
    spec, settings, meta = autoscaler.spec, ctx.settings.autoscaler, autoscaler.metadata
    notes = meta.annotations
    route = ctx.store.find(Route, meta.namespace, meta.labels.get(SERVICE, ""))
    if route is not None:
        share = share_of(route.status.traffic, meta.name)
        notes = notes | bounds_of(route.metadata.annotations, notes, share)
    deadline_ns = ctx.settings.deployment.progress_deadline_ns
    profile = ctx.profile(meta.namespace)
    depends_on = notes, spec, settings, deadline_ns, profile.max_scale
    if entry.specs is None or entry.specs[0] != depends_on:
        if not settings.max_scale:
            settings = dataclasses.replace(settings, max_scale=profile.max_scale)
        policy = scale_policy(settings, notes, spec.reachability, deadline_ns)
        decider = decider_spec(settings, notes, spec.container_concurrency, spec.reachability)
        entry.specs = depends_on, Specs(policy, decider, metric_spec(settings, notes))
    return entry.specs[1]


def reconcile(ctx: Context, namespace: str, name: str) -> float | None:
    """Asks the decider, and brings replicas, ServerlessService and status in line with its answer."""
    key = f"{namespace}/{name}"
    autoscaler = ctx.living(PodAutoscaler, namespace, name)
    if autoscaler is None:
        ctx.multiscaler.delete(key)
        return None
    target = autoscaler.spec.scale_target_ref.name
    deployment = ctx.store.find(Deployment, namespace, target)
    entry = ctx.paths.entry(namespace, name)
    if deployment is None or entry is None:
        return None
    policy, spec, entry.metric = specs_of(ctx, entry, autoscaler)
    now_ns = ctx.clock.unix_ns()
    sks = ctx.store.find(ServerlessService, namespace, name)
    decided = ctx.multiscaler.apply(key, spec, entry.metric, now_ns)
    seen = observe(decided, deployment, autoscaler, sks, entry.through_activator, now_ns)
    outcome = desired_replicas(policy, seen)
    if outcome.replicas is not None:
        edit(ctx.store, deployment, spec=replace(deployment.spec, replicas=outcome.replicas))
        return 0  # a waiting request waits for this; the rest after it
    mode, ready, now = sks_mode(outcome.want, decided.excess_burst_capacity), entry.ready, ctx.now()
    before = sks.status.conditions if sks else []
    wanted = make_sks(autoscaler, before, mode, num_activators(spec, ready), ready, now)
    sks = put(ctx.store, sks, wanted)
    status = next_status(autoscaler, policy, sks, outcome.want, ready, now_ns, now)
    edit(ctx.store, autoscaler, status=status)
    after_ns = PROBE_AGAIN_NS if outcome.probe_again else outcome.requeue_after_ns
    return None if after_ns is None else (after_ns + MOMENT_NS) / SECOND_NS
