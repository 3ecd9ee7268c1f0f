"""Addresses where nobody answers."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Self

from proxy.config.common import Address, PipeAddress, SocketAddress


class Unreachable:
    """`addresses` by what happens to those who connect. Nobody else gets them before `close`."""

    def __init__(self, directory: Path) -> None:
        self._full = socket.create_server(("127.0.0.1", 0), backlog=0)
        self._filling = [socket.socket() for _ in range(3)]
        for sock in self._filling:
            sock.setblocking(False)
            sock.connect_ex(self._full.getsockname())
        self._refusing = socket.socket()
        self._refusing.bind(("127.0.0.1", 0))  # and never listens
        dead = directory / "dead.sock"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(dead))
        self.addresses: dict[str, Address] = {
            "refused": SocketAddress(*self._refusing.getsockname()),
            "never-accepted": SocketAddress(*self._full.getsockname()),
            "no-such-socket": PipeAddress(str(directory / "none.sock")),
            "dead-socket": PipeAddress(str(dead)),
        }

    def close(self) -> None:
        for sock in (*self._filling, self._full, self._refusing):
            sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def envoy_address(address: Address) -> dict[str, object]:
    """As an Envoy `Address`."""
    if isinstance(address, PipeAddress):
        return {"pipe": {"path": address.path}}
    return {"socket_address": {"address": address.host, "port_value": address.port}}
