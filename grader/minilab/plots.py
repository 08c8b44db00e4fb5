"""Plots of what a part did, for the benches of the notebooks; `course` is what `bench.course` returns.

Each draws with pyplot and returns nothing, so that a cell shows it, and more can be added with `plt`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

from minilab.bench import Course

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDE, HIGH = 8.0, 2.4  # inches, of one panel


def scale(course: Course, axes: "Axes | None" = None) -> None:
    """Desired scale and instances against the load."""
    axes = axes or _panels(1)[0]
    seconds = range(len(course.load))
    axes.fill_between(seconds, course.load, step="post", color="0.88", label="requests/s")
    axes.set_ylabel("requests/s")
    axes.set_ylim(bottom=0)
    pods = axes.twinx()
    pods.step(seconds, course.desired, where="post", color="tab:blue", label="desired")
    pods.step(seconds, course.instances, where="post", color="tab:orange", linestyle="--", label="there")
    pods.set_ylabel("instances")
    pods.set_ylim(bottom=0)
    pods.legend(loc="upper right")


def queue(course: Course, axes: "Axes | None" = None) -> None:
    """How many requests had no slot at the end of each second."""
    axes = axes or _panels(1)[0]
    axes.fill_between(range(len(course.waiting)), course.waiting, step="post", color="tab:red", alpha=0.5)
    axes.set_ylabel("waiting")


def latency(course: Course, axes: "Axes | None" = None) -> None:
    """The slowest answer of each second, and the median of all."""
    axes = axes or _panels(1)[0]
    slowest = [float("nan") if each is None else each for each in course.latency]
    axes.plot(range(len(slowest)), slowest, ".", color="tab:purple", label="slowest of a second")
    axes.axhline(course.p50, color="0.6", linestyle=":", label="median of all")
    axes.set_ylabel("latency, s")
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper right")


def overview(course: Course) -> None:
    """Scale, queue and latency, one above the other, and whose parts ran."""
    panels = _panels(3)
    for draw, axes in zip((scale, queue, latency), panels, strict=True):
        draw(course, axes)
    panels[-1].set_xlabel("second")
    plt.suptitle("\n".join(course.parts) or "the reference", fontsize="small")


def trade(courses: Mapping[str, Course]) -> None:
    """What is paid against how long users wait: a point for each course, by its name."""
    axes = _panels(1)[0]
    paid = [course.instance_seconds for course in courses.values()]
    waited = [course.p95 for course in courses.values()]
    axes.plot(paid, waited, "o-", color="tab:blue")
    for name, x, y in zip(courses, paid, waited, strict=True):
        axes.annotate(name, (x, y), textcoords="offset points", xytext=(5, 5))
    axes.set_xlabel("instance-seconds")
    axes.set_ylabel("95th percentile of latency, s")
    axes.set_ylim(bottom=0)


def lines(x: Sequence[float], curves: Mapping[str, Sequence[float]], xlabel: str, ylabel: str) -> None:
    """Any curves over the same x, by name."""
    axes = _panels(1)[0]
    for name, curve in curves.items():
        axes.plot(x, curve, label=name)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.legend()


def _panels(count: int) -> "list[Axes]":
    _, axes = plt.subplots(count, squeeze=False, sharex=True, figsize=(WIDE, HIGH * count), layout="tight")
    return list(axes[:, 0])
