"""Output cut into lines, of which no more than one is stored. Counterpart: containerd's log writer."""

from typing import Final

from minirun.runtime.base import Log

STREAMS: Final = {1: "stdout", 2: "stderr"}
MAX_LINE_BYTES: Final = 64 * 1024


class Lines:
    """Hands each line of the streams 1 (stdout) and 2 (stderr) to `log`; a very long one comes in parts."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._partial: dict[int, bytes] = {}

    def feed(self, stream: int, data: bytes) -> None:
        """Takes what was read."""
        *lines, rest = (self._partial.get(stream, b"") + data).split(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            lines.append(rest)
            rest = b""
        self._partial[stream] = rest
        for line in lines:
            self._log(STREAMS[stream], line)

    def end(self, stream: int) -> None:
        """A stream is over: what it began is its last line."""
        if rest := self._partial.pop(stream, b""):
            self._log(STREAMS[stream], rest)
