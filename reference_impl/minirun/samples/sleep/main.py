"""sleep: GET /?sleep=MS&prime=N&bloat=MB does so much waiting, computing and allocating, all of it at once.

The counterpart of Knative's autoscale-go sample, whose answers it gives. One event loop: a thousand sleeps
at a time are a thousand timers; primes are found in a thread, so that they hold up nobody's sleep.
"""

import asyncio
import os
import signal
from urllib.parse import parse_qs, urlsplit

ADDRESS = (os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8080")))
MIB = 1024 * 1024


async def sleep(milliseconds):
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.sleep(milliseconds / 1000)
    return f"Slept for {(loop.time() - began) * 1000:.2f} milliseconds.\n"


def largest_prime(limit):
    sieve = bytearray([1]) * (limit + 1)
    for number in range(2, int(limit**0.5) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, limit + 1, number)))
    return sieve.rfind(1, 2)


async def prime(limit):
    found = await asyncio.to_thread(largest_prime, limit)
    return f"The largest prime less than {limit} is {found}.\n"


async def bloat(mebibytes):
    """Fills memory a piece at a time and holds it all until the last piece is there."""
    held = []
    for _ in range(mebibytes):
        held.append(b"x" * MIB)
        await asyncio.sleep(0)
    return f"Allocated {len(held)} Mb of memory.\n"


WORK = {"sleep": sleep, "prime": prime, "bloat": bloat}


class Connection(asyncio.Protocol):
    """A client. Its requests are answered in turn; while one is worked on, no more are read."""

    def connection_made(self, transport):
        self.transport = transport
        self.received = b""
        self.skip = 0
        self.task = None

    def data_received(self, data):
        self.received += data
        if self.task is None:
            self.next_request()
        else:
            self.transport.pause_reading()

    def next_request(self):
        skipped = min(self.skip, len(self.received))
        self.received, self.skip = self.received[skipped:], self.skip - skipped
        head, end, rest = self.received.partition(b"\r\n\r\n")
        if self.skip or not end:
            return
        self.received = rest
        lines = head.decode("latin-1").lower().split("\r\n")
        headers = dict(line.split(":", 1) for line in lines[1:])
        self.skip = int(headers.get("content-length", 0))
        close = headers.get("connection", "").strip() == "close" or "transfer-encoding" in headers
        query = parse_qs(urlsplit(lines[0].split(" ")[1]).query)
        try:
            jobs = [WORK[name](int(values[0])) for name, values in query.items() if name in WORK]
        except ValueError:
            self.reply("400 Bad Request", "sleep, prime and bloat take whole numbers.\n", close)
            return
        self.task = asyncio.create_task(self.work(jobs, close))

    async def work(self, jobs, close):
        self.reply("200 OK", "".join(await asyncio.gather(*jobs)), close)

    def reply(self, status, body, close):
        data = body.encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(data)}\r\n\r\n"
        self.transport.write(head.encode() + data)
        self.task = None
        if close:
            self.transport.close()
        else:
            self.transport.resume_reading()
            self.next_request()

    def connection_lost(self, error):
        if self.task:
            self.task.cancel()


async def main():
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(Connection, *ADDRESS, backlog=1024)
    await stop.wait()
    server.close()
    working = asyncio.all_tasks() - {asyncio.current_task()}
    if working:
        await asyncio.wait(working)


if __name__ == "__main__":
    asyncio.run(main())
