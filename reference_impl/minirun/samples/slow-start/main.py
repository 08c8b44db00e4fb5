"""slow-start: takes START_SECONDS (default 5) before it listens, as an app does that loads a model first."""

import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ADDRESS = (os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8080")))
START_SECONDS = float(os.environ.get("START_SECONDS", "5"))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        body = f"Ready after {START_SECONDS:g} s.\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"loading for {START_SECONDS:g} s", flush=True)
    time.sleep(START_SECONDS)
    server = ThreadingHTTPServer(ADDRESS, Handler)
    server.daemon_threads = True
    server.serve_forever()
