"""What the files of a volume are: keys of ConfigMaps and Secrets, and facts of the Pod."""

import pytest
from controlworld import NS

from minirun.control.environment import ConfigError, Configs
from minirun.control.volumes import read_volumes
from minirun.model.clock import SystemClock
from minirun.model.meta import ObjectMeta
from minirun.model.resources import (
    ConfigMap,
    ConfigMapVolume,
    Container,
    DownwardAPIFile,
    DownwardAPIProjection,
    EmptyDirVolume,
    FieldSelector,
    KeyToPath,
    Pod,
    PodSpec,
    ProjectedVolume,
    ResourceFieldSelector,
    ResourceRequirements,
    Secret,
    SecretVolume,
    Volume,
    VolumeMount,
    VolumeSources,
)
from minirun.store.store import Store


@pytest.fixture
def configs() -> Configs:
    store = Store(SystemClock())
    site = ConfigMap(metadata=ObjectMeta(name="site", namespace=NS), data={"a": "1", "b": "2"})
    store.create(ConfigMap(site.api_version, site.kind, site.metadata, site.data, {"raw": b"\xff"}))
    store.create(Secret(metadata=ObjectMeta(name="db", namespace=NS), data={"1": b"old", "2": b"new"}))
    return Configs(store, NS)


def read(volume: Volume, configs: Configs) -> dict[str, tuple[bytes, int]]:
    """The files of a volume that the only container of a Pod mounts."""
    limits = ResourceRequirements(limits={"cpu": "1500m", "memory": "64Mi"})
    mount = VolumeMount(name=volume.name, mount_path="/x")
    container = Container(name="c", resources=limits, volume_mounts=[mount])
    meta = ObjectMeta(name="p", namespace=NS, uid="u", labels={"b": "2", "a": '1"'})
    pod = Pod(metadata=meta, spec=PodSpec(containers=[container], volumes=[volume, Volume(name="other")]))
    [files] = read_volumes(pod, container, configs)
    assert files.name == volume.name
    return {file.path: (file.content, file.mode) for file in files.files}


def test_all_keys_are_files_or_those_that_are_listed_with_their_modes(configs: Configs) -> None:
    assert read(Volume(name="v", config_map=ConfigMapVolume(name="site")), configs) == {
        "a": (b"1", 0o644),
        "b": (b"2", 0o644),
        "raw": (b"\xff", 0o644),
    }
    items = [KeyToPath(key="1", path="deep/one"), KeyToPath(key="2", path="two", mode=0o400)]
    secret = SecretVolume(secret_name="db", items=items, default_mode=0o600)
    assert read(Volume(name="v", secret=secret), configs) == {
        "deep/one": (b"old", 0o600),
        "two": (b"new", 0o400),
    }
    assert read(Volume(name="v", empty_dir=EmptyDirVolume()), configs) == {}


def test_on_cloud_run_a_listed_key_is_a_version(configs: Configs) -> None:
    secret = SecretVolume(secret_name="db", items=[KeyToPath(key="latest", path="password")])
    seen = read(Volume(name="v", secret=secret), configs._replace(versioned=True))
    assert seen == {"password": (b"new", 0o644)}


def test_a_projected_volume_gathers_all_its_sources(configs: Configs) -> None:
    def field(path: str) -> DownwardAPIFile:
        return DownwardAPIFile(
            path=path.replace("'", "").split(".")[-1], field_ref=FieldSelector(field_path=path)
        )

    def amount(resource: str, divisor: str) -> DownwardAPIFile:
        ref = ResourceFieldSelector(container_name="c", resource=resource, divisor=divisor)
        return DownwardAPIFile(path=f"{resource}/{divisor}", resource_field_ref=ref)

    fields = [field(f"metadata.{name}") for name in ("name", "namespace", "uid", "labels", "labels['b']")]
    items = [*fields, amount("limits.cpu", "1"), amount("limits.memory", "1Mi")]
    sources = [
        VolumeSources(config_map=ConfigMapVolume(name="site", items=[KeyToPath(key="a", path="a")])),
        VolumeSources(secret=ConfigMapVolume(name="nowhere", optional=True)),
        VolumeSources(downward_api=DownwardAPIProjection(items=items)),
    ]
    seen = read(Volume(name="v", projected=ProjectedVolume(sources=sources, default_mode=0o440)), configs)
    assert {mode for _, mode in seen.values()} == {0o440}
    assert {path: content.decode() for path, (content, _) in seen.items()} == {
        "a": "1",
        "name": "p",
        "namespace": NS,
        "uid": "u",
        "labels": 'a="1\\""\nb="2"',
        "labels[b]": "2",
        "limits.cpu/1": "2",
        "limits.memory/1Mi": "64",
    }


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        (Volume(name="v", config_map=ConfigMapVolume(name="no")), 'configmap "no" not found'),
        (
            Volume(name="v", secret=SecretVolume(secret_name="db", items=[KeyToPath(key="9", path="x")])),
            "couldn't find key 9 in Secret default/db",
        ),
    ],
)
def test_what_is_missing_is_said_with_the_volume(volume: Volume, message: str, configs: Configs) -> None:
    with pytest.raises(ConfigError) as raised:
        read(volume, configs)
    assert str(raised.value) == f'MountVolume.SetUp failed for volume "v" : {message}'
