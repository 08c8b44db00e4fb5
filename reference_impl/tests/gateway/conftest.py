"""Every asynchronous test of the gateway runs on plain asyncio and, where there is one, on uvloop."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # so that tests can name the types of gatewayworld

from gatewayworld import World


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    try:
        import uvloop
    except ImportError:
        return factories
    return {**factories, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A gateway with one service, whose revision has one instance; both are under the test's control."""
    made = World()
    await made.start()
    yield made
    await made.close()
