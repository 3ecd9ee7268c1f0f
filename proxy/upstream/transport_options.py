"""What one request asks of the connection that carries it (Envoy's `TransportSocketOptions`). No I/O."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, NamedTuple

from proxy.config.cluster import RequestNames
from proxy.http import authority
from proxy.http.request import Request

if TYPE_CHECKING:
    from proxy.net.connection import Connection


class TransportOptions(NamedTuple):
    """A connection that was opened for a request with options serves none but those that ask the same.

    `server_name` goes before what the cluster says, None leaves it to that; "" is none. The host's certificate must be
    for one of `sans`, whatever else it has to be. `owner` is the client's connection that has it for itself.
    """

    server_name: str | None = None
    sans: tuple[str, ...] = ()
    owner: Connection | None = None

    @property
    def orphaned(self) -> bool:
        """Whether nobody will ask the same again."""
        return self.owner is not None and self.owner.fd < 0


NO_OPTIONS = TransportOptions()


def of_request(names: RequestNames, request: Request) -> TransportOptions:
    """What `request` asks for as it comes to the router, before its route rewrites it."""
    named = request.headers.joined(names.header) if names.header else b""
    is_address, name = _host(named or request.authority)
    return TransportOptions(
        server_name=name if names.sni and not is_address else None,
        sans=(name,) if names.sans else (),
    )


def _host(named: bytes) -> tuple[bool, str]:
    """Whether an authority is an IP address, and its host, without brackets (`Http::Utility::parseAuthority`)."""
    colon = authority.port_start(named)
    port = named[colon + 1 :] if colon >= 0 else b""
    text = (named[:colon] if port.isdigit() and int(port[:6]) <= 65535 else named).decode("latin-1")
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return False, text.lower()
    return True, bare.lower()
