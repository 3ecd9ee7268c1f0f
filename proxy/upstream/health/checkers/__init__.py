"""How a host is checked. One file for each kind of `HealthCheck.health_checker`, one line here; a custom one (Redis)
would be the next.
"""

from __future__ import annotations

from typing import Any, Protocol

from proxy import registry
from proxy.config.health_check import GrpcCheck, HttpCheck, TcpCheck
from proxy.upstream.health.target import Target
from proxy.upstream.health.verdicts import Result

CHECKERS = {
    "GRPC": "proxy.upstream.health.checkers.grpc:GrpcChecker",
    "HTTP": "proxy.upstream.health.checkers.http:HttpChecker",
    "TCP": "proxy.upstream.health.checkers.tcp:TcpChecker",
}


class Checker(Protocol):
    """Of one host; built with its `Target`. It may keep its connection from one check to the next."""

    async def check(self) -> Result:
        """Check it now. Whoever calls sees to the timeout."""
        ...

    async def watch(self) -> Result:
        """Until the connection that is kept says something of its host; most never do."""
        ...

    def abandon(self) -> None:
        """The check was cancelled: its connection is not used again."""
        ...

    def close(self) -> None:
        """There are no more checks."""
        ...


def make(kind: HttpCheck | TcpCheck | GrpcCheck, target: Target[Any]) -> Checker:
    """The checker for `target`."""
    checker: Checker = registry.load(CHECKERS, str(type(kind).__struct_config__.tag))(target)
    return checker
