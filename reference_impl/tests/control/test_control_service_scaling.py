"""Minimum, maximum and a fixed number of instances of a whole Service, over its revisions."""

import asyncio

import pytest
from controlworld import World, play

from minirun.control.service_scaling import bounds_of
from minirun.model.resources import TrafficTarget

RUN, SCALE = "run.googleapis.com/", "autoscaling.knative.dev/"


@pytest.mark.parametrize(
    ("service", "own", "share", "least", "most"),
    [
        ({"minScale": "4"}, {}, 100, "4", None),
        ({"minScale": "5"}, {}, 50, "3", None),
        ({"minScale": "4"}, {"minScale": "6"}, 50, "6", None),
        ({"minScale": "4", "maxScale": "10"}, {"maxScale": "3"}, 100, "3", "3"),
        ({"maxScale": "10"}, {"maxScale": "100"}, 30, "0", "3"),
        ({"scalingMode": "manual", "manualInstanceCount": "3"}, {"maxScale": "1"}, 100, "3", "3"),
        ({"scalingMode": "automatic", "manualInstanceCount": "3"}, {}, 100, "0", None),
    ],
)
def test_a_revision_gets_its_part_of_the_bounds_of_its_service(
    service: dict[str, str], own: dict[str, str], share: int, least: str, most: str | None
) -> None:
    bounds = bounds_of(
        {RUN + k: v for k, v in service.items()}, {SCALE + k: v for k, v in own.items()}, share
    )
    assert bounds.get(f"{SCALE}min-scale") == least
    assert bounds.get(f"{SCALE}max-scale") == most


def test_a_revision_without_traffic_or_a_service_without_bounds_changes_nothing() -> None:
    assert bounds_of({f"{RUN}minScale": "3"}, {}, 0) == {}
    assert bounds_of({"other": "3"}, {}, 100) == {}


def test_the_minimum_of_a_service_moves_with_its_traffic_and_goes_without_a_new_revision() -> None:
    async def scene(world: World) -> None:
        def replicas(revision: str) -> int:
            return world.deployment(revision).spec.replicas

        own = {f"{RUN}minScale": "4"}
        world.deploy("hello", own=own)
        await world.until_ready("hello")
        await world.until(lambda: replicas("hello-00001") == 4)
        split = [
            TrafficTarget(revision_name="hello-00001", latest_revision=False, percent=25),
            TrafficTarget(latest_revision=True, percent=75),
        ]
        world.deploy("hello", env="2", own=own, traffic=split)
        await world.until_ready("hello")
        await world.until(lambda: (replicas("hello-00001"), replicas("hello-00002")) == (1, 3))
        world.deploy("hello", env="2", own={}, traffic=split)
        await asyncio.sleep(300)
        assert (replicas("hello-00001"), replicas("hello-00002")) == (0, 0)
        assert world.configuration("hello").status.latest_created_revision_name == "hello-00002"

    play(scene)
