"""An API for each test: in the process, or on a socket of its own, on plain asyncio and on uvloop."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # so that tests can name the types of apiworld

from apiworld import Platform

from minirun.store.store import Store


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    try:
        import uvloop
    except ImportError:
        return factories
    return factories | {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def silent(tmp_path: Path) -> Platform:
    """Not on a socket."""
    return Platform(tmp_path)


@pytest.fixture
async def platform(silent: Platform) -> AsyncIterator[Platform]:
    """On a socket."""
    server = await silent.listen()
    yield silent
    await server.stop()


@pytest.fixture
def store(silent: Platform) -> Store:
    return silent.store


@pytest.fixture
async def client(silent: Platform) -> AsyncIterator[httpx.AsyncClient]:
    """Talks to the API without a socket."""
    transport = httpx.ASGITransport(silent.api.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8081") as client:
        yield client
