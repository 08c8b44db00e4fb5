"""What is refused at the door, and with which words: the rules of Knative's webhook, as pure functions.

Each rule is a generator of `FieldError`s that knows the path it looks at; `validate` gathers them, and
`describe` writes them as Knative does (equal messages joined, all sorted). Fields that Kubernetes has and a
Knative container must not set, or that minirun does not have, are names in the table `FORBIDDEN`.
Counterparts: knative.dev/pkg apis.FieldError; knative/serving pkg/apis/serving (k8s_validation.go,
metadata_validation.go) and pkg/apis/serving/v1/*_validation.go.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

import msgspec

from minirun.model.cloudrun import THROTTLING
from minirun.model.decoding import UnknownField
from minirun.model.dependencies import CONTAINER_DEPENDENCIES, parse_dependencies
from minirun.model.durations import parse_duration
from minirun.model.field_errors import (
    Errors,
    FieldError,
    disallowed,
    exactly_one,
    invalid,
    missing,
    out_of_bounds,
)
from minirun.model.labels import CREATOR, LAST_MODIFIER, ROLLOUT_DURATION, VISIBILITY
from minirun.model.meta import ObjectMeta, OwnerReference, Resource
from minirun.model.names import LABEL_1035, LABEL_1123, QUALIFIED_NAME, SUBDOMAIN_1123, objections
from minirun.model.pod_validation import check_pod
from minirun.model.quantity import parse_quantity
from minirun.model.resources import (
    ClusterDomainClaim,
    Configuration,
    Container,
    ContainerPort,
    DomainMapping,
    EnvVar,
    Job,
    Probe,
    ResourceRequirements,
    Revision,
    RevisionSpec,
    RevisionTemplate,
    Route,
    Service,
    TaskSpec,
    TrafficTarget,
)
from minirun.model.settings import INT32_MAX, SIDECAR_PROBES, DefaultsSettings

GROUP: Final = "serving.knative.dev"
RESERVED_ENV: Final = ("PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION")
JOB_ENV: Final = tuple(
    f"CLOUD_RUN_{name}" for name in ("JOB", "EXECUTION", "TASK_INDEX", "TASK_ATTEMPT", "TASK_COUNT")
)
JOB_NAME: Final = LABEL_1035._replace(longest=49)  # so that its Executions and Tasks find names
MAX_TASKS: Final = 10_000
MAX_RETRIES: Final = 10
MAX_TASK_TIMEOUT_SECONDS: Final = 86_400
RESERVED_PORTS: Final = (8008, 8012, 8013, 8022, 9090, 9091)
EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
PORT_NAMES: Final = ("", "h2c", "http1")
IMAGE = re.compile(
    r"[a-zA-Z0-9.\-]+(:\d+)?(/[a-z0-9]+([._\-]+[a-z0-9]+)*)*(:[\w][\w.\-]{0,127})?(@sha256:[0-9a-f]{64})?"
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Fields of Kubernetes that are known and must not be set, by the type that has them there.
FORBIDDEN: Final[Mapping[str, frozenset[str]]] = {
    "RevisionSpec": _words(
        "activeDeadlineSeconds affinity automountServiceAccountToken dnsConfig dnsPolicy ephemeralContainers"
        " hostAliases hostIPC hostNetwork hostPID hostUsers hostname initContainers nodeName os overhead"
        " preemptionPolicy priority priorityClassName readinessGates resourceClaims restartPolicy"
        " schedulerName schedulingGates securityContext serviceAccount setHostnameAsFQDN"
        " shareProcessNamespace subdomain terminationGracePeriodSeconds topologySpreadConstraints"
    ),
    "Container": _words("lifecycle resizePolicy restartPolicy stdin stdinOnce tty volumeDevices"),
    "ContainerPort": _words("hostIP hostPort"),
    "EnvVarSource": _words("fieldRef fileKeyRef resourceFieldRef"),
    "SecurityContext": _words("appArmorProfile privileged procMount seLinuxOptions windowsOptions"),
    "Volume": _words(
        "awsElasticBlockStore azureDisk azureFile cephfs cinder downwardAPI ephemeral fc flexVolume"
        " flocker gcePersistentDisk gitRepo glusterfs hostPath image iscsi persistentVolumeClaim"
        " photonPersistentDisk portworxVolume quobyte rbd scaleIO storageos vsphereVolume"
    ),
    "VolumeMount": _words("mountPropagation recursiveReadOnly subPathExpr"),
    "VolumeSources": _words("clusterTrustBundle podCertificate"),
    "Probe": _words("terminationGracePeriodSeconds"),
    "ResourceRequirements": _words("claims"),
}

# Labels of the serving group that a kind may carry; the value names the owner that must be there.
LABELS: Final[Mapping[str, Mapping[str, str]]] = {
    "Service": {},
    "Configuration": {"service": "Service", "route": "", "configurationUID": "", "serviceUID": ""},
    "Route": {"service": "Service"},
    "Revision": {
        "configuration": "Configuration",
        "configurationGeneration": "",
        "configurationUID": "",
        "route": "",
        "routingState": "",
        "service": "",
        "serviceUID": "",
    },
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What the rules depend on: the namespace's settings, and the check of autoscaling annotations.

    `check_annotations` takes annotations and gives (message, keys) of what is wrong with them.
    `pod_fields`: those fields of a pod that may be set although Knative has them switched off.
    `check_template`: what else is wrong with a template. `email_accounts`: service accounts are e-mail
    addresses. `signs_metadata`: the last modifier may change without the spec.
    """

    settings: DefaultsSettings = field(default_factory=DefaultsSettings)
    check_annotations: Callable[[Mapping[str, str]], Iterable[tuple[str, tuple[str, ...]]]] = lambda _: ()
    pod_fields: frozenset[str] = frozenset()
    check_template: Callable[[RevisionTemplate], Errors] = lambda _: iter(())
    email_accounts: bool = False
    signs_metadata: bool = False


def validate(
    new: Resource, old: Resource | None, rules: Rules, unknown: Iterable[UnknownField] = ()
) -> list[FieldError]:
    """Everything that Knative refuses about storing `new` over `old` (None on create).

    Args:
        new: with defaults filled in. Kinds outside serving.knative.dev have no rules here.
        unknown: the fields that decoding found no place for.
    """
    return [*_forbidden(unknown), *_resource(new, old, rules)]


def _forbidden(unknown: Iterable[UnknownField]) -> Errors:
    for unknown_field in unknown:
        # An empty value of a forbidden field asks for nothing (`stdin: false`, `securityContext: {}`).
        if not unknown_field.empty and unknown_field.name in FORBIDDEN.get(unknown_field.owner, ()):
            yield disallowed(unknown_field.path)


def _resource(new: Resource, old: Resource | None, rules: Rules) -> Errors:
    if isinstance(new, (Service, Configuration, Route, Revision)):
        yield from _metadata(new)
        if old is not None:
            yield from _signatures(new, old, rules)
    if isinstance(new, (Service, Configuration)):
        yield from _template(new.spec.template, new.metadata, rules)
        if isinstance(old, (Service, Configuration)):
            yield from _name_change(new.spec.template, old.spec.template)
    if isinstance(new, (Service, Route)):
        yield from _traffic(new.spec.traffic, within_service=isinstance(new, Service))
    if isinstance(new, Job):
        yield from _job(new, rules)
    if isinstance(new, DomainMapping):
        yield from _domain_mapping(new)
    if isinstance(new, ClusterDomainClaim) and not new.spec.namespace:
        yield missing("spec.namespace")
    if isinstance(new, Revision):
        if isinstance(old, Revision) and (changes := _differences(old.spec, new.spec)):
            yield FieldError("Immutable fields changed (-old +new)", ("spec",), changes)
        elif old is None:
            yield from _revision_spec(new.spec, "spec", rules)


# --- metadata ------------------------------------------------------------------------------------------


def _metadata(new: Resource) -> Errors:
    meta = new.metadata
    for path, name, what in (
        ("name", meta.name, "not a DNS 1035 label"),
        ("generateName", meta.generate_name and f"{meta.generate_name}a", "not a DNS 1035 label prefix"),
    ):
        if name and (wrong := objections(LABEL_1035, name)):
            yield FieldError(f"{what}: [{' '.join(wrong)}]", (f"metadata.{path}",))
    yield from _labels(new.kind, meta.labels, meta.owner_references)
    for key in meta.annotations:
        if key.startswith("autoscaling.knative.dev") and new.kind in ("Service", "Configuration"):
            hint = 'autoscaling annotations must be put under "spec.template.metadata.annotations" to work'
            yield FieldError(f'invalid key name "{key}"', ("metadata.annotations",), hint)
    if new.kind in ("Service", "Route") and (text := meta.annotations.get(ROLLOUT_DURATION)):
        yield from _rollout_duration(text, f"metadata.annotations.{ROLLOUT_DURATION}")


def _labels(kind: str, labels: Mapping[str, str], owners: list[OwnerReference]) -> Errors:
    for key, value in labels.items():
        group, _, name = key.partition("/")
        if key == VISIBILITY and value != "cluster-local":
            yield invalid(value, f"metadata.labels.{key}")
        if group != GROUP:
            continue
        if name not in LABELS[kind]:
            yield FieldError(f'invalid key name "{key}"', ("metadata.labels",))
        elif (owner := LABELS[kind][name]) and not any((o.kind, o.name) == (owner, value) for o in owners):
            yield missing(f"metadata.labels.{key}")


def _rollout_duration(text: str, path: str) -> Errors:
    try:
        duration_ns = parse_duration(text)
    except ValueError:
        yield invalid(text, path)
        return
    if duration_ns % 1_000_000_000:
        yield FieldError(f"rollout-duration={text} is not at second precision", (path,))
    if duration_ns < 0:
        yield FieldError(f"rollout-duration={text} must be positive", (path,))


def _signatures(new: Resource, old: Resource, rules: Rules) -> Errors:
    """Who made an object stays; who changed it last changes only with what is signed."""
    if new.metadata.owner_references or isinstance(new, Revision):
        return
    was, now = old.metadata.annotations, new.metadata.annotations
    if was.get(CREATOR) != now.get(CREATOR):
        yield FieldError("annotation value is immutable", (f"metadata.annotations.{CREATOR}",))
    is_same = not rules.signs_metadata and getattr(new, "spec", None) == getattr(old, "spec", None)
    if is_same and was.get(LAST_MODIFIER) != now.get(LAST_MODIFIER):
        yield invalid(now.get(LAST_MODIFIER, ""), f"metadata.annotations.{LAST_MODIFIER}")


# --- the template of a revision ------------------------------------------------------------------------


def _template(template: RevisionTemplate, parent: ObjectMeta, rules: Rules) -> Errors:
    path = "spec.template"
    yield from _revision_spec(template.spec, f"{path}.spec", rules)
    for message, keys in rules.check_annotations(template.metadata.annotations):
        yield FieldError(message, tuple(f"{path}.metadata.annotations.{key}" for key in keys))
    try:
        parse_dependencies(template.metadata.annotations, [c.name for c in template.spec.containers])
    except ValueError as error:
        yield FieldError(str(error), (f"{path}.metadata.annotations.{CONTAINER_DEPENDENCIES}",))
    yield from rules.check_template(template)
    if not (name := template.metadata.name):
        return
    if wrong := objections(LABEL_1035, name):
        yield invalid(f"not a DNS 1035 label: [{' '.join(wrong)}]", f"{path}.metadata.name")
    elif not parent.name and parent.generate_name:
        yield disallowed(f"{path}.metadata.name")
    elif not name.startswith(f"{parent.name}-"):
        yield invalid(f'"{name}" must have prefix "{parent.name}-"', f"{path}.metadata.name")


def _name_change(new: RevisionTemplate, old: RevisionTemplate) -> Errors:
    """A revision's name that the user chose stands for one template only."""
    if new.metadata.name and new.metadata.name == old.metadata.name and (changes := _differences(old, new)):
        message = "Saw the following changes without a name change (-old +new)"
        yield FieldError(message, ("spec.template.metadata.name",), changes)


def _revision_spec(spec: RevisionSpec, path: str, rules: Rules) -> Errors:
    settings = rules.settings
    if not spec.containers:
        yield missing(f"{path}.containers")
    yield from _containers(spec.containers, path, SIDECAR_PROBES in rules.pod_fields)
    yield from check_pod(spec, path)
    switched: dict[str, object] = {
        "nodeSelector": spec.node_selector,
        "tolerations": spec.tolerations,
        "runtimeClassName": spec.runtime_class_name,
    }
    for field_name, wanted in switched.items():
        if wanted and field_name not in rules.pod_fields:
            yield disallowed(f"{path}.{field_name}")
    for index, volume in enumerate(spec.volumes):
        for field_name, source in (("csi", volume.csi), ("nfs", volume.nfs)):
            if source is not None and field_name not in rules.pod_fields:
                yield disallowed(f"{path}.volumes[{index}].{field_name}")
    name = spec.service_account_name
    if name and not (rules.email_accounts and EMAIL.fullmatch(name)):
        for wrong in objections(SUBDOMAIN_1123, name):
            yield invalid(name, f"{path}.serviceAccountName", wrong)
    timeout, limit = spec.timeout_seconds or 0, settings.max_revision_timeout_seconds
    least = 0 if settings.allow_container_concurrency_zero else 1
    for name, value, low, high in (
        ("timeoutSeconds", timeout, 0, limit),
        ("responseStartTimeoutSeconds", spec.response_start_timeout_seconds, 0, timeout or limit),
        ("idleTimeoutSeconds", spec.idle_timeout_seconds, 0, timeout or limit),
        ("containerConcurrency", spec.container_concurrency, least, settings.container_concurrency_max_limit),
    ):
        if value is not None and not low <= value <= high:
            yield out_of_bounds(value, low, high, f"{path}.{name}")


def _containers(containers: list[Container], path: str, sidecars_probed: bool) -> Errors:
    ports = [port for container in containers for port in container.ports]
    if not ports and len(containers) > 1:
        yield missing(f"{path}.containers[*].ports")
    if len(ports) > 1:
        details = "Only a single port is allowed across all containers"
        yield FieldError("more than one container port is set", (f"{path}.containers[*].ports",), details)
    names: set[str] = set()
    for index, container in enumerate(containers):
        here = f"{path}.containers[{index}]"
        if container.name in names:
            yield FieldError(f'duplicate container name "{container.name}"', (f"{here}.name",))
        names.add(container.name)
        serving = len(containers) == 1 or bool(container.ports)
        yield from _container(container, here, serving=serving, probed=serving or sidecars_probed)


def _container(container: Container, path: str, *, serving: bool, probed: bool = False) -> Errors:
    if container.name == "queue-proxy":
        yield FieldError('"queue-proxy" is a reserved container name', (f"{path}.name",))
    if not container.image:
        yield missing(f"{path}.image")
    elif not IMAGE.fullmatch(container.image):
        details = f'image: "{container.image}", error: could not parse reference: {container.image}'
        yield FieldError("Failed to parse image reference", (f"{path}.image",), details)
    yield from _env(container.env, path, RESERVED_ENV if serving else RESERVED_ENV[1:])
    if container.ports:
        yield from _port(container.ports[0], f"{path}.ports")
    yield from _resources(container.resources or ResourceRequirements(), f"{path}.resources")
    port = container.ports[0] if container.ports else ContainerPort()
    for name in ("readiness", "liveness", "startup"):
        here, probe = f"{path}.{name}Probe", getattr(container, f"{name}_probe")
        if probe is not None and probed:
            yield from _probe(probe, here, port)
        elif probe is not None:
            yield from (disallowed(f"{here}.{set_field}") for set_field in msgspec.to_builtins(probe))
    if probed and container.readiness_probe is not None:
        yield from _readiness(container.readiness_probe, f"{path}.readinessProbe")


def _env(env: list[EnvVar], path: str, reserved: tuple[str, ...]) -> Errors:
    for index, variable in enumerate(env):
        here = f"{path}.env[{index}].name"
        if not variable.name:
            yield missing(here)
        elif variable.name in reserved:
            yield FieldError(f'"{variable.name}" is a reserved environment variable', (here,))


def _port(port: ContainerPort, path: str) -> Errors:
    number = port.container_port
    if number in RESERVED_PORTS:
        details = f"{number} is a reserved port, please use a different value"
        yield invalid(f"{number} is a reserved port", f"{path}.containerPort", details)
    if not 0 <= number <= 65535:
        yield out_of_bounds(number, 0, 65535, f"{path}.containerPort")
    if port.protocol not in ("", "TCP"):
        yield invalid(port.protocol, f"{path}.protocol")
    if port.name not in PORT_NAMES:
        details = "Name must be empty, or one of: 'h2c', 'http1'"
        yield FieldError(f"Port name {port.name} is not allowed", (path,), details)


def _resources(resources: ResourceRequirements, path: str) -> Errors:
    limits: dict[str, Fraction] = {}
    for part, quantities in (("limits", resources.limits), ("requests", resources.requests)):
        for name, text in quantities.items():
            here = f"{path}.{part}.{name}"
            try:
                value = parse_quantity(text)
            except ValueError as error:
                yield invalid(text, here, str(error))
                continue
            if value < 0:
                yield invalid(text, here, "must be greater than or equal to 0")
            if value > limits.setdefault(name, value):
                yield invalid(
                    text, here, f"must be less than or equal to {name} limit of {resources.limits[name]}"
                )


def _probe(probe: Probe, path: str, port: ContainerPort) -> Errors:
    handlers = {
        "httpGet": probe.http_get,
        "tcpSocket": probe.tcp_socket,
        "exec": probe.exec,
        "grpc": probe.grpc,
    }
    chosen = [name for name, handler in handlers.items() if handler is not None]
    yield from exactly_one(chosen, list(handlers), path)
    for name, handler in (("httpGet", probe.http_get), ("tcpSocket", probe.tcp_socket)):
        if handler is not None and isinstance(handler.port, str) and handler.port not in ("", port.name):
            yield invalid(handler.port, f"{path}.{name}.port", "Probe port must match container port")
    for number in msgspec.structs.fields(probe):
        if number.type is int and (value := getattr(probe, number.name)) < 0:
            yield out_of_bounds(value, 0, INT32_MAX, f"{path}.{number.encode_name}")


def _readiness(probe: Probe, path: str) -> Errors:
    """`periodSeconds: 0` is Knative's own fast probing, which has no threshold and no timeout to set."""
    if probe.period_seconds != 0:
        return
    for name, value in (
        ("failureThreshold", probe.failure_threshold),
        ("timeoutSeconds", probe.timeout_seconds),
    ):
        if value != 0:
            yield FieldError(f"{name} is disallowed when periodSeconds is zero", (f"{path}.{name}",))


# --- jobs ----------------------------------------------------------------------------------------------


def _job(job: Job, rules: Rules) -> Errors:
    """Cloud Run's limits of a Job (run/docs/quotas, run/docs/create-jobs)."""
    name, template = job.metadata.name, job.spec.template
    for wrong in objections(JOB_NAME, name) if name else ():
        yield invalid(name, "metadata.name", wrong)
    path, task = "spec.template.spec", template.spec.template.spec
    tokens = job.spec.start_execution_token, job.spec.run_execution_token
    if all(tokens):
        yield from exactly_one(tokens, ("startExecutionToken", "runExecutionToken"), "spec")
    for token in filter(None, tokens):
        if objections(LABEL_1123, f"{name}-{token}"):
            yield invalid(token, "spec.startExecutionToken" if tokens[0] else "spec.runExecutionToken")
    here = f"{path}.template.spec"
    for field_name, value, low, high in (
        (f"{path}.taskCount", template.spec.task_count, 1, MAX_TASKS),
        (f"{path}.parallelism", template.spec.parallelism, 0, MAX_TASKS),
        (f"{here}.maxRetries", task.max_retries, 0, MAX_RETRIES),
        (f"{here}.timeoutSeconds", task.timeout_seconds, 1, MAX_TASK_TIMEOUT_SECONDS),
    ):
        if value is not None and not str(value).lstrip("-").isdecimal():
            yield invalid(value, field_name, "it is a whole number of seconds")
        elif value is not None and not low <= int(value) <= high:
            yield out_of_bounds(value, low, high, field_name)
    yield from _task(task, here, rules)


def _task(task: TaskSpec, path: str, rules: Rules) -> Errors:
    """What a task may run: containers that serve nothing, and that have their CPU all the time."""
    if not task.containers:
        yield missing(f"{path}.containers")
    as_revision = RevisionSpec(
        containers=task.containers,
        volumes=task.volumes,
        node_selector=task.node_selector,
        container_concurrency=1,
    )
    always_on = ObjectMeta(annotations={THROTTLING: "false"})
    yield from check_pod(as_revision, path)
    for error in rules.check_template(RevisionTemplate(metadata=always_on, spec=as_revision)):
        yield error._replace(paths=tuple(p.replace("spec.template.spec", path, 1) for p in error.paths))
    for index, container in enumerate(task.containers):
        yield from _container(container, f"{path}.containers[{index}]", serving=False)
        reserved = [variable.name for variable in container.env if variable.name in JOB_ENV]
        if reserved:
            details = "These values are automatically set by the system."
            message = f"The following reserved env names were provided: {', '.join(reserved)}"
            yield FieldError(message, (f"{path}.containers[{index}].env",), details)


# --- traffic -------------------------------------------------------------------------------------------


def _traffic(targets: list[TrafficTarget], *, within_service: bool) -> Errors:
    first_with_tag: dict[str, int] = {}
    for index, target in enumerate(targets):
        path = f"spec.traffic[{index}]"
        yield from _target(target, path, within_service)
        if not target.tag:
            continue
        if wrong := objections(LABEL_1035, target.tag):
            yield invalid(f"not a DNS 1035 label: [{' '.join(wrong)}]", f"{path}.tag")
        if (first := first_with_tag.setdefault(target.tag, index)) != index:
            yield FieldError(
                f'Multiple definitions for "{target.tag}"', (f"{path}.tag", f"spec.traffic[{first}].tag")
            )
    if (total := sum(target.percent or 0 for target in targets)) != 100:
        yield FieldError(f"Traffic targets sum to {total}, want 100", ("spec.traffic",))


def _target(target: TrafficTarget, path: str, within_service: bool) -> Errors:
    revision, configuration, latest = target.revision_name, target.configuration_name, target.latest_revision
    if latest is not None and latest == bool(revision):
        message = f'may not set revisionName "{revision}" when latestRevision is {str(latest).lower()}'
        yield FieldError(message, (f"{path}.latestRevision",))
    both = f"{path}.revisionName", f"{path}.configurationName"
    if within_service and configuration:
        yield disallowed(f"{path}.configurationName")
    elif revision and configuration:
        yield FieldError("expected exactly one, got both", both)
    elif not within_service and not revision and not configuration:
        yield FieldError("expected exactly one, got neither", both)
    for name, value in (("revisionName", revision), ("configurationName", configuration)):
        if value and (wrong := objections(QUALIFIED_NAME, value)):
            yield FieldError(f'invalid key name "{value}"', (f"{path}.{name}",), ", ".join(wrong))
    if target.percent is not None and not 0 <= target.percent <= 100:
        yield out_of_bounds(target.percent, 0, 100, f"{path}.percent")
    if target.url:
        yield disallowed(f"{path}.url")


def _domain_mapping(mapping: DomainMapping) -> Errors:
    """A domain has a name of its own, at least two labels long, and leads to something in its namespace."""
    meta, ref = mapping.metadata, mapping.spec.ref
    if meta.generate_name:
        yield disallowed("metadata.generateName")
    wrong = objections(SUBDOMAIN_1123, meta.name)
    if "." not in meta.name:
        wrong = ["should be a domain with at least two segments separated by dots"]
    if wrong:
        why = f'name: Invalid value: "{meta.name}": {" ".join(wrong)}'
        yield FieldError(f'invalid name "{meta.name}": {why}', ("metadata.name",))
    for name, value in (("name", ref.name), ("kind", ref.kind), ("apiVersion", ref.api_version)):
        if not value:
            yield missing(f"spec.ref.{name}")
    if ref.namespace not in ("", meta.namespace):
        details = f'parent namespace: "{meta.namespace}" does not match ref: "{ref.namespace}"'
        yield FieldError("mismatched namespaces", ("spec.ref.namespace",), details)


# --- what changed --------------------------------------------------------------------------------------


def _differences(old: msgspec.Struct, new: msgspec.Struct) -> str:
    """The changed leaves, as `path:`, `-: old`, `+: new`; empty when there are none."""
    before, after = dict(_leaves(msgspec.to_builtins(old))), dict(_leaves(msgspec.to_builtins(new)))
    lines = []
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            was, now = (
                msgspec.json.encode(side[path]).decode() if path in side else "<none>"
                for side in (before, after)
            )
            lines.append(f"{path}:\n\t-: {was}\n\t+: {now}\n")
    return "".join(lines)


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for name, child in value.items():
            yield from _leaves(child, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _leaves(child, f"{path}[{index}]")
    else:
        yield path, value
