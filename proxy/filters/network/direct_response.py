"""`envoy.filters.network.direct_response`: the same bytes for every connection, then its end."""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.config.context import CompileContext
from proxy.filters.context import CallNextNetwork, FilterContext
from proxy.net.connection import Connection

FIELDS: dict[str, tuple[str, ...]] = {"envoy.extensions.filters.network.direct_response.v3.Config": ("response",)}

SEND_DEADLINE = 30.0
"""Seconds that the peer has to take the response; Envoy waits for ever."""

LINGER = 1.0
"""Seconds from there to the peer's own close (Envoy's default `delayed_close_timeout`)."""


class DirectResponse:
    """Terminal. What the peer sends is dropped, so that no reset destroys the response on its way."""

    terminal = True

    class Config(msgspec.Struct, frozen=True, gc=False):
        """`Config`."""

        response: bytes = b""

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles a `Config` message."""
        return cls.Config(context.data_source(message.response, "response"))

    def __init__(self, name: str, config: Config, context: FilterContext) -> None:
        self._response = config.response

    async def __call__(self, connection: Connection, call_next: CallNextNetwork) -> None:
        connection.deadline(SEND_DEADLINE)
        await connection.send(self._response)
        connection.deadline(LINGER)
        await connection.linger()
