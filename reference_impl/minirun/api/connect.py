"""CONNECT at the API's port: refused, but for our own TLS port.

gcloud takes the API for its HTTP proxy. For an API that has no override it asks for a tunnel to the real
one: that is refused, and the log says which override is missing, so nothing leaves the machine. A tunnel to
this machine's own name leads to the API's TLS port; `gcloud run --platform kubernetes` needs that, because it
always connects to port 443.
"""

import asyncio
import logging
from typing import Final

from uvicorn.protocols.http.auto import AutoHTTPProtocol

OURS: Final = ("kubernetes.default", "127.0.0.1", "localhost", "[::1]")
HEAD_LIMIT: Final = 8192
ENOUGH: Final = b"CONNECT "

log = logging.getLogger("minirun.api")


def refusal(target: str) -> str:
    """What is said about a tunnel to `HOST:PORT`."""
    if target.rpartition(":")[0] in OURS:
        return f"no tunnel to {target}: this platform has no TLS; start it with minirun up --tls HOST:PORT"
    name = target.removesuffix(":443").removesuffix(".googleapis.com")
    return (
        f"no tunnel to {target}: minirun is no way out of this machine; to have it answer in place of that "
        f"API, set api_endpoint_overrides/{name} to http://{name}.googleapis.com/"
    )


def protocol(tls_port: int | None) -> type[asyncio.Protocol]:
    """The protocol class for uvicorn: HTTP, unless the first request is a CONNECT.

    Args:
        tls_port: the API's TLS port, if it has one.
    """

    class Front(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # a class or another, by what is installed
        _first = b""
        _decided = False
        _tunnel: asyncio.Transport | None = None

        def data_received(self, data: bytes) -> None:
            if self._tunnel is not None:
                self._tunnel.write(data)
                return
            if self._decided:
                super().data_received(data)
                return
            self._first += data
            if not self._first.startswith(ENOUGH[: len(self._first)]):
                self._decided = True
                super().data_received(self._first)
            elif b"\r\n\r\n" in self._first or len(self._first) > HEAD_LIMIT:
                self._connect(self._first.split(b" ", 2)[1].decode("latin-1"))

        def _connect(self, target: str) -> None:
            host, _, port = target.rpartition(":")
            if tls_port is None or host not in OURS or port not in ("443", str(tls_port)):
                log.warning("%s", text := refusal(target))
                body = f"{text}\n".encode()
                head = f"HTTP/1.1 403 Forbidden\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                self.transport.write(head.encode() + body)
                self.transport.close()
                return
            self.transport.pause_reading()
            self._opening = asyncio.get_running_loop().create_task(self._open(tls_port))

        async def _open(self, port: int) -> None:
            loop = asyncio.get_running_loop()
            try:
                there, _ = await loop.create_connection(lambda: _Back(self.transport), "127.0.0.1", port)
            except OSError:
                self.transport.close()
                return
            self._tunnel = there
            self.transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.transport.resume_reading()

        def pause_writing(self) -> None:
            super().pause_writing()
            if self._tunnel is not None:
                self._tunnel.pause_reading()

        def resume_writing(self) -> None:
            super().resume_writing()
            if self._tunnel is not None:
                self._tunnel.resume_reading()

        def connection_lost(self, exc: Exception | None) -> None:
            if self._tunnel is not None:
                self._tunnel.close()
            super().connection_lost(exc)

    return Front


class _Back(asyncio.Protocol):
    """The other end of a tunnel: what it gets goes to the client."""

    def __init__(self, client: asyncio.Transport) -> None:
        self._client = client

    def data_received(self, data: bytes) -> None:
        self._client.write(data)

    def pause_writing(self) -> None:
        self._client.pause_reading()

    def resume_writing(self) -> None:
        self._client.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.close()
