"""What is refused of environment sources, volumes, mounts and security contexts: rules of Knative's webhook.

Counterpart: knative/serving pkg/apis/serving/k8s_validation.go.
"""

import posixpath
from collections.abc import Sequence
from typing import Final

from minirun.model.field_errors import (
    Errors,
    FieldError,
    disallowed,
    exactly_one,
    invalid,
    missing,
    out_of_bounds,
)
from minirun.model.names import LABEL_1123, objections
from minirun.model.quantity import parse_quantity
from minirun.model.resources import (
    ConfigMapVolume,
    Container,
    DownwardAPIFile,
    EnvFromSource,
    KeyToPath,
    RevisionSpec,
    SecurityContext,
    Volume,
    VolumeMount,
    VolumeSources,
)
from minirun.model.settings import INT32_MAX

RESERVED_PATHS: Final = ("/", "/dev", "/dev/log")
TERMINATION_MESSAGE_POLICIES: Final = ("", "File", "FallbackToLogsOnError")
CAPABILITY: Final = "NET_BIND_SERVICE"  # the only one that may be added


def check_pod(spec: RevisionSpec, path: str) -> Errors:
    """What is wrong with the volumes of a revision, and with what its containers take from outside.

    Args:
        path: of `spec`.
    """
    mounted = {mount.name for container in spec.containers for mount in container.volume_mounts}
    seen: set[str] = set()
    for index, volume in enumerate(spec.volumes):
        here = f"{path}.volumes[{index}]"
        if volume.name in seen:
            yield FieldError(f'duplicate volume name "{volume.name}"', (f"{here}.name",))
        if volume.name not in mounted:
            yield FieldError(f'volume with name "{volume.name}" not mounted', (f"{here}.name",))
        seen.add(volume.name)
        yield from _volume(volume, here)
    for index, container in enumerate(spec.containers):
        yield from _container(container, seen, f"{path}.containers[{index}]")


def _container(container: Container, volumes: set[str], path: str) -> Errors:
    for index, source in enumerate(container.env_from):
        yield from _env_from(source, f"{path}.envFrom[{index}]")
    yield from _mounts(container.volume_mounts, volumes, f"{path}.volumeMounts")
    if container.security_context is not None:
        yield from _security_context(container.security_context, f"{path}.securityContext")
    if container.termination_message_policy not in TERMINATION_MESSAGE_POLICIES:
        yield invalid(container.termination_message_policy, f"{path}.terminationMessagePolicy")


def _env_from(source: EnvFromSource, path: str) -> Errors:
    members = {"configMapRef": source.config_map_ref, "secretRef": source.secret_ref}
    yield from exactly_one([name for name, ref in members.items() if ref], list(members), path)


def _mounts(mounts: Sequence[VolumeMount], volumes: set[str], path: str) -> Errors:
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        here, clean = f"{path}[{index}]", posixpath.normpath(mount.mount_path)
        if mount.name not in volumes:
            yield FieldError("volumeMount has no matching volume", (f"{here}.name",))
        if not mount.mount_path:
            yield missing(f"{here}.mountPath")
        elif clean in RESERVED_PATHS:
            yield FieldError(f'mountPath "{clean}" is a reserved path', (f"{here}.mountPath",))
        elif not posixpath.isabs(clean):
            yield invalid(mount.mount_path, f"{here}.mountPath")
        elif clean in seen:
            yield invalid(f'"{mount.mount_path}" must be unique', f"{here}.mountPath")
        seen.add(clean)


def _volume(volume: Volume, path: str) -> Errors:
    if not volume.name:
        yield missing(f"{path}.name")
    elif objections(LABEL_1123, volume.name):
        yield invalid(volume.name, f"{path}.name")
    members = {
        "secret": volume.secret,
        "configMap": volume.config_map,
        "projected": volume.projected,
        "emptyDir": volume.empty_dir,
    }
    elsewhere = {"csi": volume.csi, "nfs": volume.nfs}  # not Knative's: they are in no list of its own
    chosen = [name for name, source in (members | elsewhere).items() if source]
    yield from exactly_one(chosen, list(members), path)
    for files in (volume.secret, volume.config_map):
        yield from _items(files.items if files else [], path)
    for index, source in enumerate(volume.projected.sources if volume.projected else ()):
        yield from _projection(source, f"{path}.projected[{index}]")
    if (folder := volume.empty_dir) is not None:
        if folder.medium not in ("", "Memory"):
            yield invalid(folder.medium, f"{path}.emptyDir.medium")
        try:
            if parse_quantity(folder.size_limit or 0) < 0:
                yield invalid(folder.size_limit, f"{path}.emptyDir.sizeLimit")
        except ValueError as error:
            yield invalid(folder.size_limit, f"{path}.emptyDir.sizeLimit", str(error))


def _items(items: Sequence[KeyToPath], path: str) -> Errors:
    for index, item in enumerate(items):
        for name in ("key", "path"):
            if not getattr(item, name):
                yield missing(f"{path}.items[{index}].{name}")


def _projection(source: VolumeSources, path: str) -> Errors:
    members = {
        "secret": source.secret,
        "configMap": source.config_map,
        "serviceAccountToken": source.service_account_token,
        "downwardAPI": source.downward_api,
    }
    yield from exactly_one([name for name, member in members.items() if member], list(members), path)
    for name in ("secret", "configMap"):
        if isinstance(files := members[name], ConfigMapVolume):
            if not files.name:
                yield missing(f"{path}.{name}.name")
            yield from _items(files.items, f"{path}.{name}")
    if source.service_account_token is not None and not source.service_account_token.path:
        yield missing(f"{path}.serviceAccountToken.path")
    for index, file in enumerate(source.downward_api.items if source.downward_api else ()):
        yield from _downward_file(file, f"{path}.downwardAPI.items[{index}]")


def _downward_file(file: DownwardAPIFile, path: str) -> Errors:
    if file.field_ref is not None and file.resource_field_ref is not None:
        both = f"{path}.resourceFieldRef", f"{path}.fieldRef"
        yield FieldError("Within a single item, cannot set both", both)
    elif file.field_ref is None and file.resource_field_ref is None:
        yield from exactly_one([], ["fieldRef", "resourceFieldRef"], path)
    if not file.path:
        yield missing(f"{path}.path")


def _security_context(context: SecurityContext, path: str) -> Errors:
    for name, number in (("runAsUser", context.run_as_user), ("runAsGroup", context.run_as_group)):
        if number is not None and not 0 <= number <= INT32_MAX:
            yield out_of_bounds(number, 0, INT32_MAX, f"{path}.{name}")
    if context.capabilities is not None and set(context.capabilities.add) - {CAPABILITY}:
        yield disallowed(f"{path}.capabilities.add")
