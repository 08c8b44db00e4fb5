"""An app that says when its first line ran and when it listened (Unix ns): the phases of a cold start."""

import time

began_ns = time.time_ns()

import http.server  # noqa: E402
import os  # noqa: E402
import socketserver  # noqa: E402


class Stamps(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"{began_ns} {listening_ns}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


with socketserver.TCPServer((os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"])), Stamps) as server:
    listening_ns = time.time_ns()
    server.serve_forever()
