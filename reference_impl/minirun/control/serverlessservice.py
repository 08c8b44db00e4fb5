"""ServerlessService: the two Services in front of a revision, and what can be said of them. Pure.

In mode Proxy requests go to the activator, in mode Serve to the instances; without a ready instance always to
the activator. `autoscale` writes it with each decision; the switch itself is `endpoints.reconcile`.
Counterpart: pkg/reconciler/serverlessservice in knative/serving.
"""

from minirun.autoscaling.lifecycle import PROXY
from minirun.control.children import child_meta
from minirun.model.conditions import FALSE, TRUE, UNKNOWN, mark
from minirun.model.meta import Condition
from minirun.model.resources import (
    ObjectReference,
    PodAutoscaler,
    ServerlessService,
    ServerlessServiceSpec,
    ServerlessServiceStatus,
)

THROUGH_ACTIVATOR = "ActivatorEndpointsPopulated"


def make_sks(
    autoscaler: PodAutoscaler, before: list[Condition], mode: str, activators: int, ready: int, now: str
) -> ServerlessService:
    """The ServerlessService of a PodAutoscaler, with what can be said of it.

    Args:
        before: the conditions that it has had.
        ready: how many instances are behind it.
    """
    meta, target = autoscaler.metadata, autoscaler.spec.scale_target_ref
    populated = (TRUE, "", "") if ready else (UNKNOWN, "NoHealthyBackends", "K8s Service is not ready")
    conditions = mark("ServerlessService", before, now, "EndpointsPopulated", *populated)
    proxied = TRUE if not ready or mode == PROXY else FALSE
    return ServerlessService(
        metadata=child_meta(autoscaler, meta.labels, {}),
        spec=ServerlessServiceSpec(
            mode=mode,
            num_activators=activators,
            object_ref=ObjectReference(api_version=target.api_version, kind=target.kind, name=target.name),
            protocol_type=autoscaler.spec.protocol_type,
        ),
        status=ServerlessServiceStatus(
            conditions=mark("ServerlessService", conditions, now, THROUGH_ACTIVATOR, proxied),
            service_name=meta.name,
            private_service_name=f"{meta.name}-private",
        ),
    )
