"""Gradual rollout: the latest revision of a Configuration gets its traffic in steps instead of all at once.

A new revision starts with 1 %. When the ingress serves that (`observe_ready`), the time this took says how
small a step may be; then one step after the other moves from the revision before to the newest. A still newer
revision starts again with 1 %, and the older ones run dry from the youngest. The state is the annotation
`serving.knative.dev/rollout` of the Route, in Knative's format. Counterpart in knative/serving: `Rollout`
(pkg/reconciler/route/traffic/rollout.go); the duration is annotation `serving.knative.dev/rollout-duration`
or `rollout-duration` of ConfigMap config-network. Times are unix nanoseconds.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from minirun.model.clock import SECOND_NS


class RevisionShare(msgspec.Struct, frozen=True, rename="camel"):
    """How many percent of the Route's traffic a revision gets."""

    revision_name: str
    percent: int


class StepParams(msgspec.Struct, frozen=True, omit_defaults=True):
    """When the rollout started and steps next, the time and percent of a step; 0 is not known yet."""

    start_ns: int = msgspec.field(default=0, name="starttime")
    next_step_ns: int = msgspec.field(default=0, name="nextStepTime")
    step_ns: int = msgspec.field(default=0, name="stepDuration")
    size: int = msgspec.field(default=0, name="stepSize")


class ConfigurationRollout(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One traffic target that follows a Configuration: its percent, and who shares it, oldest first."""

    configuration_name: str
    percent: int
    revisions: tuple[RevisionShare, ...] = ()
    tag: str = ""
    step_params: StepParams = StepParams()


class Rollout(msgspec.Struct, frozen=True, omit_defaults=True):
    """The rollouts of one Route, by tag and Configuration."""

    configurations: tuple[ConfigurationRollout, ...] = ()

    def to_annotation(self) -> str:
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_annotation(cls, text: str) -> "Rollout | None":
        """The state in an annotation; None, which begins anew, if somebody broke it."""
        try:
            rollout = msgspec.json.decode(text, type=cls)
        except (msgspec.DecodeError, UnicodeError):
            return None
        return rollout if all(map(_is_valid, rollout.configurations)) else None


class RolloutStep(NamedTuple):
    """The new state, and (revision, percent) lists by (tag, configuration)."""

    rollout: Rollout
    percents: dict[tuple[str, str], list[tuple[str, int]]]


def _is_valid(target: ConfigurationRollout) -> bool:
    shares = [share.percent for share in target.revisions]
    return (
        target.percent <= 100
        and 0 <= target.step_params.size <= target.percent
        and all(share >= 0 for share in shares)
        and sum(shares) == target.percent
    )


def goal(configuration: str, percent: int, latest_revision: str, tag: str = "") -> ConfigurationRollout:
    """What a traffic target with `latestRevision` asks for."""
    return ConfigurationRollout(configuration, percent, (RevisionShare(latest_revision, percent),), tag)


def step(state: Rollout | None, goals: Iterable[ConfigurationRollout], now_ns: int) -> RolloutStep:
    """Move on from `state` towards `goals`: start, go on with or finish the rollout of each target.

    A target that is new, or gets 1 % or less, gets its latest revision at once.
    """
    known = {(old.tag, old.configuration_name): old for old in state.configurations} if state else {}
    targets: dict[tuple[str, str], ConfigurationRollout] = {}
    for target in sorted(goals, key=lambda each: (each.tag, each.configuration_name)):
        key = (target.tag, target.configuration_name)
        old = known.get(key)
        if target.percent:
            targets[key] = target if old is None or target.percent == 1 else advance(old, target, now_ns)
    return RolloutStep(
        Rollout(tuple(targets.values())),
        {key: [(s.revision_name, s.percent) for s in target.revisions] for key, target in targets.items()},
    )


def next_step_after_seconds(state: Rollout, now_ns: int) -> float | None:
    """When to `step` again; None while there is no plan, or nothing left to do."""
    due = [each.step_params.next_step_ns for each in state.configurations if each.step_params.next_step_ns]
    return max(min(due) - now_ns, 0) / SECOND_NS if due else None


def observe_ready(state: Rollout, now_ns: int, duration_seconds: float) -> Rollout:
    """The ingress serves the first percent: plan the steps of each rollout that has no plan yet."""
    return Rollout(tuple(plan(target, now_ns, duration_seconds) for target in state.configurations))


def plan(target: ConfigurationRollout, now_ns: int, duration_seconds: float) -> ConfigurationRollout:
    """The target with the time and percent of its next step; as it is if it has a plan, or never started.

    The first percent took from `start_ns` until `now_ns`, in seconds rounded up, at least 1. What is left of
    `duration_seconds` after that, at least 1 second, is cut into steps as long as the first one; but there
    are at most as many steps as percent left to move, and at least 1. Size is percent left / steps, rounded
    half up.
    """
    params = target.step_params
    if params.step_ns or not params.start_ns:
        return target
    first_seconds = max(1, math.ceil((now_ns - params.start_ns) / SECOND_NS))
    seconds_left = max(1.0, duration_seconds - first_seconds)
    percent_left = target.percent - 1
    steps = min(max(1.0, seconds_left / first_seconds), percent_left)
    step_ns = int(seconds_left / steps * SECOND_NS)
    size = math.floor(percent_left / steps + 0.5)
    planned = StepParams(params.start_ns, now_ns + step_ns, step_ns, size)
    return msgspec.structs.replace(target, step_params=planned)


def advance(old: ConfigurationRollout, target: ConfigurationRollout, now_ns: int) -> ConfigurationRollout:
    """One look at a rollout: who shares the target's percent now.

    Args:
        old: how it stood; its shares sum to its own percent, which the user may have changed since.
        target: what is asked for: everything to the latest revision.

    Returns:
        `target` itself if its revision has everything then, or nobody had anything. If the latest is not the
        newest of `old`: 1 % more for it, started now, no plan yet. If the next step is due: `size` more for
        it, and the step after in `step_ns`. Else only the new sum (`_fit`). What the latest gets is taken
        from the youngest of the others first. A size is never larger than the target's percent.
    """
    shares, latest = _fit(old, target.percent), target.revisions[-1]
    if not shares or [share.revision_name for share in shares] == [latest.revision_name]:
        return target
    if shares[-1].revision_name != latest.revision_name:  # a newer revision: start with 1 %
        shares = _move(shares, latest.revision_name, 1)
        return msgspec.structs.replace(target, revisions=shares, step_params=StepParams(now_ns))
    # Knative keeps a step larger than a target that shrank, and then discards its own annotation as invalid.
    params = msgspec.structs.replace(old.step_params, size=min(old.step_params.size, target.percent))
    if params.size and now_ns >= params.next_step_ns:
        shares = _move(shares, latest.revision_name, params.size)
        if len(shares) == 1:
            return target
        params = msgspec.structs.replace(params, next_step_ns=now_ns + params.step_ns)
    return msgspec.structs.replace(target, revisions=shares, step_params=params)


def _fit(old: ConfigurationRollout, percent: int) -> tuple[RevisionShare, ...]:
    """The old shares for a new sum: more goes to the newest revision, less is taken from the oldest."""
    more = percent - old.percent
    if more <= 0 or not old.revisions:
        return _without(old.revisions, -more)
    *older, newest = old.revisions
    return (*older, RevisionShare(newest.revision_name, newest.percent + more))


def _move(shares: tuple[RevisionShare, ...], newest: str, percent: int) -> tuple[RevisionShare, ...]:
    """Move `percent` to the newest revision, from the youngest of the others first."""
    others = [share for share in shares if share.revision_name != newest]
    kept = _without(reversed(others), percent)[::-1]
    whole, left = (sum(share.percent for share in group) for group in (shares, kept))
    return (*kept, RevisionShare(newest, whole - left))


def _without(shares: Iterable[RevisionShare], percent: int) -> tuple[RevisionShare, ...]:
    """What is left of the shares when `percent` is taken, from the first of them first."""
    kept: list[RevisionShare] = []
    for share in shares:
        taken = min(share.percent, percent)
        percent -= taken
        if taken < share.percent:
            kept.append(RevisionShare(share.revision_name, share.percent - taken))
    return tuple(kept)
