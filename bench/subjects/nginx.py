"""nginx as a proxy: the same hosts, routes, header rules and timeouts, as far as it has them."""

from __future__ import annotations

from collections.abc import Sequence

from bench.figures import Unfit
from bench.load import Address
from bench.nginx import Nginx, free_port
from bench.requests import HOSTS, ROUTES_PER_HOST
from bench.upstreams import Upstreams

_HTTP = """
upstream origin {{ server 127.0.0.1:{origin}; keepalive 512; keepalive_requests 1000000000; }}
server_names_hash_max_size 4096;
proxy_http_version 1.1; proxy_max_temp_file_size 0; proxy_request_buffering off;
proxy_connect_timeout 1s; proxy_read_timeout 60s; client_header_timeout 10s;
proxy_set_header Host $host; proxy_set_header Connection ""; proxy_set_header X-Request-Id $request_id;
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;
proxy_set_header X-Tier gold; proxy_set_header X-Internal "";
add_header X-Served-By bench; proxy_hide_header X-Powered-By;
{servers}
"""
_SERVER = """
server {{
  listen 127.0.0.1:{main}; server_name {name};
  {locations}
}}
server {{
  listen 127.0.0.1:{log}; server_name {name}; access_log {{directory}}/access.log;
  {locations}
}}
"""


class NginxSubject:
    """One process."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._ports = {"main": free_port(), "log": free_port()}
        names = [f"service-{number}.bench" for number in range(HOSTS)]
        locations = "\n  ".join(map(_location, range(ROUTES_PER_HOST)))
        servers = "".join(_SERVER.format(name=name, locations=locations, **self._ports) for name in names)
        self._nginx = Nginx(_HTTP.format(origin=upstreams.origin, servers=servers), self._ports["main"])

    def address(self, listener: str) -> Address:
        if listener not in self._ports:
            raise Unfit("not measured: nginx needs a module for TCP that is not part of every package")
        return "127.0.0.1", self._ports[listener]

    def pids(self) -> Sequence[int]:
        return [self._nginx.pid]

    def close(self) -> None:
        self._nginx.close()


def _location(number: int) -> str:
    exact_or_prefix = f"= /r{number}" if number % 2 == 0 else f"/r{number}/"
    match = "/" if number == ROUTES_PER_HOST - 1 else exact_or_prefix
    return f"location {match} {{ proxy_pass http://origin; }}"
