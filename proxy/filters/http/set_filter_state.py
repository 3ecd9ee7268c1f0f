"""`envoy.filters.http.set_filter_state`: objects of the filter state, made of what is known of the request."""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.config.context import CompileContext
from proxy.filters import filter_state
from proxy.filters.context import FilterContext
from proxy.http.exchange import Exchange

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.extensions.filters.http.set_filter_state.v3.Config": ("on_request_headers",),
    **filter_state.FIELDS,
}


class SetFilterState:
    """Each value in turn, before the filters behind."""

    terminal = False

    class Config(msgspec.Struct, frozen=True):
        """`Config`."""

        values: tuple[filter_state.Value, ...] = ()

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles a `Config` message."""
        return cls.Config(filter_state.from_proto(message.on_request_headers, context.at("on_request_headers")))

    def __init__(self, name: str, config: Config, context: FilterContext) -> None:
        self.name = name
        self._values = [filter_state.Writer(value) for value in config.values]

    def on_request_headers(self, exchange: Exchange) -> None:
        for value in self._values:
            value.write(exchange.info)
