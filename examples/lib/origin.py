"""A service for the examples: `origin.py NAME PORT|SOCKET [PEER]`. Standard library alone.

It answers every request with its name and what it received; `?delay=SECONDS` makes it slow. `/ask` also asks the
service at the URL PEER and repeats its answer.
"""

from __future__ import annotations

import contextlib
import http.server
import socketserver
import sys
import time
import urllib.error
import urllib.parse
import urllib.request


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keep-alive, so that the proxy can reuse its connections
    name = "origin"
    peer = ""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the proxy has given up waiting
            super().handle()

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        path, _, query = self.path.partition("?")
        time.sleep(float(urllib.parse.parse_qs(query).get("delay", ["0"])[0]))
        lines = [f"hello from {self.name}: {self.command} {self.path}", ""]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.peer and path == "/ask":
            lines += ["", f"and {self.name} asked {self.peer}/answer:", "", *self.ask()]
        body = "".join(f"{line}\n" for line in lines).encode()
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET  # noqa: N815

    def ask(self) -> list[str]:
        try:
            with urllib.request.urlopen(f"{self.peer}/answer", timeout=10) as answer:
                return answer.read().decode().splitlines()
        except urllib.error.HTTPError as error:
            return [f"{error.code} {error.read().decode()}"]

    def log_message(self, format: str, *args: object) -> None:
        """The proxies are what the examples show; their services are quiet."""


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


if __name__ == "__main__":
    Handler.name, address = sys.argv[1:3]
    Handler.peer = "".join(sys.argv[3:])
    with contextlib.suppress(KeyboardInterrupt):
        try:
            server = (
                UnixServer(address, Handler)
                if "/" in address
                else http.server.ThreadingHTTPServer(("127.0.0.1", int(address)), Handler)
            )
        except OSError as error:
            sys.exit(
                f"origin.py: cannot listen on {address}: {error.strerror}; the README names the variable for another"
            )
        server.serve_forever()
