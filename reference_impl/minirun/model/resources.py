"""The kinds: Service → Configuration + Route → Revision → PodAutoscaler, ServerlessService, Deployment → Pod.

Shapes and words are those of serving.knative.dev/v1, the internal autoscaling and networking groups of
Knative, apps/v1 and core/v1. Only the fields that minirun honours are here, so a field that is missing here
is unknown and is refused or dropped at the door. `KINDS` at the end is the one table from which the API,
the store and the commands work.
"""

from typing import Final, NamedTuple

import msgspec

from minirun.model.meta import Condition, ObjectMeta, Part, Resource

SERVING = "serving.knative.dev/v1"
AUTOSCALING = "autoscaling.internal.knative.dev/v1alpha1"
NETWORKING = "networking.internal.knative.dev/v1alpha1"
MINIRUN = "minirun.dev/v1"

Quantity = str | int | float


# --- containers ----------------------------------------------------------------------------------------


class EnvVar(Part, frozen=True):
    name: str = ""
    value: str = ""


class ContainerPort(Part, frozen=True):
    """`name` says the protocol spoken to the container: http1 (or empty) or h2c."""

    name: str = ""
    container_port: int = 0
    protocol: str = ""


class ResourceRequirements(Part, frozen=True):
    """`cpu`, `memory` and device quantities, as written (`500m`, `256Mi`)."""

    limits: dict[str, Quantity] = {}
    requests: dict[str, Quantity] = {}


class HTTPHeader(Part, frozen=True):
    name: str = ""
    value: str = ""


class HTTPGetAction(Part, frozen=True):
    path: str = ""
    port: int | str = 0
    host: str = ""
    scheme: str = ""
    http_headers: list[HTTPHeader] = []


class TCPSocketAction(Part, frozen=True):
    port: int | str = 0
    host: str = ""


class ExecAction(Part, frozen=True):
    command: list[str] = []


class GRPCAction(Part, frozen=True):
    port: int = 0
    service: str | None = None


class Probe(Part, frozen=True):
    """Readiness, liveness or startup probe; seconds; `period_seconds` 0 is Knative's fast probing."""

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
    name: str = ""
    image: str = ""
    command: list[str] = []
    args: list[str] = []
    working_dir: str = ""
    env: list[EnvVar] = []
    ports: list[ContainerPort] = []
    resources: ResourceRequirements | None = None
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None
    startup_probe: Probe | None = None
    image_pull_policy: str = ""


# --- serving.knative.dev/v1 ----------------------------------------------------------------------------


class RevisionSpec(Part, frozen=True):
    """What a revision runs and how. Timeouts in seconds; `container_concurrency` 0 is no limit."""

    containers: list[Container] = []
    container_concurrency: int | None = None
    timeout_seconds: int | None = None
    response_start_timeout_seconds: int | None = None
    idle_timeout_seconds: int | None = None
    service_account_name: str = ""
    enable_service_links: bool | None = None


class RevisionTemplate(Part, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: RevisionSpec = RevisionSpec()


class TrafficTarget(Part, frozen=True):
    """A share of a Route's traffic, as declared (spec) and as routed (status, with `url` for tags)."""

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
    template: RevisionTemplate = RevisionTemplate()


class ConfigurationStatus(Status, frozen=True):
    latest_created_revision_name: str = ""
    latest_ready_revision_name: str = ""


class Configuration(Resource, frozen=True):
    api_version: str = SERVING
    kind: str = "Configuration"
    spec: ConfigurationSpec = ConfigurationSpec()
    status: ConfigurationStatus = ConfigurationStatus()


class RouteSpec(Part, frozen=True):
    traffic: list[TrafficTarget] = []


class RouteStatus(Status, frozen=True):
    url: str = ""
    address: Addressable | None = None
    traffic: list[TrafficTarget] = []


class Route(Resource, frozen=True):
    api_version: str = SERVING
    kind: str = "Route"
    spec: RouteSpec = RouteSpec()
    status: RouteStatus = RouteStatus()


class ServiceSpec(ConfigurationSpec, frozen=True):
    traffic: list[TrafficTarget] = []


class ServiceStatus(ConfigurationStatus, frozen=True):
    url: str = ""
    address: Addressable | None = None
    traffic: list[TrafficTarget] = []


class Service(Resource, frozen=True):
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
    api_version: str = NETWORKING
    kind: str = "ServerlessService"
    spec: ServerlessServiceSpec = ServerlessServiceSpec()
    status: ServerlessServiceStatus = ServerlessServiceStatus()


class LabelSelector(Part, frozen=True):
    match_labels: dict[str, str] = {}


class PodSpec(Part, frozen=True):
    containers: list[Container] = []
    node_name: str = ""
    termination_grace_period_seconds: int | None = None


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
    image: str = ""
    image_id: str = msgspec.field(default="", name="imageID")
    ready: bool = False
    started: bool = False
    restart_count: int = 0
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


class NamespaceStatus(Part, frozen=True):
    phase: str = ""


class Namespace(Resource, frozen=True):
    api_version: str = "v1"
    kind: str = "Namespace"
    status: NamespaceStatus = NamespaceStatus(phase="Active")


class ConfigMap(Resource, frozen=True):
    api_version: str = "v1"
    kind: str = "ConfigMap"
    data: dict[str, str] = {}


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


class Kind(NamedTuple):
    """A row of the table of kinds. `type.kind` and `type.api_version` have constant defaults."""

    type: type[Resource]
    plural: str
    short_names: tuple[str, ...] = ()
    namespaced: bool = True
    categories: tuple[str, ...] = ()
    read_only: bool = False

    @property
    def kind(self) -> str:
        return self.type.__name__

    @property
    def api_version(self) -> str:
        return str(self.type.__struct_defaults__[self.type.__struct_fields__.index("api_version")])

    @property
    def group(self) -> str:
        """`serving.knative.dev`; empty for core/v1."""
        return self.api_version.rpartition("/")[0]

    @property
    def resource(self) -> str:
        """`services.serving.knative.dev`, or `pods` for core kinds: how error messages name the kind."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


_KNATIVE = ("all", "knative", "serving")
_AUTOSCALING, _NETWORKING = ("knative-internal", "autoscaling"), ("knative-internal", "networking")
KINDS: Final[tuple[Kind, ...]] = (
    Kind(Namespace, "namespaces", ("ns",), namespaced=False),
    Kind(Pod, "pods", ("po",), categories=("all",), read_only=True),
    Kind(ConfigMap, "configmaps", ("cm",)),
    Kind(Service, "services", ("kservice", "ksvc"), categories=_KNATIVE),
    Kind(Configuration, "configurations", ("config", "cfg"), categories=_KNATIVE),
    Kind(Route, "routes", ("rt",), categories=_KNATIVE),
    Kind(Revision, "revisions", ("rev",), categories=_KNATIVE),
    Kind(PodAutoscaler, "podautoscalers", ("kpa", "pa"), categories=_AUTOSCALING, read_only=True),
    Kind(ServerlessService, "serverlessservices", ("sks",), categories=_NETWORKING, read_only=True),
    Kind(Deployment, "deployments", ("deploy",), categories=("all",), read_only=True),
    Kind(Image, "images", ("img",), namespaced=False),
)
KIND_OF: Final = {kind.type: kind for kind in KINDS}
TYPE_OF: Final = {kind.kind: kind.type for kind in KINDS}
