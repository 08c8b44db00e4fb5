"""The end of a container: asked first, then made to; and what is told of it afterwards.

Counterparts: the kubelet's termination grace period and termination messages, and the texts of Knative's
condition ContainerHealthy.
"""

import asyncio
from collections.abc import Iterable

from minirun.runtime.base import ExitStatus, ProbeResult, RunningProcess

LAST_LINES = 10
LAST_CHARACTERS = 2048


async def end(process: RunningProcess, grace_seconds: float) -> None:
    """SIGTERM, `grace_seconds` to leave in, then SIGKILL; returns when it is gone."""
    process.terminate()
    try:
        async with asyncio.timeout(grace_seconds):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def last_words(lines: Iterable[bytes]) -> str:
    """The last log lines as one text, cut to the 2048 characters of Kubernetes' termination messages."""
    return "\n".join(line.decode("utf-8", "replace") for line in lines)[-LAST_CHARACTERS:]


def exit_words(status: ExitStatus, words: str) -> tuple[str, str]:
    """Reason and message for a container that ended, in the words of Knative's condition ContainerHealthy."""
    if status.oom:
        return "OOMKilled", "Container failed with: out of memory; raise the memory limit or use less"
    words = words or f"exit code {status.code} and no output"
    return f"ExitCode{status.code}", f"Container failed with: {words}"


def deadline_words(port: int, seconds: float, seen: ProbeResult, words: str) -> str:
    """What to say of an app that ran, but was not ready once within its progress deadline."""
    if seen.listening:
        fault = f"The app was not ready within {seconds:g} s: its readiness probe said: {seen.detail}."
    else:
        fault = f"The app did not listen on $PORT (PORT={port}) within {seconds:g} s."
    return f"{fault} Its last log lines: {words or '(none)'}"
