"""What clients of a cluster look for around their Services: the machine, and where requests go in.

Counterparts: the Node that a kubelet registers, and the Service `istio-ingressgateway` of `istio-system`, in
which Knative's tests and tools find the address of the ingress.
"""

import os
import platform
import socket
from typing import Final

import psutil

from minirun.model.conditions import TRUE
from minirun.model.meta import Condition, ObjectMeta, Resource, replace
from minirun.model.resources import (
    CoreService,
    CoreServiceSpec,
    CoreServiceStatus,
    LoadBalancerIngress,
    LoadBalancerStatus,
    Namespace,
    Node,
    NodeAddress,
    NodeStatus,
    NodeSystemInfo,
    Quantity,
    ServicePort,
)
from minirun.store.store import Store

INGRESS_NAMESPACE: Final = "istio-system"
INGRESS_NAME: Final = "istio-ingressgateway"
LOOPBACK: Final = "127.0.0.1"


def ingress_service(host: str, port: int) -> CoreService:
    """The Service that says that requests for port 80 go to `host:port`."""
    ports = [ServicePort(name="http2", protocol="TCP", port=80, target_port=port, node_port=port)]
    return CoreService(
        metadata=ObjectMeta(name=INGRESS_NAME, namespace=INGRESS_NAMESPACE),
        spec=CoreServiceSpec(type="LoadBalancer", ports=ports, cluster_ip=host),
        status=CoreServiceStatus(load_balancer=LoadBalancerStatus(ingress=[LoadBalancerIngress(ip=host)])),
    )


def this_machine(version: str, now: str) -> Node:
    """The Node that this process runs on.

    Args:
        version: of minirun.
        now: the time, as objects carry it.
    """
    sizes: dict[str, Quantity] = {
        "cpu": str(os.cpu_count() or 1),
        "memory": f"{psutil.virtual_memory().total // 1024}Ki",
    }
    ready = Condition(type="Ready", status=TRUE, reason="KubeletReady", last_transition_time=now)
    return Node(
        metadata=ObjectMeta(name=socket.gethostname().lower()),
        status=NodeStatus(
            capacity=sizes,
            allocatable=sizes,
            conditions=[ready],
            addresses=[NodeAddress(type="InternalIP", address=LOOPBACK)],
            node_info=NodeSystemInfo(
                operating_system=platform.system().lower(),
                architecture=platform.machine(),
                os_image=platform.platform(terse=True),
                kernel_version=platform.release(),
                kubelet_version=f"v{version}",
                container_runtime_version=f"minirun://{version}",
            ),
        ),
    )


def register(store: Store, node: Node, ingress: CoreService) -> None:
    """Writes the machine and the way in, over those of an earlier start; other machines' Nodes go."""
    if store.find(Namespace, "", INGRESS_NAMESPACE) is None:
        store.create(Namespace(metadata=ObjectMeta(name=INGRESS_NAMESPACE)))
    for other in store.select(Node):
        if other.key != node.key:
            store.delete(Node, *other.key)
    wanted: tuple[Resource, ...] = (node, ingress)
    for new in wanted:
        old = store.find(type(new), *new.key)
        if old is None:
            store.create(new)
        else:
            store.update(replace(new, metadata=old.metadata))
