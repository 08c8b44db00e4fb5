"""The files of an instance's volumes: ConfigMaps, Secrets, and what its Pod says of itself.

They are read when a container starts, as its environment is. Counterpart: the kubelet's volume plugins
configmap, secret, emptydir, projected and downwardapi.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from minirun.control.environment import ConfigError, Configs
from minirun.model.quantity import parse_quantity
from minirun.model.resources import (
    ConfigMap,
    ConfigMapVolume,
    Container,
    DownwardAPIFile,
    KeySelector,
    KeyToPath,
    Pod,
    ResourceFieldSelector,
    Secret,
    Volume,
    VolumeSources,
)
from minirun.runtime.base import Volume as Files
from minirun.runtime.base import VolumeFile

DEFAULT_MODE: Final = 0o644
_SUBSCRIPT: Final = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]")


def read_volumes(pod: Pod, container: Container, configs: Configs) -> tuple[Files, ...]:
    """The volumes that a container mounts, with what is in them now.

    Raises:
        ConfigError: something in them is not there; it is said as the kubelet's event FailedMount says it.
    """
    mounted = {mount.name for mount in container.volume_mounts}
    return tuple(_read(volume, pod, configs) for volume in pod.spec.volumes if volume.name in mounted)


def _read(volume: Volume, pod: Pod, configs: Configs) -> Files:
    try:
        return Files(volume.name, tuple(_files(volume, pod, configs)))
    except ConfigError as error:
        raise ConfigError(f'MountVolume.SetUp failed for volume "{volume.name}" : {error}') from None


def _files(volume: Volume, pod: Pod, configs: Configs) -> Iterator[VolumeFile]:
    for kind, is_wanted in (("Cloud Storage", volume.csi), ("NFS", volume.nfs)):
        if is_wanted:
            raise ConfigError(f"a process of this machine can't mount {kind}; use a local folder instead")
    if (config := volume.config_map) is not None:
        yield from _keys(ConfigMap, config, config.default_mode, configs)
    if (secret := volume.secret) is not None:
        source = ConfigMapVolume(name=secret.secret_name, items=secret.items, optional=secret.optional)
        yield from _keys(Secret, source, secret.default_mode, configs)
    for part in volume.projected.sources if volume.projected else ():
        yield from _projected(part, volume.projected.default_mode if volume.projected else None, pod, configs)


def _projected(
    part: VolumeSources, default_mode: int | None, pod: Pod, configs: Configs
) -> Iterator[VolumeFile]:
    if part.config_map is not None:
        yield from _keys(ConfigMap, part.config_map, default_mode, configs)
    if part.secret is not None:
        yield from _keys(Secret, part.secret, default_mode, configs)
    for file in part.downward_api.items if part.downward_api else ():
        mode = default_mode if file.mode is None else file.mode
        yield VolumeFile(file.path, _downward(file, pod).encode(), DEFAULT_MODE if mode is None else mode)
    if part.service_account_token is not None:
        raise ConfigError(
            "service account tokens are not written into files here; leave serviceAccountToken out"
        )


def _keys(
    kind: type[ConfigMap | Secret], source: ConfigMapVolume, mode: int | None, configs: Configs
) -> Iterator[VolumeFile]:
    """All keys of an object as files, or those that are listed."""
    default = DEFAULT_MODE if mode is None else mode
    items: Sequence[KeyToPath] = source.items
    if not items:
        items = [KeyToPath(key=k, path=k) for k in configs.read(kind, source.name, source.optional)]
    for item in items:
        wanted = KeySelector(name=source.name, key=item.key, optional=source.optional)
        content = configs.value(kind, wanted)
        if content is not None:
            yield VolumeFile(item.path, content, default if item.mode is None else item.mode)


def _downward(file: DownwardAPIFile, pod: Pod) -> str:
    if file.resource_field_ref is not None:
        return _amount(file.resource_field_ref, pod)
    meta, path = pod.metadata, file.field_ref.field_path if file.field_ref else ""
    if found := _SUBSCRIPT.fullmatch(path):
        values: Mapping[str, str] = getattr(meta, found[1])
        return values.get(found[2], "")
    fields: dict[str, str | dict[str, str]] = {
        "metadata.name": meta.name,
        "metadata.namespace": meta.namespace,
        "metadata.uid": meta.uid,
        "metadata.labels": meta.labels,
        "metadata.annotations": meta.annotations,
    }
    if path not in fields:
        raise ConfigError(f"unsupported fieldPath: {path}")
    value = fields[path]
    if isinstance(value, str):
        return value
    return "\n".join(f"{key}={json.dumps(text, ensure_ascii=False)}" for key, text in sorted(value.items()))


def _amount(wanted: ResourceFieldSelector, pod: Pod) -> str:
    """A container's limit or request, in whole divisors, rounded up."""
    container = next((c for c in pod.spec.containers if c.name == wanted.container_name), None)
    which, _, resource = wanted.resource.partition(".")
    if container is None or which not in ("limits", "requests"):
        raise ConfigError(f"unsupported resource: {wanted.resource} of container {wanted.container_name}")
    declared = getattr(container.resources, which, {}).get(resource, 0)
    return str(math.ceil(parse_quantity(declared) / parse_quantity(wanted.divisor or 1)))
