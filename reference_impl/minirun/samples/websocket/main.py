"""websocket: sends every message back (RFC 6455), and serves a page to try it with. Standard library only."""

import asyncio
import base64
import hashlib
import os
import signal
import struct

ADDRESS = (os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8080")))
MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
MAX_MESSAGE = 1024 * 1024
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
GOING_AWAY, PROTOCOL_ERROR, TOO_BIG = 1001, 1002, 1009
PAGE = b"""<!doctype html><title>websocket</title><h1>echo</h1><input autofocus><pre></pre><script>
const socket = new WebSocket(location.href.replace("http", "ws")), input = document.querySelector("input")
socket.onmessage = event => document.querySelector("pre").append(event.data + "\\n")
input.onchange = () => { socket.send(input.value); input.value = "" }
</script>
"""


class ProtocolError(Exception):
    """The client broke a rule; carries the close code."""


def accept_key(key):
    return base64.b64encode(hashlib.sha1((key + MAGIC).encode()).digest()).decode()


def frame(opcode, payload):
    """One whole unmasked frame."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, size)
    elif size < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 127, size)
    return head + payload


async def read_frame(reader):
    """Whether it is the last of its message, its opcode and its payload without the mask."""
    first, second = await reader.readexactly(2)
    size = second & 0x7F
    if size >= 126:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
    if not second & 0x80 or first & 0x70 or (first & 8 and (size > 125 or not first & 0x80)):
        raise ProtocolError(PROTOCOL_ERROR)
    if size > MAX_MESSAGE:
        raise ProtocolError(TOO_BIG)
    mask = await reader.readexactly(4)
    payload = await reader.readexactly(size)
    stream = (mask * (size // 4 + 1))[:size]
    plain = int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")
    return first >> 7, first & 0x0F, plain.to_bytes(size, "big")


async def echo(reader, writer):
    """Serves one connection until its close frame."""
    kind, message = None, b""
    while True:
        last, opcode, payload = await read_frame(reader)
        if opcode == CLOSE:
            writer.write(frame(CLOSE, payload[:2]))
            return
        if opcode == PING:
            writer.write(frame(PONG, payload))
        elif opcode in (TEXT, BINARY, CONTINUATION):
            if (opcode == CONTINUATION) == (kind is None):
                raise ProtocolError(PROTOCOL_ERROR)
            kind, message = kind or opcode, message + payload
            if len(message) > MAX_MESSAGE:
                raise ProtocolError(TOO_BIG)
            if last:
                writer.write(frame(kind, message))
                kind, message = None, b""
        elif opcode != PONG:
            raise ProtocolError(PROTOCOL_ERROR)
        await writer.drain()


async def serve(reader, writer):
    upgraded = False
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        if headers.get("upgrade", "").lower() != "websocket" or "sec-websocket-key" not in headers:
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(PAGE)}\r\n"
            writer.write(head.encode() + b"Connection: close\r\n\r\n" + PAGE)
            return
        key = accept_key(headers["sec-websocket-key"])
        head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        writer.write(f"{head}Sec-WebSocket-Accept: {key}\r\n\r\n".encode())
        upgraded = True
        await echo(reader, writer)
    except ProtocolError as error:
        writer.write(frame(CLOSE, struct.pack("!H", error.args[0])))
    except asyncio.CancelledError:
        if upgraded:
            writer.write(frame(CLOSE, struct.pack("!H", GOING_AWAY)))
    except (OSError, EOFError, asyncio.LimitOverrunError):
        pass  # the client has left, or is not speaking HTTP
    finally:
        writer.close()


async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await asyncio.start_server(serve, *ADDRESS)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(main())  # its end cancels what still runs, and `serve` says goodbye
