"""What the proxies forward to: the origin, one that speaks gRPC, and one that says what it received."""

from __future__ import annotations

import contextlib
from typing import Self

from bench.configuration import Ports
from bench.grpc_peer import GrpcPeer
from bench.origin import NginxOrigin
from tests.kit.origin import Origin


class Upstreams:
    """All of them, running. `origin` and `recorder` are two of the `ports`."""

    def __init__(self) -> None:
        with contextlib.ExitStack() as stack:
            nginx = stack.enter_context(NginxOrigin())
            self.origin = nginx.port
            self.recorder = stack.enter_context(Origin()).port
            grpc = stack.enter_context(GrpcPeer()).port
            self.ports = Ports(nginx.port, nginx.h2_port, grpc, self.recorder)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
