"""`envoy.filters.network.echo`: sends back what comes."""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.config.context import CompileContext
from proxy.filters.context import CallNextNetwork, FilterContext
from proxy.net.connection import Connection

FIELDS: dict[str, tuple[str, ...]] = {"envoy.extensions.filters.network.echo.v3.Echo": ()}

IDLE = 3600.0
"""Seconds in which nothing moves; Envoy waits for ever."""


class Echo:
    """Terminal. Not reading while the peer does not take its bytes is the back-pressure."""

    terminal = True

    class Config(msgspec.Struct, frozen=True, gc=False):
        """`Echo`, which has no fields."""

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles an `Echo` message."""
        return cls.Config()

    def __init__(self, name: str, config: Config, context: FilterContext) -> None:
        pass

    async def __call__(self, connection: Connection, call_next: CallNextNetwork) -> None:
        connection.deadline(IDLE)
        while data := await connection.receive():
            await connection.send(data)
            connection.deadline(IDLE)
