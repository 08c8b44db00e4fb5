"""A driver in a child process of this machine: what `lab check` asks.

It is not isolated: the part is the learner's own, on the learner's own machine.
"""

import os
import queue
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import BinaryIO

from minilab import wire
from minilab.part import ChannelError
from minirun.overlay import KEEP_STUBS, VARIABLE


class Child:
    """A child process that runs the driver with folders laid over the platform.

    Args:
        overlay: the folders of the learner's parts.
        stderr: where what the part prints goes.
    """

    def __init__(self, overlay: list[Path], stderr: BinaryIO | int = subprocess.DEVNULL) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="minilab-")
        parts = {
            VARIABLE: os.pathsep.join(map(str, overlay)),
            KEEP_STUBS: "keep",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "minilab.driver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=self._folder.name,
            env=os.environ | parts,
        )
        self._answers: queue.SimpleQueue[bytes | ChannelError] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def ask(self, message: bytes, timeout_seconds: float) -> bytes:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(message)
            self._process.stdin.flush()
            answer = self._answers.get(timeout=timeout_seconds)
        except OSError:
            answer = self._answers.get()
        except queue.Empty:
            raise ChannelError(f"did not answer within {timeout_seconds:g} s") from None
        if isinstance(answer, ChannelError):
            raise answer
        return answer

    def close(self) -> None:
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
