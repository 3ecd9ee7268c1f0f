"""`envoy.filters.http.buffer`: forwards a request once all of it is here; 413 if it is larger than it may be."""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.config.context import CompileContext
from proxy.filters.context import FilterContext
from proxy.http.exchange import Exchange
from proxy.http.filter_chain import CallNext

PACKAGE = "envoy.extensions.filters.http.buffer.v3"
FIELDS: dict[str, tuple[str, ...]] = {
    f"{PACKAGE}.Buffer": ("max_request_bytes",),
    f"{PACKAGE}.BufferPerRoute": ("disabled", "buffer"),
}


class Buffer:
    """A request whose length nobody announced goes on with `content-length`, as its body is known by then."""

    terminal = False

    class Config(msgspec.Struct, frozen=True, gc=False):
        """`Buffer`, and `BufferPerRoute`, where `max_request_bytes` 0 means that the filter is disabled."""

        max_request_bytes: int

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles a `Buffer` message, or a `BufferPerRoute`."""
        if hasattr(message, "disabled"):
            return cls.Config(0 if message.disabled else message.buffer.max_request_bytes.value)
        return cls.Config(message.max_request_bytes.value)

    def __init__(self, name: str, config: Config, context: FilterContext) -> None:
        self._name = name
        self._config = config

    async def __call__(self, exchange: Exchange, call_next: CallNext) -> None:
        limit = (exchange.filter_config(self._name) or self._config).max_request_bytes
        if limit and not exchange.body.ended:
            body = await exchange.body.read_all(limit)
            headers = exchange.request.headers
            if b"content-length" not in headers:
                headers.add(b"content-length", b"%d" % len(body))
        await call_next(exchange)
