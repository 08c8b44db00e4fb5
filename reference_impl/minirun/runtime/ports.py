"""Ports for instances that all share the machine's: a free one for each that serves, and for each sidecar.

The container that serves is told its port in $PORT, so any will do. A sidecar says in its own variable PORT
where it will listen, as in Cloud Run's examples, and the others call `localhost:PORT`. It gets that port
while it is free. A second instance's gets another one, and there `localhost:PORT` and `127.0.0.1:PORT` are
changed to it in all variables and arguments; who has the number in its code reaches the first instance's
sidecar. A sidecar that does not say PORT can run in one instance at a time only. Counterpart: the network
namespace of a Pod, where there is nothing to share.
"""

import itertools
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from random import Random
from typing import Final

from minirun.runtime.base import StartError

PORTS: Final = range(20_000, 32_000)
"""Below the ports that Linux (from 32768), macOS and Windows (49152) give to outgoing connections."""
_ADDRESS: Final = re.compile(r"(?<![\w.-])(localhost|127\.0\.0\.1):([0-9]{1,5})(?![0-9])")


def redirect(text: str, ports: Mapping[int, int]) -> str:
    """`text` with the addresses of sidecars changed: `ports` gives the real port of a declared one."""
    return _ADDRESS.sub(lambda found: f"{found[1]}:{ports.get(int(found[2]), found[2])}", text)


def claim(port: int) -> socket.socket | None:
    """Takes a port, None if it is in use.

    The claim on it is its number in UDP, which other platforms on this machine see until it is closed.
    """
    claimed = socket.socket(type=socket.SOCK_DGRAM)
    try:
        claimed.bind(("127.0.0.1", port))
        with socket.socket() as trial:
            trial.bind(("", port))
    except (OSError, OverflowError):
        claimed.close()
        return None
    return claimed


class Ports:
    """The ports that are claimed; one is chosen again only after all the others."""

    def __init__(self, rng: Random) -> None:
        first = rng.randrange(len(PORTS))
        self._next: Iterator[int] = itertools.cycle([*PORTS[first:], *PORTS[:first]])
        self._sidecars: dict[str, dict[int, socket.socket]] = {}

    def claim_any(self) -> socket.socket:
        """Chooses a free port. Raises StartError: there is none."""
        for port in itertools.islice(self._next, len(PORTS)):
            if claimed := claim(port):
                return claimed
        raise StartError("NoFreePort", f"All ports of {PORTS.start}-{PORTS.stop - 1} are in use; free some.")

    def of_sidecars(self, uid: str, declared: Iterable[int]) -> dict[int, int]:
        """The real ports of an instance's sidecars, by the declared ones; the same until `forget`."""
        if not declared:
            return {}
        claims = self._sidecars.setdefault(uid, {})
        for port in declared:
            if port not in claims:
                claims[port] = claim(port) or self.claim_any()
        return {port: claimed.getsockname()[1] for port, claimed in claims.items()}

    def forget(self, uid: str) -> None:
        """Gives back the ports of an instance's sidecars."""
        for claimed in self._sidecars.pop(uid, {}).values():
            claimed.close()

    def close(self) -> None:
        """Gives back those of all."""
        for uid in list(self._sidecars):
            self.forget(uid)
