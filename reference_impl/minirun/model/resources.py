"""The kinds: Service → Configuration + Route → Revision → PodAutoscaler, ServerlessService, Deployment → Pod,
and Job → Execution → Task → Pod.

Shapes and words are those of serving.knative.dev/v1, the internal autoscaling and networking groups of
Knative, apps/v1, core/v1 and run.googleapis.com/v1. Only the fields that minirun honours are here, so a field
that is missing here is unknown and is refused or dropped at the door. `KINDS` at the end is the one table
from which the API, the store and the commands work.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from minirun.model.meta import Condition, ObjectMeta, OwnerReference, Part, Resource, always

SERVING = "serving.knative.dev/v1"
AUTOSCALING = "autoscaling.internal.knative.dev/v1alpha1"
NETWORKING = "networking.internal.knative.dev/v1alpha1"
RUN = "run.googleapis.com/v1"
MINIRUN = "minirun.dev/v1"

Quantity = str | int | float


# --- containers ----------------------------------------------------------------------------------------


class KeySelector(Part, frozen=True):
    """One key of a ConfigMap or a Secret; `optional`: it need not be there."""

    name: str = ""
    key: str = ""
    optional: bool | None = None


class EnvVarSource(Part, frozen=True):
    """Where a variable's value comes from; one of the members is set."""

    config_map_key_ref: KeySelector | None = None
    secret_key_ref: KeySelector | None = None


class EnvVar(Part, frozen=True):
    """A variable of a container's environment.

    Args:
        name: what the program reads it as.
        value: its text; $(NAME) in it stands for an earlier variable.
        value_from: where its text comes from instead.
    """

    name: str = ""
    value: str = ""
    value_from: EnvVarSource | None = None


class EnvSource(Part, frozen=True):
    """A whole ConfigMap or Secret; `optional`: it need not be there."""

    name: str = ""
    optional: bool | None = None


class EnvFromSource(Part, frozen=True):
    """Every key of a ConfigMap or Secret as a variable, its name with `prefix` before it."""

    prefix: str = ""
    config_map_ref: EnvSource | None = None
    secret_ref: EnvSource | None = None


class VolumeMount(Part, frozen=True):
    """Where a volume is seen in a container.

    Args:
        name: the volume.
        mount_path: the folder, or with sub_path the file, at which it is seen.
        sub_path: what of the volume is seen, in place of all of it.
        read_only: whether the container may not write there.
    """

    name: str = ""
    mount_path: str = ""
    sub_path: str = ""
    read_only: bool = False


class KeyToPath(Part, frozen=True):
    """A key of a ConfigMap or Secret, the file it becomes, and the file's permission bits."""

    key: str = ""
    path: str = ""
    mode: int | None = None


class ConfigMapVolume(Part, frozen=True):
    """A ConfigMap as files: all of its keys, or `items` of them."""

    name: str = ""
    items: list[KeyToPath] = []
    default_mode: int | None = None
    optional: bool | None = None


class SecretVolume(Part, frozen=True):
    """A Secret as files: all of its keys, or `items` of them."""

    secret_name: str = ""
    items: list[KeyToPath] = []
    default_mode: int | None = None
    optional: bool | None = None


class EmptyDirVolume(Part, frozen=True):
    """A folder that lives as long as the instance; `medium` is empty or Memory."""

    medium: str = ""
    size_limit: Quantity | None = None


class ServiceAccountTokenProjection(Part, frozen=True):
    audience: str = ""
    expiration_seconds: int | None = None
    path: str = ""


class FieldSelector(Part, frozen=True):
    """A field of the pod: `metadata.name`, `metadata.labels['KEY']` and so on."""

    api_version: str = ""
    field_path: str = ""


class ResourceFieldSelector(Part, frozen=True):
    """A container's limit or request: `limits.cpu`, in units of `divisor`."""

    container_name: str = ""
    resource: str = ""
    divisor: Quantity = ""


class DownwardAPIFile(Part, frozen=True):
    path: str = ""
    field_ref: FieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    mode: int | None = None


class DownwardAPIProjection(Part, frozen=True):
    items: list[DownwardAPIFile] = []


class VolumeSources(Part, frozen=True):
    """One part of a projected volume; one of the members is set."""

    config_map: ConfigMapVolume | None = None
    secret: ConfigMapVolume | None = None
    service_account_token: ServiceAccountTokenProjection | None = None
    downward_api: DownwardAPIProjection | None = msgspec.field(default=None, name="downwardAPI")


class ProjectedVolume(Part, frozen=True):
    """Several sources in one folder."""

    sources: list[VolumeSources] = []
    default_mode: int | None = None


class CSIVolume(Part, frozen=True):
    """Files of a storage driver; Cloud Run has `gcsfuse.run.googleapis.com` with the attribute bucketName."""

    driver: str = ""
    read_only: bool = False
    volume_attributes: dict[str, str] = {}


class NFSVolume(Part, frozen=True):
    server: str = ""
    path: str = ""
    read_only: bool = False


class Volume(Part, frozen=True):
    """Files that containers mount; one of the members beside `name` is set."""

    name: str = ""
    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    empty_dir: EmptyDirVolume | None = None
    projected: ProjectedVolume | None = None
    csi: CSIVolume | None = None
    nfs: NFSVolume | None = None


class Capabilities(Part, frozen=True):
    add: list[str] = []
    drop: list[str] = []


class SeccompProfile(Part, frozen=True):
    type: str = ""
    localhost_profile: str = ""


class SecurityContext(Part, frozen=True):
    """Who a container runs as and what it may do; a runtime honours what it can."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    read_only_root_filesystem: bool | None = None
    allow_privilege_escalation: bool | None = None
    capabilities: Capabilities | None = None
    seccomp_profile: SeccompProfile | None = None


class LocalObjectReference(Part, frozen=True):
    name: str = ""


class Toleration(Part, frozen=True):
    """A taint that a pod bears; `operator` is Exists or Equal (or empty)."""

    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None


class ContainerPort(Part, frozen=True):
    """Where a container listens.

    Args:
        name: the protocol spoken to the container: http1 (or empty) or h2c.
        container_port: the number, which the container also gets as PORT; 8080 if nothing is said.
        protocol: TCP.
    """

    name: str = ""
    container_port: int = always(0)
    protocol: str = ""


class ResourceRequirements(Part, frozen=True):
    """`cpu`, `memory` and device quantities, as written (`500m`, `256Mi`).

    Args:
        limits: how much it may use.
        requests: how much is kept for it.
    """

    limits: dict[str, Quantity] = {}
    requests: dict[str, Quantity] = {}


class HTTPHeader(Part, frozen=True):
    name: str = ""
    value: str = always("")


class HTTPGetAction(Part, frozen=True):
    path: str = ""
    port: int | str = always(0)
    host: str = ""
    scheme: str = ""
    http_headers: list[HTTPHeader] = []


class TCPSocketAction(Part, frozen=True):
    """`port` 0 is the container's, and is shown, as Go writes it."""

    port: int | str = always(0)
    host: str = ""


class ExecAction(Part, frozen=True):
    command: list[str] = []


class GRPCAction(Part, frozen=True):
    port: int = always(0)
    service: str | None = None


class Probe(Part, frozen=True):
    """How to find out how a container is: one way of asking, and how often.

    Args:
        http_get: a GET that is answered with a status from 200 to 399.
        tcp_socket: a port that accepts connections.
        exec: a command in the container that ends with 0.
        grpc: gRPC's health service, which answers SERVING.
        initial_delay_seconds: from the container's start to the first time.
        timeout_seconds: after which no answer is a failure.
        period_seconds: from one time to the next; 0 for readiness is Knative's fast probing.
        success_threshold, failure_threshold: how many in a row change the verdict.
    """

    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    exec: ExecAction | None = None
    grpc: GRPCAction | None = None
    initial_delay_seconds: int = 0
    timeout_seconds: int = 0
    period_seconds: int = 0
    success_threshold: int = 0
    failure_threshold: int = 0


class Container(Part, frozen=True):
    """A program of an instance: its image, how it is started and probed, and what it gets from outside.

    Args:
        name: one that no other container of the instance has; user-container if there is only one.
        image: what is started, as it is deployed or pushed.
        command: the program, in place of the image's entry point.
        args: its arguments, in place of the image's.
        working_dir: where it starts, in place of the image's.
        env: variables, one by one.
        env_from: variables from whole ConfigMaps and Secrets.
        ports: where it listens for requests; one container of an instance has one port.
        resources: how much CPU and memory it may use.
        readiness_probe: asked all the time; requests come only while it is passed.
        liveness_probe: asked all the time; when it fails, the container is started anew.
        startup_probe: asked first; the others wait until it is passed.
        volume_mounts: where volumes are seen.
        security_context: who it runs as, and what it may do.
        image_pull_policy: taken and not used; an image is resolved once, when its Revision is made.
        termination_message_path, termination_message_policy: taken and not used; when the container has
            ended, its last output is shown.
    """

    name: str = ""
    image: str = ""
    command: list[str] = []
    args: list[str] = []
    working_dir: str = ""
    env: list[EnvVar] = []
    env_from: list[EnvFromSource] = []
    ports: list[ContainerPort] = []
    resources: ResourceRequirements | None = None
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None
    startup_probe: Probe | None = None
    volume_mounts: list[VolumeMount] = []
    security_context: SecurityContext | None = None
    image_pull_policy: str = ""
    termination_message_path: str = ""
    termination_message_policy: str = ""


# --- serving.knative.dev/v1 ----------------------------------------------------------------------------


class RevisionSpec(Part, frozen=True):
    """What a revision runs and how.

    Args:
        containers: the programs of each instance; the one with a port gets the requests.
        container_concurrency: how many requests an instance gets at a time; 0 is no limit.
        timeout_seconds: how long a request may take, in knative namespaces to the answer's first byte.
        response_start_timeout_seconds: how long it may take to the answer's first byte.
        idle_timeout_seconds: how long a request may go on without a byte in either direction.
        volumes: files that containers may mount.
        service_account_name: who its programs are to others.
        image_pull_secrets: taken and not used; images are in the platform's own keeping.
        enable_service_links: taken and not used; containers get no variables for other Services.
        node_selector, tolerations, runtime_class_name: on which machines, and how, a cluster would run it.
    """

    containers: list[Container] = []
    container_concurrency: int | None = None
    timeout_seconds: int | None = None
    response_start_timeout_seconds: int | None = None
    idle_timeout_seconds: int | None = None
    volumes: list[Volume] = []
    service_account_name: str = ""
    image_pull_secrets: list[LocalObjectReference] = []
    enable_service_links: bool | None = None
    node_selector: dict[str, str] = {}
    tolerations: list[Toleration] = []
    runtime_class_name: str | None = None


class RevisionTemplate(Part, frozen=True):
    """What the next Revision is made from: its labels, annotations and spec."""

    metadata: ObjectMeta = ObjectMeta()
    spec: RevisionSpec = RevisionSpec()


class TrafficTarget(Part, frozen=True):
    """A share of a Route's traffic, as declared (spec) and as routed (status).

    Args:
        tag: a name under which this target alone is reached, beside its share.
        revision_name: the Revision that gets it.
        configuration_name: the Configuration whose latest ready Revision gets it.
        latest_revision: whether it follows the latest ready Revision.
        percent: its share; all of them make 100.
        url: the address of the tag; the server writes it.
    """

    tag: str = ""
    revision_name: str = ""
    configuration_name: str = ""
    latest_revision: bool | None = None
    percent: int | None = None
    url: str = ""


class Addressable(Part, frozen=True):
    url: str = ""


class Status(Part, frozen=True):
    """What a kind with conditions says of itself."""

    observed_generation: int = 0
    conditions: list[Condition] = []


class ConfigurationSpec(Part, frozen=True):
    """What a Configuration declares.

    Args:
        template: what the next Revision is made from.
    """

    template: RevisionTemplate = RevisionTemplate()


class ConfigurationStatus(Status, frozen=True):
    latest_created_revision_name: str = ""
    latest_ready_revision_name: str = ""


class Configuration(Resource, frozen=True):
    """The latest wish for how a program runs; every change of its template makes a Revision."""

    api_version: str = SERVING
    kind: str = "Configuration"
    spec: ConfigurationSpec = ConfigurationSpec()
    status: ConfigurationStatus = ConfigurationStatus()


class RouteSpec(Part, frozen=True):
    """What a Route declares.

    Args:
        traffic: who gets which share of the requests.
    """

    traffic: list[TrafficTarget] = []


class RouteStatus(Status, frozen=True):
    url: str = ""
    address: Addressable | None = None
    traffic: list[TrafficTarget] = []


class Route(Resource, frozen=True):
    """A host name, and the Revisions among which its requests are split."""

    api_version: str = SERVING
    kind: str = "Route"
    spec: RouteSpec = RouteSpec()
    status: RouteStatus = RouteStatus()


class ServiceSpec(ConfigurationSpec, frozen=True):
    """What a Service declares: what runs, and how traffic is split.

    Args:
        template: what the next Revision is made from.
        traffic: who gets which share of the requests; all go to the latest ready Revision if nothing is said.
    """

    traffic: list[TrafficTarget] = []


class ServiceStatus(ConfigurationStatus, frozen=True):
    url: str = ""
    address: Addressable | None = None
    traffic: list[TrafficTarget] = []


class Service(Resource, frozen=True):
    """A program that serves requests: a Configuration and a Route of the same name, managed together."""

    api_version: str = SERVING
    kind: str = "Service"
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class ContainerStatus(Part, frozen=True):
    """Of a Revision: the digest that a container's image resolved to."""

    name: str = ""
    image_digest: str = ""


class RevisionStatus(Status, frozen=True):
    actual_replicas: int | None = None
    desired_replicas: int | None = None
    container_statuses: list[ContainerStatus] = []


class Revision(Resource, frozen=True):
    """One version of a program, as it was deployed; it never changes."""

    api_version: str = SERVING
    kind: str = "Revision"
    spec: RevisionSpec = RevisionSpec()
    status: RevisionStatus = RevisionStatus()


# --- what a Revision is made of ------------------------------------------------------------------------


class ObjectReference(Part, frozen=True):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    uid: str = ""


class PodAutoscalerSpec(Part, frozen=True):
    """`reachability`: Reachable, Unreachable, or empty while nobody knows."""

    scale_target_ref: ObjectReference = ObjectReference()
    container_concurrency: int = 0
    reachability: str = ""
    protocol_type: str = ""


class PodAutoscalerStatus(Status, frozen=True):
    service_name: str = ""
    desired_scale: int | None = None
    actual_scale: int | None = None


class PodAutoscaler(Resource, frozen=True):
    """How many instances a Revision should have, and has."""

    api_version: str = AUTOSCALING
    kind: str = "PodAutoscaler"
    spec: PodAutoscalerSpec = PodAutoscalerSpec()
    status: PodAutoscalerStatus = PodAutoscalerStatus()


class ServerlessServiceSpec(Part, frozen=True):
    """`mode`: Proxy (the activator is in the path) or Serve."""

    mode: str = ""
    num_activators: int = 0
    object_ref: ObjectReference = ObjectReference()
    protocol_type: str = ""


class ServerlessServiceStatus(Status, frozen=True):
    service_name: str = ""
    private_service_name: str = ""


class ServerlessService(Resource, frozen=True):
    """Where a Revision's requests go: to its instances, or to the activator."""

    api_version: str = NETWORKING
    kind: str = "ServerlessService"
    spec: ServerlessServiceSpec = ServerlessServiceSpec()
    status: ServerlessServiceStatus = ServerlessServiceStatus()


class LabelSelector(Part, frozen=True):
    match_labels: dict[str, str] = {}


class PodSpec(Part, frozen=True):
    """With `restart_policy` Never, the containers run once, for at most `active_deadline_seconds`."""

    containers: list[Container] = []
    volumes: list[Volume] = []
    service_account_name: str = ""
    node_name: str = ""
    termination_grace_period_seconds: int | None = None
    restart_policy: str = ""
    active_deadline_seconds: int | None = None


class PodTemplate(Part, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()


class DeploymentSpec(Part, frozen=True):
    replicas: int = 1
    selector: LabelSelector = LabelSelector()
    template: PodTemplate = PodTemplate()
    progress_deadline_seconds: int = 600


class DeploymentStatus(Status, frozen=True):
    replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    unavailable_replicas: int = 0


class Deployment(Resource, frozen=True):
    """The instances of a Revision: as many pods as replicas."""

    api_version: str = "apps/v1"
    kind: str = "Deployment"
    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()


class ContainerStateDetail(Part, frozen=True):
    """The one member of a container's `state` that is set: waiting, running or terminated."""

    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    started_at: str = ""
    finished_at: str = ""


class ContainerState(Part, frozen=True):
    waiting: ContainerStateDetail | None = None
    running: ContainerStateDetail | None = None
    terminated: ContainerStateDetail | None = None


class PodContainerStatus(Part, frozen=True):
    name: str = ""
    image: str = always("")
    image_id: str = msgspec.field(default_factory=str, name="imageID")
    ready: bool = always(False)
    started: bool = False
    restart_count: int = always(0)
    state: ContainerState = ContainerState()
    last_state: ContainerState | None = None


class PodStatus(Part, frozen=True):
    """`phase`: Pending, Running, Succeeded, Failed. The port an instance listens on is its annotation."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: list[Condition] = []
    host_ip: str = msgspec.field(default="", name="hostIP")
    pod_ip: str = msgspec.field(default="", name="podIP")
    start_time: str = ""
    container_statuses: list[PodContainerStatus] = []


class Pod(Resource, frozen=True):
    """One instance of a revision."""

    api_version: str = "v1"
    kind: str = "Pod"
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


# --- around it -----------------------------------------------------------------------------------------


class NamespaceSpec(Part, frozen=True):
    """While it has `finalizers`, a namespace that is being deleted stays: its content has to go first."""

    finalizers: list[str] = []


class NamespaceStatus(Part, frozen=True):
    phase: str = ""


class Namespace(Resource, frozen=True):
    """A room for objects; their names are unique in it."""

    api_version: str = "v1"
    kind: str = "Namespace"
    spec: NamespaceSpec = NamespaceSpec(finalizers=["kubernetes"])
    status: NamespaceStatus = NamespaceStatus(phase="Active")


class ConfigMap(Resource, frozen=True):
    """Settings as text, and files; an `immutable` one keeps its content for good."""

    api_version: str = "v1"
    kind: str = "ConfigMap"
    data: dict[str, str] = {}
    binary_data: dict[str, bytes] | UnsetType = UNSET
    immutable: bool | UnsetType = UNSET


class Secret(Resource, frozen=True):
    """Values to keep to oneself, base64 outside. What is written as `string_data` is stored as `data`."""

    api_version: str = "v1"
    kind: str = "Secret"
    type: str = ""
    data: dict[str, bytes] = {}
    string_data: dict[str, str] | UnsetType = UNSET
    immutable: bool | UnsetType = UNSET


class ServiceAccount(Resource, frozen=True):
    """Who a revision's instances are, by name."""

    api_version: str = "v1"
    kind: str = "ServiceAccount"
    image_pull_secrets: list[LocalObjectReference] | UnsetType = UNSET


class ServicePort(Part, frozen=True):
    name: str = ""
    protocol: str = ""
    port: int = always(0)
    target_port: int | str | None = None
    node_port: int = 0
    app_protocol: str = ""


class CoreServiceSpec(Part, frozen=True):
    """`type`: ClusterIP, NodePort, LoadBalancer, or ExternalName (an alias of `external_name`)."""

    type: str = ""
    ports: list[ServicePort] = []
    selector: dict[str, str] = {}
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    external_name: str = ""
    session_affinity: str = ""


class LoadBalancerIngress(Part, frozen=True):
    ip: str = ""
    hostname: str = ""


class LoadBalancerStatus(Part, frozen=True):
    ingress: list[LoadBalancerIngress] = []


class CoreServiceStatus(Part, frozen=True):
    load_balancer: LoadBalancerStatus = LoadBalancerStatus()


class CoreService(Resource, frozen=True):
    """core/v1's Service: a name for an address; Knative makes one for each Route and each of its tags."""

    api_version: str = "v1"
    kind: str = "Service"
    spec: CoreServiceSpec = CoreServiceSpec()
    status: CoreServiceStatus = CoreServiceStatus()


class EventSource(Part, frozen=True):
    component: str = ""
    host: str = ""


class CoreEvent(Resource, frozen=True):
    """What happened to `involved_object`; `count` says how often. `type`: Normal or Warning."""

    api_version: str = "v1"
    kind: str = "Event"
    involved_object: ObjectReference = ObjectReference()
    type: str = ""
    reason: str = ""
    message: str = ""
    source: EventSource = EventSource()
    first_timestamp: str | None = None
    last_timestamp: str | None = None
    count: int = 0
    event_time: str | None = None
    reporting_component: str = ""
    reporting_instance: str = ""


class Taint(Part, frozen=True):
    key: str = ""
    value: str = ""
    effect: str = ""


class NodeSpec(Part, frozen=True):
    taints: list[Taint] = []
    unschedulable: bool = False


class NodeAddress(Part, frozen=True):
    type: str = ""
    address: str = ""


class NodeSystemInfo(Part, frozen=True):
    operating_system: str = always("")
    architecture: str = always("")
    os_image: str = always("")
    kernel_version: str = always("")
    kubelet_version: str = always("")
    kube_proxy_version: str = always("")
    container_runtime_version: str = always("")
    machine_id: str = msgspec.field(default_factory=str, name="machineID")
    boot_id: str = msgspec.field(default_factory=str, name="bootID")
    system_uuid: str = msgspec.field(default_factory=str, name="systemUUID")


class NodeStatus(Part, frozen=True):
    capacity: dict[str, Quantity] = {}
    allocatable: dict[str, Quantity] = {}
    conditions: list[Condition] = []
    addresses: list[NodeAddress] = []
    node_info: NodeSystemInfo = NodeSystemInfo()


class Node(Resource, frozen=True):
    """A machine that instances run on."""

    api_version: str = "v1"
    kind: str = "Node"
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


# --- names and addresses -------------------------------------------------------------------------------


class DomainMappingTLS(Part, frozen=True):
    secret_name: str = ""


class DomainMappingSpec(Part, frozen=True):
    """`ref` is what the domain stands for, a Service or a Route of the same namespace."""

    ref: ObjectReference = ObjectReference()
    tls: DomainMappingTLS | None = None


class DomainMappingStatus(Status, frozen=True):
    url: str = ""
    address: Addressable | None = None


class DomainMapping(Resource, frozen=True):
    """A domain of the user's own, which is its name, for a Service."""

    api_version: str = "serving.knative.dev/v1beta1"
    kind: str = "DomainMapping"
    spec: DomainMappingSpec = DomainMappingSpec()
    status: DomainMappingStatus = DomainMappingStatus()


class ClusterDomainClaimSpec(Part, frozen=True):
    namespace: str = ""


class ClusterDomainClaim(Resource, frozen=True):
    """Says which namespace may map the domain that is its name."""

    api_version: str = "networking.internal.knative.dev/v1alpha1"
    kind: str = "ClusterDomainClaim"
    spec: ClusterDomainClaimSpec = ClusterDomainClaimSpec()


class IngressSplit(Part, frozen=True):
    service_namespace: str = ""
    service_name: str = ""
    service_port: int | str = 0
    percent: int = 0
    append_headers: dict[str, str] = {}


class IngressPath(Part, frozen=True):
    path: str = ""
    splits: list[IngressSplit] = []


class IngressRuleValue(Part, frozen=True):
    paths: list[IngressPath] = []


class IngressRule(Part, frozen=True):
    """What hosts lead to; `visibility` is ExternalIP or ClusterLocal."""

    hosts: list[str] = []
    visibility: str = ""
    http: IngressRuleValue = IngressRuleValue()


class IngressSpec(Part, frozen=True):
    http_option: str = ""
    rules: list[IngressRule] = []


class Ingress(Resource, frozen=True):
    """A Route as the gateway has programmed it."""

    api_version: str = NETWORKING
    kind: str = "Ingress"
    spec: IngressSpec = IngressSpec()
    status: Status = Status()


# --- run.googleapis.com/v1: work that ends -------------------------------------------------------------


class TaskSpec(Part, frozen=True):
    """What a task runs. `timeout_seconds` is for each attempt; clients write it as text or as a number."""

    containers: list[Container] = []
    max_retries: int | None = None
    timeout_seconds: str | int | None = None
    service_account_name: str = ""
    node_selector: dict[str, str] = {}
    volumes: list[Volume] = []


class TaskTemplate(Part, frozen=True):
    spec: TaskSpec = TaskSpec()


class ExecutionSpec(Part, frozen=True):
    """`task_count` tasks, of which at most `parallelism` run at a time; 0 is no limit."""

    task_count: int | None = None
    parallelism: int | None = None
    template: TaskTemplate = TaskTemplate()


class ExecutionTemplate(Part, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: ExecutionSpec = ExecutionSpec()


class JobSpec(Part, frozen=True):
    """`start_execution_token` and `run_execution_token`: suffix of an Execution that is to be made.

    The Job is Ready when that Execution has started, or has completed.
    """

    template: ExecutionTemplate = ExecutionTemplate()
    start_execution_token: str = ""
    run_execution_token: str = ""


class ExecutionReference(Part, frozen=True):
    """`completion_status`: EXECUTION_ and SUCCEEDED, FAILED, RUNNING, PENDING or CANCELLED."""

    name: str = ""
    creation_timestamp: str = ""
    completion_timestamp: str = ""
    completion_status: str = ""


class JobStatus(Status, frozen=True):
    execution_count: int = 0
    latest_created_execution: ExecutionReference | None = None


class Job(Resource, frozen=True):
    """What to run; each run of it is an Execution."""

    api_version: str = RUN
    kind: str = "Job"
    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()


class ExecutionStatus(Status, frozen=True):
    """How many tasks are in which state, and the image that each container's was pinned to."""

    start_time: str = ""
    completion_time: str = ""
    running_count: int = 0
    succeeded_count: int = 0
    failed_count: int = 0
    cancelled_count: int = 0
    retried_count: int = 0
    log_uri: str = ""
    container_statuses: list[ContainerStatus] = []


class Execution(Resource, frozen=True):
    """One run of a Job: its spec is the Job's at the time it was made."""

    api_version: str = RUN
    kind: str = "Execution"
    spec: ExecutionSpec = ExecutionSpec()
    status: ExecutionStatus = ExecutionStatus()


class AttemptStatus(Part, frozen=True):
    """google.rpc.Status: a canonical code (0 is OK) and a sentence."""

    code: int = 0
    message: str = ""


class TaskAttemptResult(Part, frozen=True):
    exit_code: int | None = None
    status: AttemptStatus | None = None


class TaskStatus(Status, frozen=True):
    index: int = 0
    start_time: str = ""
    completion_time: str = ""
    retried: int = 0
    last_attempt_result: TaskAttemptResult | None = None
    log_uri: str = ""


class Task(Resource, frozen=True):
    """One of an Execution's tasks; each attempt at it is a Pod."""

    api_version: str = RUN
    kind: str = "Task"
    spec: TaskSpec = TaskSpec()
    status: TaskStatus = TaskStatus()


# --- minirun's own -------------------------------------------------------------------------------------


class ImageSpec(Part, frozen=True):
    """A bundle that the process runtime can start; `name` of the object is derived from the reference."""

    reference: str = ""
    digest: str = ""
    size_bytes: int = 0
    command: list[str] = []
    note: str = ""


class Image(Resource, frozen=True):
    api_version: str = MINIRUN
    kind: str = "Image"
    spec: ImageSpec = ImageSpec()


class Binding(Part, frozen=True):
    """Members (`user:EMAIL`, `allUsers`, ...) that have a role."""

    role: str = ""
    members: list[str] = []


class IAMPolicySpec(Part, frozen=True):
    bindings: list[Binding] = []


class IAMPolicy(Resource, frozen=True):
    """Who may do what with an object; its name is PLURAL.NAME of that object, which owns it."""

    api_version: str = MINIRUN
    kind: str = "IAMPolicy"
    spec: IAMPolicySpec = IAMPolicySpec()


class OperationSpec(Part, frozen=True):
    """What a caller of the v2 API waits for: that `generation` of an object is ready, or its deletion."""

    verb: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    generation: int = 0


class OperationStatus(Part, frozen=True):
    """How it ended: the object, or the error; both are empty until it has."""

    response: dict[str, Any] = {}
    error: dict[str, Any] = {}


class Operation(Resource, frozen=True):
    """A long-running operation of Cloud Run's v2 API (google.longrunning.Operation)."""

    api_version: str = MINIRUN
    kind: str = "Operation"
    spec: OperationSpec = OperationSpec()
    status: OperationStatus = OperationStatus()


class Kind(NamedTuple):
    """A row of the table of kinds. `type.kind` and `type.api_version` have constant defaults.

    `subresources`: the name of each and its verbs. `read_only`: the platform makes such objects, nobody else;
    `deletable`: anybody may still delete them. `watched`: lists select, page and watch. `singular` is what
    clients may say for one object.
    """

    type: type[Resource]
    plural: str
    short_names: tuple[str, ...] = ()
    namespaced: bool = True
    categories: tuple[str, ...] = ()
    read_only: bool = False
    deletable: bool = False
    watched: bool = True
    subresources: Mapping[str, tuple[str, ...]] = {}

    @property
    def kind(self) -> str:
        return _default(self.type, "kind")

    @property
    def api_version(self) -> str:
        return _default(self.type, "api_version")

    @property
    def group(self) -> str:
        """`serving.knative.dev`; empty for core/v1."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        return self.api_version.rpartition("/")[2]

    @property
    def singular(self) -> str:
        return self.kind.lower()

    @property
    def resource(self) -> str:
        """`services.serving.knative.dev`, or `pods` for core kinds: how error messages name the kind."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


def _default(type_: type[Resource], field: str) -> str:
    return str(type_.__struct_defaults__[type_.__struct_fields__.index(field)])


_KNATIVE = ("all", "knative", "serving")
_AUTOSCALING, _NETWORKING = ("knative-internal", "autoscaling"), ("knative-internal", "networking")
_RUN = ("run",)
_STATUS: Final = {"status": ("get", "patch", "update")}
_LOG: Final = {"log": ("get",)}
KINDS: Final[tuple[Kind, ...]] = (
    Kind(Namespace, "namespaces", ("ns",), namespaced=False),
    Kind(Node, "nodes", ("no",), namespaced=False, read_only=True),
    Kind(Pod, "pods", ("po",), categories=("all",), read_only=True, deletable=True, subresources=_LOG),
    Kind(CoreService, "services", ("svc",), categories=("all",)),
    Kind(ConfigMap, "configmaps", ("cm",)),
    Kind(Secret, "secrets"),
    Kind(ServiceAccount, "serviceaccounts", ("sa",)),
    Kind(CoreEvent, "events", ("ev",)),
    Kind(Deployment, "deployments", ("deploy",), categories=("all",), read_only=True, deletable=True),
    Kind(Service, "services", ("kservice", "ksvc"), categories=_KNATIVE, subresources=_STATUS),
    Kind(Configuration, "configurations", ("config", "cfg"), categories=_KNATIVE, subresources=_STATUS),
    Kind(Route, "routes", ("rt",), categories=_KNATIVE, subresources=_STATUS),
    Kind(Revision, "revisions", ("rev",), categories=_KNATIVE, subresources=_STATUS),
    Kind(DomainMapping, "domainmappings", ("dm",), categories=_KNATIVE, subresources=_STATUS),
    Kind(
        PodAutoscaler,
        "podautoscalers",
        ("kpa", "pa"),
        categories=_AUTOSCALING,
        read_only=True,
        deletable=True,
    ),
    Kind(
        ServerlessService,
        "serverlessservices",
        ("sks",),
        categories=_NETWORKING,
        read_only=True,
        deletable=True,
    ),
    Kind(Ingress, "ingresses", ("kingress", "king"), categories=_NETWORKING, read_only=True, deletable=True),
    Kind(ClusterDomainClaim, "clusterdomainclaims", ("cdc",), namespaced=False, categories=_NETWORKING),
    Kind(IAMPolicy, "iampolicies"),
    Kind(Job, "jobs", categories=_RUN, subresources=_STATUS),
    Kind(Execution, "executions", categories=_RUN, read_only=True, deletable=True),
    Kind(Task, "tasks", categories=_RUN, read_only=True),
    Kind(Image, "images", ("img",), namespaced=False, read_only=True, deletable=True, watched=False),
    Kind(Operation, "operations", read_only=True),
)
KIND_OF: Final = {kind.type: kind for kind in KINDS}
TYPE_OF: Final = {kind.type.__name__: kind.type for kind in KINDS}
"""By the name of the type, which is unique; the kind `Service` is one of core/v1 and one of Knative."""
TYPE_OF_KIND: Final = {(kind.api_version, kind.kind): kind.type for kind in KINDS}
"""By apiVersion and kind, as objects and references name it."""


def type_name_of(reference: OwnerReference) -> str:
    """The `type_name` of what a reference names; empty for a kind that is not here."""
    type_ = TYPE_OF_KIND.get((reference.api_version, reference.kind))
    return type_.__name__ if type_ else ""
