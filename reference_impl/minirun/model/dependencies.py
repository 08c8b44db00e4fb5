"""Which containers of an instance wait for which: Cloud Run's annotation `container-dependencies`. Pure."""

from collections.abc import Collection, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Final

import msgspec

CONTAINER_DEPENDENCIES: Final = "run.googleapis.com/container-dependencies"


def parse_dependencies(annotations: Mapping[str, str], containers: Collection[str]) -> dict[str, list[str]]:
    """The containers that must have started before a container starts, by its name.

    Args:
        annotations: of a revision's template; with `{"web": ["proxy"]}`, `web` waits for `proxy`.
        containers: the names of all containers.

    Raises:
        ValueError: it is not JSON of that form, names no container, or goes round in a circle; one sentence.
    """
    text = annotations.get(CONTAINER_DEPENDENCIES, "{}")
    try:
        waits_for = msgspec.json.decode(text, type=dict[str, list[str]])
        TopologicalSorter(waits_for).prepare()
    except msgspec.DecodeError:
        raise ValueError(f'{text!r} is not JSON of the form {{"CONTAINER": ["CONTAINER"]}}') from None
    except CycleError as error:
        raise ValueError(f"the containers {', '.join(error.args[1])} wait for each other") from None
    if unknown := {name for row in waits_for.items() for name in (row[0], *row[1])} - set(containers):
        raise ValueError(f"there is no container {', '.join(sorted(unknown))}")
    return waits_for
