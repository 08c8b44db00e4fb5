"""Splits requests over revisions by percent, without chance: exact in the long run and even in the short.

After any number of picks, each target's count differs from its exact share by at most 1 - 1/(2k-2), where k
is the number of targets (by 0 if k is 1): a 1 % canary gets one request in every hundred, not none and then
three. This is Tijdeman's algorithm for the chairman assignment problem (R. Tijdeman, Discrete Mathematics 32,
1980), whose bound no algorithm can beat. Knative leaves the split to the ingress, where it is random (Envoy's
weighted clusters).
"""

from collections.abc import Sequence


class TrafficSplit:
    """Picks targets in proportion to their weights.

    A target's *credit* is its exact share of the picks so far minus its picks. Only targets with enough
    credit may be picked, and of these the one whose credit would be the first to break the bound.

    Args:
        targets: (name, weight) pairs; a name may come twice; weights are whole numbers and may have any sum
            above 0.
        previous: the split that this one replaces. Credits go on, or a canary in a split that changes all the
            time would always wait for its first turn.
    """

    __slots__ = ("_credits", "_names", "_spread", "_total", "_weights", "targets")

    def __init__(self, targets: Sequence[tuple[str, int]], previous: "TrafficSplit | None" = None) -> None:
        weights: dict[str, int] = {}
        for name, weight in targets:
            if weight < 0:
                raise ValueError(f"target {name!r} has weight {weight}; give it a weight of 0 or more")
            if weight:
                weights[name] = weights.get(name, 0) + weight
        if not weights:
            raise ValueError(
                f"the targets {list(targets)} have no weight; give at least one a weight above 0"
            )
        self.targets = tuple(targets)
        self._names = list(weights)
        self._weights = list(weights.values())
        self._total = sum(self._weights)  # credits are counted in 1/total of a pick
        self._spread = max(2 * len(weights) - 2, 1)
        self._credits = [0] * len(weights)
        if previous is not None:
            self.inherit(previous)

    def inherit(self, previous: "TrafficSplit") -> None:
        """Take over the credits of targets that both splits have; the heaviest makes the sum 0 again."""
        old = dict(zip(previous._names, previous._credits, strict=True))
        self._credits = [int(old.get(name, 0) * self._total / previous._total) for name in self._names]
        heaviest = self._weights.index(max(self._weights))
        self._credits[heaviest] -= sum(self._credits)

    def pick(self) -> str:
        """The target of the next request."""
        total, spread, credits = self._total, self._spread, self._credits
        chosen, earliest = 0, None
        for position, weight in enumerate(self._weights):
            credits[position] = credit = credits[position] + weight
            if credit * spread >= total:
                picks_left = (total * (spread - 1) - credit * spread) // (weight * spread)
                if earliest is None or picks_left < earliest:
                    chosen, earliest = position, picks_left
        credits[chosen] -= total
        return self._names[chosen]
