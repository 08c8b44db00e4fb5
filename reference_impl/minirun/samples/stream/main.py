"""stream: answers that take their time, and uploads that come straight back.

GET /?count=N&interval=MS sends N chunks, one each interval; /events?... as server-sent events;
POST /echo sends the body back while it arrives. Built on asyncio's streams: `drain` is the backpressure.
"""

import asyncio
import os
import signal
from urllib.parse import parse_qs, urlsplit

ADDRESS = (os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8080")))


async def read_head(reader):
    """Method, target and headers (names in lower case) of the next request."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ")
    headers = {}
    for line in filter(None, lines[1:]):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return method, target, headers


async def read_body(reader, headers):
    """The body's pieces, as they arrive."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while size := int((await reader.readline()).split(b";")[0], 16):
            yield await reader.readexactly(size)
            await reader.readline()
        while await reader.readline() != b"\r\n":
            pass  # trailers
        return
    left = int(headers.get("content-length", 0))
    while left:
        piece = await reader.read(min(left, 65536))
        if not piece:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(piece)
        yield piece


async def ticks(query, form):
    count, interval = int(query.get("count", ["10"])[0]), float(query.get("interval", ["1000"])[0])
    for number in range(1, count + 1):
        yield form.format(number).encode()
        if number < count:
            await asyncio.sleep(interval / 1000)


async def respond(writer, kind, pieces):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: no-store\r\n")
    writer.write(f"Content-Type: {kind}\r\n\r\n".encode())
    async for piece in pieces:
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def serve_one(reader, writer):
    """One request; False when the client wants no other."""
    method, target, headers = await read_head(reader)
    url = urlsplit(target)
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if method in ("POST", "PUT"):
        await respond(writer, headers.get("content-type", "text/plain"), read_body(reader, headers))
    elif url.path == "/events":
        form = "id: {0}\ndata: tick {0}\n\n"
        await respond(writer, "text/event-stream", ticks(parse_qs(url.query), form))
    else:
        await respond(writer, "text/plain", ticks(parse_qs(url.query), "tick {0}\n"))
    return headers.get("connection", "").lower() != "close"


async def serve(reader, writer):
    try:
        while await serve_one(reader, writer):
            pass
    except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
        pass  # the client has left, or is not speaking HTTP
    finally:
        writer.close()


async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await asyncio.start_server(serve, *ADDRESS)
    await stop.wait()
    server.close()
    await asyncio.sleep(0)


if __name__ == "__main__":
    asyncio.run(main())
