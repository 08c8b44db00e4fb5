"""What operators set when they start a platform: ConfigMaps of `knative-serving`, from a file or by name.

They are checked as those that come through the API. Counterpart: the ConfigMaps in Knative's release YAML.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from minirun.api.admission import CONFIG_PARSERS
from minirun.model.manifests import read_documents
from minirun.model.meta import ObjectMeta, Resource
from minirun.model.resources import ConfigMap
from minirun.model.settings import SYSTEM_NAMESPACE
from minirun.store.store import Store


def seed_settings(store: Store, settings: Mapping[str, Mapping[str, str]]) -> None:
    """Writes ConfigMaps of `knative-serving`; values given here win over those that are stored.

    Raises:
        ValueError: a value is not allowed; nothing is written then.
    """
    wanted: list[Resource] = []
    for name, data in settings.items():
        stored = store.find(ConfigMap, SYSTEM_NAMESPACE, name)
        merged = {**(stored.data if stored else {}), **data}
        if name in CONFIG_PARSERS:
            try:
                CONFIG_PARSERS[name](merged)
            except ValueError as error:
                raise ValueError(f"ConfigMap {name}: {error}") from None
        meta = stored.metadata if stored else ObjectMeta(name=name, namespace=SYSTEM_NAMESPACE)
        wanted.append(ConfigMap(metadata=meta, data=merged))
    for new in wanted:
        (store.update if new.metadata.uid else store.create)(new)


def read_settings(path: Path) -> dict[str, dict[str, str]]:
    """The data of the ConfigMaps in a YAML file, by name.

    Raises:
        ValueError: the file is not YAML, or has something else in it; one sentence.
    """
    try:
        maps = read_documents(path.read_text(encoding="utf-8"))
        if other := next((item["kind"] for item in maps if item["kind"] != "ConfigMap"), None):
            raise ValueError(f"holds a {other}; settings are ConfigMaps only")
        read = [msgspec.convert(item, ConfigMap, strict=False) for item in maps]
    except (ValueError, msgspec.ValidationError) as error:
        raise ValueError(f"the settings file {path} {error}") from None
    return {item.metadata.name: item.data for item in read}
