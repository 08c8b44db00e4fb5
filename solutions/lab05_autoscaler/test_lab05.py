"""Lab 05's public checks: windows, the decider, and Knative's recorded decisions."""

from random import Random

import pytest

from minilab.part import Part


@pytest.mark.task("5.1")
def test_gap_counts_as_zero(part: Part, rng: Random) -> None:
    """A second without a sample counts as zero."""
    case = {"kind": "linear", "window": 10, "granularity": 1, "t0": 946684800}
    part.gives(
        "window",
        {**case, "ops": [["r", 0, 6.0], ["r", 2, 3.0], ["a", 2]]},
        [{}, {}, {"a": 3.0}],
        "invariant 2",
    )


@pytest.mark.task("5.2")
def test_panic_never_falls(part: Part, rng: Random) -> None:
    """In panic the number of pods never falls."""
    spec = {
        "scalingMetric": "concurrency",
        "targetValue": 1,
        "totalValue": 1,
        "targetBurstCapacity": -1,
        "activatorCapacity": 100,
        "panicThreshold": 2,
        "maxScaleUpRate": 1000,
        "maxScaleDownRate": 2,
        "stableWindow": 60,
        "scaleDownDelay": 0,
        "initialScale": 1,
        "activationScale": 0,
        "reachable": True,
    }
    steps = [
        {"t": 2 * n, "ready": 1 + n, "stable": load, "panic": load}
        for n, load in enumerate([1.0, 20.0, 3.0, 1.0])
    ]
    part.same("decide", {"spec": spec, "t0": 946684800, "initReady": 1, "steps": steps}, "invariant 4")
