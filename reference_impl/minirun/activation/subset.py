"""Which of many activators serve a revision: a few points on a circle, the same ones wherever it is asked.

Activators are hashed onto a circle of 2048 slots; from a start angle one walks in equal steps, both given by
the revision's name, and takes the next activator after each. A new activator changes few choices.
Counterpart: `ChooseSubset` of knative.dev/pkg (hash/hash.go), used by the ServerlessService reconciler.
"""

from bisect import bisect_left
from collections.abc import Collection

UNIVERSE = 2048
_FNV_OFFSET, _FNV_PRIME, _MASK = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1


def fnv1a_64(data: bytes) -> int:
    """The 64-bit FNV-1a hash (Fowler, Noll, Vo)."""
    value = _FNV_OFFSET
    for byte in data:
        value = (value ^ byte) * _FNV_PRIME & _MASK
    return value


def choose_subset(addresses: Collection[str], count: int, target: str) -> list[str]:
    """The `count` addresses that serve `target`, sorted; all of them if `count` is 0 or not smaller than
    their number.

    Args:
        addresses: the activators' addresses, each once.
        target: the revision's name.
    """
    if count == 0 or count >= len(addresses):
        return sorted(addresses)
    slots: dict[int, str] = {}
    for address in sorted(addresses):
        text = address + target
        hashed = fnv1a_64(text.encode())
        while hashed % UNIVERSE in slots:
            text += f"{hashed:x}"
            hashed = fnv1a_64(text.encode())
        slots[hashed % UNIVERSE] = address
    circle = sorted(slots)
    angle = fnv1a_64(f"{target}start-angle-salt".encode()) % UNIVERSE
    step = fnv1a_64(f"{target}step-angle-salt".encode()) % UNIVERSE
    chosen: list[str] = []
    for _ in range(count):
        position = bisect_left(circle, angle) % len(circle)
        chosen.append(slots[circle.pop(position)])
        angle = (angle + step) % UNIVERSE
    return sorted(chosen)
