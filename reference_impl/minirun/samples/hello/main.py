"""hello: greets TARGET, and says which revision answered. The smallest server that is worth a cold start.

One thread and one selector: to import `selectors` costs a fraction of what `asyncio` or `http.server` cost,
so this app listens a few milliseconds after its interpreter has started. Connections stay open.
"""

import os
import selectors
import signal
import socket

ADDRESS = (os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8080")))
TARGET = os.environ.get("TARGET", "World")
REVISION = os.environ.get("K_REVISION", "")
MAX_HEAD = 64 * 1024


def answer(body: str, kind: str = "text/plain") -> bytes:
    """A whole HTTP response."""
    data = body.encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {len(data)}\r\n"
    return head.encode() + b"X-Revision: " + REVISION.encode() + b"\r\n\r\n" + data


TEXT = answer(f"Hello {TARGET}!\n")
PAGE = answer(f"<!doctype html><title>hello</title><h1>Hello {TARGET}!</h1><p>{REVISION}</p>\n", "text/html")


class Connection:
    """One client: what it has sent so far, and what it has not read yet."""

    def __init__(self, sock):
        self.sock = sock
        self.received = b""
        self.unsent = b""
        self.skip = 0  # bytes of a request's body still to come

    def readable(self):
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionResetError
        self.received += data
        while self.take_request():
            pass
        self.flush()

    def take_request(self):
        """Answers one request of those received; False when none is complete."""
        if self.skip:
            skipped = min(self.skip, len(self.received))
            self.received, self.skip = self.received[skipped:], self.skip - skipped
        head, end, rest = self.received.partition(b"\r\n\r\n")
        if self.skip or not end:
            if len(self.received) > MAX_HEAD:
                raise ConnectionResetError
            return False
        head = head.lower()
        self.received = rest
        if b"\r\ncontent-length:" in head:
            self.skip = int(head.split(b"\r\ncontent-length:")[1].split(b"\r\n")[0])
        html = head.startswith(b"get ") and b"text/html" in head
        reply = PAGE if html else TEXT
        if head.startswith(b"head "):
            reply = reply.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        self.unsent += reply
        if b"\r\ntransfer-encoding:" in head or b"\r\nconnection: close" in head:
            self.flush()
            raise ConnectionResetError  # where a chunked body ends is not looked for
        return True

    def flush(self):
        if self.unsent:
            self.unsent = self.unsent[self.sock.send(self.unsent) :]


def serve(listener, stop):
    """Serves until `stop` can be read."""
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(stop, selectors.EVENT_READ)
    stopping = False
    while not stopping:
        for key, events in selector.select():
            connection = key.data
            if key.fileobj is stop:
                stopping = True
                continue
            if connection is None:
                sock, _ = listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(sock, selectors.EVENT_READ, Connection(sock))
                continue
            try:
                if events & selectors.EVENT_READ:
                    connection.readable()
                else:
                    connection.flush()
                wanted = selectors.EVENT_WRITE if connection.unsent else selectors.EVENT_READ
                if key.events != wanted:
                    selector.modify(key.fileobj, wanted, connection)
            except BlockingIOError:
                selector.modify(key.fileobj, selectors.EVENT_WRITE, connection)
            except (OSError, ValueError):
                selector.unregister(key.fileobj)
                key.fileobj.close()


if __name__ == "__main__":
    stop, stopper = socket.socketpair()
    signal.signal(signal.SIGTERM, lambda *_: stopper.send(b"."))
    serve(socket.create_server(ADDRESS, backlog=1024), stop)
