"""A driver in a child process of this machine: what `lab check` asks.

It is not isolated: the part is the learner's own, on the learner's own machine.
"""

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import BinaryIO

from minilab import wire
from minilab.part import ChannelError
from minirun.overlay import KEEP_STUBS, VARIABLE

KEPT_VARIABLES = ("PATH", "LANG", "SYSTEMROOT")


def kill_group(leader: int) -> None:
    """Ends what a process that leads a session has begun, where there are process groups."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(leader, signal.SIGKILL)
        except OSError:  # they are gone
            pass


class Child:
    """A child process that runs the driver with folders laid over the platform.

    Args:
        overlay: the folders of the learner's parts.
        stderr: where what the part prints goes.
        stubs: `keep`, or empty: the reference stands in for what is not written.
        limited: with limits where the system has them, and nothing of this process's environment.
    """

    def __init__(
        self,
        overlay: list[Path],
        stderr: BinaryIO | int = subprocess.DEVNULL,
        *,
        stubs: str = "keep",
        limited: bool = False,
    ) -> None:
        self._limited = limited
        self._folder = tempfile.TemporaryDirectory(prefix="minilab-")
        parts = {
            VARIABLE: os.pathsep.join(map(str, overlay)),
            KEEP_STUBS: stubs,
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "minilab.driver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=self._folder.name,
            env={**(os.environ if not limited else self._bare()), **parts},
            start_new_session=limited,
        )
        self._answers: queue.SimpleQueue[bytes | ChannelError] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _bare(self) -> dict[str, str]:
        """An environment of its own, in which the driver limits itself."""
        kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        return {**kept, "HOME": self._folder.name, "TMPDIR": self._folder.name, "MINILAB_LIMITED": "yes"}

    def ask(self, message: bytes, timeout_seconds: float) -> bytes:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(message)
            self._process.stdin.flush()
            answer = self._answers.get(timeout=timeout_seconds)
        except OSError:
            answer = self._answers.get()  # the reader says how it ended
        except queue.Empty:
            raise ChannelError(f"did not answer within {timeout_seconds:g} s") from None
        if isinstance(answer, ChannelError):
            raise answer
        return answer

    def close(self) -> None:
        if self._limited:
            kill_group(self._process.pid)
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            try:
                if stream is not None:
                    stream.close()
            except OSError:  # it was killed in the middle of a message
                pass
        self._folder.cleanup()

    def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        try:
            while True:
                self._answers.put(stream.read(wire.body_length(stream.read(wire.HEAD_BYTES))))
        except wire.WireError as error:
            ended = not str(error).startswith("a message")
            how = f"ended with exit status {self._process.wait()}" if ended else f"sent {error}"
            self._answers.put(ChannelError(how))
        except (OSError, ValueError):  # closed on our side
            pass
