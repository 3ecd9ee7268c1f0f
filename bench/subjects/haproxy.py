"""HAProxy: the same hosts, routes, header rules and timeouts, as far as it has them."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.figures import Unfit
from bench.load import Address
from bench.nginx import find, free_port
from bench.requests import HOSTS, ROUTES_PER_HOST
from bench.upstreams import Upstreams
from tests.kit.client import get
from tests.kit.process import START_DEADLINE, stop, wait_for

# Access lines go to standard output, which is a file: without a syslog daemon HAProxy has no other way.
_CONFIG = """
global
  nbthread 1
  log stdout format raw local0
defaults
  timeout connect 1s
  timeout client 3600s
  timeout server 60s
  timeout http-request 10s
  timeout http-keep-alive 3600s
backend origin
  mode http
  http-reuse always
  server origin 127.0.0.1:{origin}
{frontends}
listen tcp
  mode tcp
  bind 127.0.0.1:{tcp}
  server origin 127.0.0.1:{origin}
"""
_FRONTEND = """
frontend {name}
  mode http
  bind 127.0.0.1:{port}
  {log}
  option forwardfor
  unique-id-format %[uuid()]
  http-request set-header X-Request-Id %[unique-id]
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Tier gold
  http-request del-header X-Internal
  http-response set-header X-Served-By bench
  http-response del-header X-Powered-By
  use_backend %[base,map_beg({routes})]
"""


class HAProxy:
    """One process with one thread."""

    def __init__(self, upstreams: Upstreams) -> None:
        program = find("haproxy")
        self._ports = {name: free_port() for name in ("main", "log", "tcp")}
        self._directory = tempfile.TemporaryDirectory(prefix="haproxy-")
        directory = Path(self._directory.name)
        routes, config = directory / "routes.map", directory / "haproxy.cfg"
        routes.write_text("".join(_routes(f"service-{number}.bench") for number in range(HOSTS)))
        logs = {"main": "", "log": "log global\n  option httplog"}
        frontends = "".join(
            _FRONTEND.format(name=name, port=self._ports[name], log=log, routes=routes) for name, log in logs.items()
        )
        config.write_text(_CONFIG.format(origin=upstreams.origin, tcp=self._ports["tcp"], frontends=frontends))
        with (directory / "access.log").open("wb") as log:
            self._process = subprocess.Popen([program, "-db", "-f", str(config)], stdout=log, stderr=log)
        try:
            wait_for(self._answers, deadline=START_DEADLINE, what="HAProxy answers")
        except BaseException as error:
            error.add_note((directory / "access.log").read_text()[-2000:])
            self.close()
            raise

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise Unfit(f"HAProxy ended with {self._process.returncode}")
        try:
            get(self.address("main"), "/")
        except OSError:
            return False
        return True

    def address(self, listener: str) -> Address:
        return "127.0.0.1", self._ports[listener]

    def pids(self) -> Sequence[int]:
        return [self._process.pid]

    def close(self) -> None:
        try:
            stop(self._process)
        finally:
            self._directory.cleanup()


def _routes(host: str) -> str:
    paths = [f"/r{number}" if number % 2 == 0 else f"/r{number}/" for number in range(ROUTES_PER_HOST - 1)]
    return "".join(f"{host}{path} origin\n" for path in [*paths, "/"])
