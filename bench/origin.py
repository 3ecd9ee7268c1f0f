"""The origin: nginx, with everything that the scenarios ask for below the path of their route."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Self

from bench.nginx import Nginx, free_port
from bench.requests import ROUTE

FILES = {"1k": 1 << 10, "64k": 64 << 10, "100m": 100 << 20}

# `upload` and `exchange` read the whole request body before they answer, as a service would: the answer is fetched from
# a second server, without the body. Server-side includes take the length away, so that the response is chunked.
_SERVERS = """
upstream inside {{ server 127.0.0.1:{inside}; keepalive 64; }}
server {{
  listen 127.0.0.1:{port} backlog=4096; listen 127.0.0.1:{h2_port} http2; root {files};
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Content-Length "";
  proxy_pass_request_body off; proxy_method GET; proxy_buffers 16 64k;
  location = {route}/small {{ return 200 "hello world\\n"; }}
  location = {route}/upload {{ proxy_pass http://inside{route}/small; }}
  location = {route}/exchange {{ proxy_pass http://inside/chunked{route}/64k; }}
}}
server {{
  listen 127.0.0.1:{inside};
  location = {route}/small {{ return 200 "received\\n"; }}
  location /chunked/ {{ alias {files}/; ssi on; ssi_types text/plain; }}
}}
"""


class NginxOrigin:
    """A running origin on `port` of 127.0.0.1, and by HTTP/2 (prior knowledge) on `h2_port`."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="origin-")
        files = Path(self._directory.name)
        folder = files / ROUTE.strip("/")
        folder.mkdir()
        for name, size in FILES.items():
            (folder / name).write_bytes(b"0123456789abcde\n" * (size // 16))
        files.chmod(0o755)  # nginx serves them as another user where it was started by root
        self.port, self.h2_port, inside = free_port(), free_port(), free_port()
        try:
            servers = _SERVERS.format(port=self.port, h2_port=self.h2_port, inside=inside, files=files, route=ROUTE)
            self._nginx = Nginx(servers, self.port)
        except BaseException:
            self._directory.cleanup()
            raise

    def close(self) -> None:
        try:
            self._nginx.close()
        finally:
            self._directory.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
