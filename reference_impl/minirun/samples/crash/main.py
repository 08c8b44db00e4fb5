"""crash: every way to fail, on request. `CRASH` in the environment chooses one of the whole app's, or a query
parameter one of a single request's.

CRASH=exit:3          ends at once with exit code 3
CRASH=never-listen    runs, but opens no port          CRASH=wrong-port     listens on some other port
CRASH=after:5         ends after five requests         CRASH=ignore-sigterm has to be killed
CRASH=unready:5       /healthz says 503 after five of its answers
CRASH=allocate        takes memory until it is killed

GET /?exit=3          ends in the middle of the request
GET /?cut=1           closes the connection in the middle of the response
GET /?status=500      answers with that status
GET /?allocate=1      takes memory until it is killed
GET /?unready=1       /healthz says 503 from now on; ?unready=0 heals it
"""

import itertools
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

HOST = os.environ.get("HOST", "127.0.0.1")
PORT = int(os.environ.get("PORT", "8080"))
FAULT, _, NUMBER = os.environ.get("CRASH", "").partition(":")
requests = itertools.count(1)
checks = itertools.count(1)
unready = threading.Event()


def say(severity, message):
    """A structured log entry, as Cloud Logging reads it."""
    print(json.dumps({"severity": severity, "message": message}), file=sys.stderr, flush=True)


def leave(code):
    say("ERROR", f"ending with exit code {code}")
    os._exit(code)


def allocate():
    say("WARNING", "taking memory until somebody ends this")
    held = []
    while True:
        held.append(b"x" * 8 * 1024 * 1024)
        time.sleep(0.01)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path == "/healthz":
            if FAULT == "unready" and next(checks) > int(NUMBER or 1):
                unready.set()
            self.reply(503 if unready.is_set() else 200, "unready\n" if unready.is_set() else "ok\n")
            return
        query = dict(parse_qsl(url.query))
        if "exit" in query:
            leave(int(query["exit"]))
        if "allocate" in query:
            allocate()
        if "cut" in query:
            self.reply(200, "this is only the beginn", length=1000)
            self.close_connection = True
            return
        if "unready" in query:
            (unready.clear if query["unready"] == "0" else unready.set)()
        self.reply(int(query.get("status", "200")), "still here\n")
        if FAULT == "after" and next(requests) >= int(NUMBER or 1):
            leave(1)

    def reply(self, status, body, length=None):
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(length or len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


def main():
    on_term = signal.SIG_IGN if FAULT == "ignore-sigterm" else lambda *_: sys.exit(0)
    signal.signal(signal.SIGTERM, on_term)
    if FAULT == "exit":
        leave(int(NUMBER or 1))
    if FAULT == "allocate":
        allocate()
    if FAULT == "never-listen":
        say("INFO", "running, and listening nowhere")
        signal.pause()
    server = ThreadingHTTPServer((HOST, 0 if FAULT == "wrong-port" else PORT), Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
