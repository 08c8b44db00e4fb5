"""ServerlessService: the two Services in front of a revision, and what can be said of them.

In mode Proxy requests go to the activator, in mode Serve to the instances; without a ready instance always to
the activator. The switch itself is `endpoints.reconcile`. Counterpart: pkg/reconciler/serverlessservice in
knative/serving.
"""

from minirun.autoscaling.lifecycle import PROXY
from minirun.control.context import Context
from minirun.model.conditions import FALSE, TRUE, UNKNOWN, mark
from minirun.model.meta import replace
from minirun.model.resources import ServerlessService, ServerlessServiceStatus


def next_status(sks: ServerlessService, ready: int, now: str) -> ServerlessServiceStatus:
    """The status with `ready` instances behind it."""
    conditions = sks.status.conditions
    populated = (TRUE, "", "") if ready else (UNKNOWN, "NoHealthyBackends", "K8s Service is not ready")
    conditions = mark("ServerlessService", conditions, now, "EndpointsPopulated", *populated)
    through_activator = TRUE if not ready or sks.spec.mode == PROXY else FALSE
    conditions = mark("ServerlessService", conditions, now, "ActivatorEndpointsPopulated", through_activator)
    name = sks.metadata.name
    return replace(
        sks.status,
        observed_generation=sks.metadata.generation,
        conditions=conditions,
        service_name=name,
        private_service_name=f"{name}-private",
    )


def reconcile(ctx: Context, namespace: str, name: str) -> float | None:
    """Says which way requests go."""
    sks = ctx.store.find(ServerlessService, namespace, name)
    if sks is not None and not sks.metadata.deletion_timestamp:
        ready = ctx.paths.ready_count(f"{namespace}/{name}")
        ctx.store.update(replace(sks, status=next_status(sks, ready, ctx.now())))
    return None
