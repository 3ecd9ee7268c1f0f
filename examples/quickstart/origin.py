"""The origin of the quickstart: answers every request with what it received. Standard library alone."""

from __future__ import annotations

import contextlib
import http.server
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keep-alive, so that the proxy can reuse its connections

    def do_GET(self) -> None:
        lines = [f"hello from the origin: {self.command} {self.path}", ""]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        body = "".join(f"{line}\n" for line in lines).encode()
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """The proxy is what this example shows; its origin is quiet."""


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
