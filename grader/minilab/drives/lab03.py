"""Lab 03: traffic. Hosts, the exact split, and the gradual rollout."""

from fractions import Fraction
from typing import Any  # cases are JSON of many shapes

from minirun.model.clock import SECOND_NS
from minirun.traffic.rollout import (
    ConfigurationRollout,
    RevisionShare,
    StepParams,
    advance,
    goal,
    plan,
)
from minirun.traffic.split import TrafficSplit
from minirun.traffic.table import Match, RouteEntry, first_claim, hosts_of, normalise_host, selected

T0_SECONDS = 1_700_000_000


class Unsplit(TrafficSplit):
    """A split of nothing, for matches that are only compared: the table is driven without a learner's own."""

    __slots__ = ()

    def __init__(self) -> None:
        self.targets = ()


def normalised(case: dict[str, Any]) -> list[str]:
    """Each of `hosts` as the table looks it up."""
    return [normalise_host(host) for host in case["hosts"]]


def hosts(case: dict[str, Any]) -> list[str]:
    """The hosts of a route or one of its tags: {namespace, name, tag, domain}."""
    return list(hosts_of(case["namespace"], case["name"], case["tag"], case["domain"]))


def lookups(case: dict[str, Any]) -> list[list[str] | None]:
    """Whose each of `asks` ([host, tag header]) is, as [namespace, name, tag]: {routes, domain, asks}.

    A route is {namespace, name, tags?, local?}; `local`: it answers inside only.
    """
    claims: dict[str, list[Match]] = {}
    for route in case["routes"]:
        entry = RouteEntry(route["namespace"], route["name"])
        for tag in ("", *route.get("tags", [])):
            match = Match(entry, tag, Unsplit())
            entry.tags.update({tag: match} if tag else {})
            domain = None if route.get("local") else case["domain"]
            for host in hosts_of(entry.namespace, entry.name, tag, domain):
                claims.setdefault(host, []).append(match)
    answers: list[list[str] | None] = []
    for host, tag in case["asks"]:
        wanted = claims.get(normalise_host(host))
        found = first_claim(wanted) if wanted else None
        if found is not None and tag:
            found = selected(found, tag)
        answers.append(None if found is None else [found.entry.namespace, found.entry.name, found.tag])
    return answers


def picks(case: dict[str, Any]) -> list[str]:
    """The targets of requests: {phases: [[targets, how many picks]]}; each split replaces the one before."""
    split, picked = None, []
    for targets, many in case["phases"]:
        split = TrafficSplit([(name, weight) for name, weight in targets], previous=split)
        picked += [split.pick() for _ in range(many)]
    return picked


def furthest(phases: list[Any], picked: list[str]) -> Fraction:
    """How far any target was from its exact share at any time. It calls nothing of a learner's."""
    exact: dict[str, Fraction] = {}
    counts: dict[str, int] = {}
    far, turn = Fraction(0), iter(picked)
    for targets, many in phases:
        total = sum(weight for _, weight in targets)
        for _ in range(many):
            for name, weight in targets:
                exact[name] = exact.get(name, Fraction(0)) + Fraction(weight, total)
            name = next(turn)
            counts[name] = counts.get(name, 0) + 1
            far = max(
                far, *(abs(counts.get(each, 0) - exact.get(each, Fraction(0))) for each in {*exact, name})
            )
    return far


def bound(targets: list[Any]) -> Fraction:
    """How far a target may be from its share: 1 - 1/(2k-2) for k targets."""
    many = len({name for name, weight in targets if weight})
    return 1 - Fraction(1, 2 * many - 2) if many > 1 else Fraction(0)


def planned(case: dict[str, Any]) -> dict[str, float]:
    """The plan of a rollout of `percent`, whose first percent took `first` of `duration` seconds.

    Answers the size in percent, the time of a step, and the time of the next from the start, in seconds.
    `step`: the time of a step of the plan that it has already.
    """
    start_ns = T0_SECONDS * SECOND_NS
    old = StepParams(start_ns, 0, _to_ns(case.get("step", 0)))
    shares = (RevisionShare("r1", case["percent"] - 1), RevisionShare("r2", 1))
    target = ConfigurationRollout("web", case["percent"], shares, "", old)
    params = plan(target, start_ns + _to_ns(case["first"]), case["duration"]).step_params
    after = (params.next_step_ns - start_ns) / SECOND_NS if params.next_step_ns else 0.0
    return {"size": params.size, "step": params.step_ns / SECOND_NS, "next": after}


def shares(case: dict[str, Any]) -> list[list[Any]]:
    """Who shares a rollout after each of `steps`: {shares: [[revision, percent]], params?, steps}.

    A step is [t, percent, latest revision], `t` in seconds. params: [start, next, step, size], in seconds
    and percent. The answer to a step is the shares, the size of the next step, and its time.
    """
    start, due, long, size = case.get("params", [0, 0, 0, 0])
    params = StepParams(_to_ns(start), _to_ns(due), _to_ns(long), size)
    revisions = tuple(RevisionShare(name, percent) for name, percent in case["shares"])
    state = ConfigurationRollout("web", sum(each.percent for each in revisions), revisions, "", params)
    answers = []
    for t, percent, latest in case["steps"]:
        state = advance(state, goal("web", percent, latest), _to_ns(t))
        now = [[each.revision_name, each.percent] for each in state.revisions]
        answers.append([now, state.step_params.size, state.step_params.next_step_ns / SECOND_NS])
    return answers


def rollout(case: dict[str, Any]) -> list[list[Any]]:
    """A whole rollout from r1 to r2, [[seconds, percent of r2]]: {percent, first, duration}."""
    percent, now_ns = case["percent"], T0_SECONDS * SECOND_NS
    target, start_ns = goal("web", percent, "r2"), now_ns
    state = advance(goal("web", percent, "r1"), target, now_ns)
    seen = [[0.0, state.revisions[-1].percent]]
    now_ns += _to_ns(case["first"])
    state = plan(state, now_ns, case["duration"])
    while state.step_params.next_step_ns and len(seen) <= percent:
        now_ns = state.step_params.next_step_ns
        state = advance(state, target, now_ns)
        seen.append([(now_ns - start_ns) / SECOND_NS, state.revisions[-1].percent])
    return seen


def _to_ns(seconds: float) -> int:
    return round(seconds * SECOND_NS)
