"""Minimum, maximum and a fixed number of instances of a whole Service, spread over its revisions.

Cloud Run's annotations of a Service (`run.googleapis.com/minScale`, `maxScale`, `scalingMode` with
`manualInstanceCount`) count instances of all its revisions together. Each revision gets the part of them that
its share of the traffic is, rounded up; its own bounds hold too. Counterpart: Cloud Run's service-level
scaling ("about minimum instances": service-level minimum instances are divided among revisions by traffic).
"""

from collections.abc import Iterable, Mapping
from typing import Final

from minirun.autoscaling.spec import PREFIX, find_annotation
from minirun.control.children import Key
from minirun.control.context import Context
from minirun.model.labels import RUN
from minirun.model.resources import Route, TrafficTarget
from minirun.store.store import Event

KEYS: Final = tuple(RUN + name for name in ("minScale", "maxScale", "scalingMode", "manualInstanceCount"))


def _whole(annotations: Mapping[str, str], key: str) -> int | None:
    text = annotations.get(key, "")
    return int(text) if text.isdecimal() else None


def share_of(traffic: Iterable[TrafficTarget], revision: str) -> int:
    """The percent of the traffic that a revision has."""
    return sum(target.percent or 0 for target in traffic if target.revision_name == revision)


def bounds_of(annotations: Mapping[str, str], own: Mapping[str, str], share_percent: int) -> dict[str, str]:
    """The scale annotations of a revision that follow from those of its Service; they win over its own.

    Args:
        annotations: of the Service.
        own: of the revision.
        share_percent: of the Service's traffic.
    """
    if not share_percent or not any(key in annotations for key in KEYS):
        return {}

    def part(count: int) -> int:
        return -(-count * share_percent // 100)

    manual = _whole(annotations, f"{RUN}manualInstanceCount")
    if manual is not None and annotations.get(f"{RUN}scalingMode", "").lower() == "manual":
        fixed = str(part(manual))
        return _bounds(fixed, str(max(1, int(fixed))))
    own_least, own_most = (_own(own, name) for name in ("min-scale", "max-scale"))
    least = max(own_least, part(_whole(annotations, f"{RUN}minScale") or 0))
    most = _whole(annotations, f"{RUN}maxScale")
    limits = [limit for limit in (own_most, part(most) if most else 0) if limit]
    highest = min(limits) if limits else 0
    return _bounds(str(min(least, highest) if highest else least), str(highest) if highest else "")


def _bounds(least: str, most: str) -> dict[str, str]:
    return {f"{PREFIX}min-scale": least} | ({f"{PREFIX}max-scale": most} if most else {})


def _own(annotations: Mapping[str, str], name: str) -> int:
    found = find_annotation(annotations, name)
    return int(found[1]) if found and found[1].isdecimal() else 0


def scaled_by_route(ctx: Context, event: Event) -> Iterable[Key]:
    """The PodAutoscalers whose bounds may follow from a Route's annotations or its traffic."""
    for route in (event.old, event.object):
        if isinstance(route, Route) and any(key in route.metadata.annotations for key in KEYS):
            for target in route.status.traffic:
                yield Key("PodAutoscaler", route.metadata.namespace, target.revision_name)
