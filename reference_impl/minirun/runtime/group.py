"""The containers of one instance: started in their order, and gone together.

Each has a life of its own (`instance.py`): a sidecar that fails is restarted alone. One that is over for good
takes the others with it, except where they run to completion. Counterpart: the containers of a Pod; Cloud
Run's sidecars and their dependencies.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from minirun.runtime.base import InstanceState, Stage
from minirun.runtime.instance import Instance


@dataclass(eq=False)
class Group:
    """The containers of one instance, by name.

    A container starts when all those that `waits_for` names for it were ready once. Whoever makes the
    containers calls `advance`, first to start, and then after each of their changes.
    """

    containers: Mapping[str, Instance]
    waits_for: Mapping[str, Collection[str]] = field(default_factory=dict)
    _waiting: list[str] = field(init=False)
    _ending: asyncio.Task[None] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._waiting = list(self.containers)

    @property
    def states(self) -> dict[str, InstanceState]:
        """The latest state of each."""
        return {name: container.state for name, container in self.containers.items()}

    def advance(self) -> None:
        """Starts those whose turn it is, or ends all after one that has failed for good."""
        states = self.states
        if any(state.stage is Stage.GONE and state.reason for state in states.values()):
            runs_once = any(container.spec.runs_once for container in self.containers.values())
            if not runs_once and self._ending is None:
                self._ending = asyncio.create_task(self.stop())
        due = [name for name in self._waiting if all(map(self._was_ready, self.waits_for.get(name, ())))]
        self._waiting = [name for name in self._waiting if name not in due]
        for name in due:
            self.containers[name].start()

    def _was_ready(self, name: str) -> bool:
        return self.containers[name].state.ready_unix_ns > 0

    async def stop(self, grace_seconds: float | None = None) -> None:
        """Ends all of them; see `Instance.stop`."""
        self._waiting.clear()
        await asyncio.gather(*(container.stop(grace_seconds) for container in self.containers.values()))
