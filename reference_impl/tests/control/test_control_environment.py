"""Variables from values, ConfigMaps and Secrets, and what is said when something is not there."""

import pytest
from controlworld import NS, World, play

from minirun.control.environment import ConfigError, Configs, environment
from minirun.control.revision import HEALTHY, RESOURCES
from minirun.model.clock import SystemClock
from minirun.model.conditions import status_of
from minirun.model.expansion import expand
from minirun.model.meta import ObjectMeta, replace
from minirun.model.resources import (
    ConfigMap,
    Container,
    EnvFromSource,
    EnvSource,
    EnvVar,
    EnvVarSource,
    KeySelector,
    Secret,
)
from minirun.store.store import Store, edit


def meta(name: str) -> ObjectMeta:
    return ObjectMeta(name=name, namespace=NS)


def from_config_map(name: str, key: str, optional: bool | None = None) -> EnvVarSource:
    return EnvVarSource(config_map_key_ref=KeySelector(name=name, key=key, optional=optional))


def from_secret(name: str, key: str, optional: bool | None = None) -> EnvVarSource:
    return EnvVarSource(secret_key_ref=KeySelector(name=name, key=key, optional=optional))


@pytest.fixture
def configs() -> Configs:
    store = Store(SystemClock())
    store.create(ConfigMap(metadata=meta("site"), data={"HOST": "a.example", "PORT_": "80"}))
    store.create(ConfigMap(metadata=meta("more"), data={"HOST": "b.example"}))
    store.create(Secret(metadata=meta("db"), data={"password": b"s3cret", "raw": b"\xff\x00"[:1]}))
    store.create(Secret(metadata=meta("token"), data={"1": b"one", "9": b"nine", "10": b"ten"}))
    store.create(Secret(metadata=meta("single"), data={"value": b"only"}))
    return Configs(store, NS)


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)-$(B)", "1-2"),
        ("$(MISSING) $() $A $", "$(MISSING) $() $A $"),
        ("$$(A) $$$(A) $$", "$(A) $1 $"),
        ("$(A", "$(A"),
        ("$(C)", "$(A)"),
    ],
)
def test_references_are_expanded_as_kubernetes_does(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1", "B": "2", "C": "$(A)"}) == expanded


def test_values_come_from_everywhere_and_the_later_wins(configs: Configs) -> None:
    container = Container(
        env_from=[
            EnvFromSource(config_map_ref=EnvSource(name="site")),
            EnvFromSource(config_map_ref=EnvSource(name="more")),
            EnvFromSource(prefix="DB_", secret_ref=EnvSource(name="db")),
            EnvFromSource(secret_ref=EnvSource(name="nowhere", optional=True)),
        ],
        env=[
            EnvVar(name="URL", value="http://$(HOST):$(PORT_)/$(LATER)"),
            EnvVar(name="LATER", value="x"),
            EnvVar(name="PASSWORD", value_from=from_secret("db", "password")),
            EnvVar(name="PORT_", value_from=from_config_map("site", "PORT_")),
            EnvVar(name="ABSENT", value_from=from_config_map("site", "absent", optional=True)),
            EnvVar(name="NOWHERE", value_from=from_secret("nowhere", "x", optional=True)),
            EnvVar(name="EMPTY"),
        ],
    )
    assert environment(container, configs) == {
        "HOST": "b.example",
        "PORT_": "80",
        "DB_password": "s3cret",
        "DB_raw": "\udcff",
        "URL": "http://b.example:80/$(LATER)",
        "LATER": "x",
        "PASSWORD": "s3cret",
        "EMPTY": "",
    }


@pytest.mark.parametrize(
    ("container", "message"),
    [
        (
            Container(env=[EnvVar(name="A", value_from=from_config_map("none", "k"))]),
            'configmap "none" not found',
        ),
        (Container(env=[EnvVar(name="A", value_from=from_secret("none", "k"))]), 'secret "none" not found'),
        (
            Container(env=[EnvVar(name="A", value_from=from_secret("db", "k"))]),
            "couldn't find key k in Secret default/db",
        ),
        (
            Container(env=[EnvVar(name="A", value_from=from_config_map("site", "k"))]),
            "couldn't find key k in ConfigMap default/site",
        ),
        (
            Container(env_from=[EnvFromSource(secret_ref=EnvSource(name="none"))]),
            'secret "none" not found',
        ),
    ],
)
def test_what_is_missing_is_said_as_the_kubelet_says_it(
    container: Container, message: str, configs: Configs
) -> None:
    with pytest.raises(ConfigError) as raised:
        environment(container, configs)
    assert (raised.value.reason, str(raised.value)) == ("CreateContainerConfigError", message)


def test_on_cloud_run_keys_are_versions_and_latest_is_the_highest(configs: Configs) -> None:
    def value(name: str, version: str) -> str:
        container = Container(env=[EnvVar(name="A", value_from=from_secret(name, version))])
        return environment(container, configs._replace(versioned=True))["A"]

    assert [value("token", version) for version in ("1", "9", "latest")] == ["one", "nine", "ten"]
    assert value("single", "latest") == "only"
    with pytest.raises(ConfigError, match="couldn't find key latest in Secret default/db"):
        value("db", "latest")


def test_a_missing_secret_fails_the_revision_and_one_that_comes_late_is_found() -> None:
    async def scene(world: World) -> None:
        service = world.deploy("hello")
        template = service.spec.template
        variable = EnvVar(name="PASSWORD", value_from=from_secret("db", "password"))
        container = replace(template.spec.containers[0], env=[variable])
        template = replace(template, spec=replace(template.spec, containers=[container]))
        edit(world.store, service, spec=replace(service.spec, template=template))
        await world.until(lambda: world.pods("hello-00001"))
        await world.until(
            lambda: status_of(world.revision("hello-00001").status.conditions, RESOURCES) == "False"
        )
        said = world.condition(world.revision("hello-00001"), RESOURCES)
        assert (said.reason, said.message) == ("CreateContainerConfigError", 'secret "db" not found')
        assert world.condition(world.revision("hello-00001"), HEALTHY).status != "False"
        [pod] = world.pods("hello-00001")
        [status] = pod.status.container_statuses
        assert status.state.waiting is not None
        assert status.state.waiting.reason == "CreateContainerConfigError"
        assert (status.restart_count, status.last_state) == (0, None)
        world.store.create(Secret(metadata=meta("db"), data={"password": b"x"}))
        await world.until(lambda: world.verdict("hello") == "True", seconds=60)
        assert dict(world.runtime.processes[world.pods("hello-00001")[0].status.pod_ip].spec.env) == {
            "PASSWORD": "x"
        }

    play(scene)
