"""`FilterStateValue`: an object of the filter state whose value is a substitution format."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from proxy.access_log.substitution import compile_format, format_from_proto
from proxy.config.access_log import Format
from proxy.config.common import SocketAddress
from proxy.config.context import CompileContext
from proxy.http.stream_data import HashableText, StateObject
from proxy.http.stream_info import StreamInfo

PACKAGE = "envoy.extensions.filters.common.set_filter_state.v3"
FIELDS: dict[str, tuple[str, ...]] = {
    f"{PACKAGE}.FilterStateValue": ("object_key", "factory_key", "format_string", "skip_if_empty"),
}


class Value(msgspec.Struct, frozen=True):
    """`FilterStateValue`. `factory` is a name of `FACTORIES`: what the text becomes."""

    key: str
    factory: str
    format: Format
    skip_if_empty: bool = False


def _ip(text: bytes) -> SocketAddress | None:
    """None for what is no IP address: such an object is not set, as in Envoy."""
    try:
        return SocketAddress(str(ipaddress.ip_address(text.decode())), 0)
    except ValueError:
        return None


FACTORIES: dict[str, Callable[[bytes], StateObject | None]] = {
    "envoy.hashable_string": HashableText,
    "envoy.string": lambda text: text,
    "envoy.network.ip": _ip,
}


def from_proto(messages: Iterable[Any], context: CompileContext) -> tuple[Value, ...]:
    """Compiles a list of `FilterStateValue`; `context` stands for it."""
    return tuple(_value(message, context.at(index)) for index, message in enumerate(messages))


def _value(message: Any, context: CompileContext) -> Value:
    factory = message.factory_key or message.object_key
    if factory not in FACTORIES:
        field = "factory_key" if message.factory_key else "object_key"
        context.error((field,), f"no factory of objects is called {factory!r}", f"one of {', '.join(FACTORIES)}")
    made = format_from_proto(message.format_string, context.at("format_string"))
    return Value(message.object_key, factory, made, message.skip_if_empty)


class Writer:
    """A `Value`, compiled."""

    __slots__ = ("_key", "_make", "_render", "_skip_if_empty")

    def __init__(self, value: Value) -> None:
        self._key = value.key
        self._make = FACTORIES[value.factory]
        self._render = compile_format(value.format).render
        self._skip_if_empty = value.skip_if_empty

    def write(self, info: StreamInfo) -> None:
        """Set the object of `info`'s exchange."""
        text = self._render(info)
        if not text and self._skip_if_empty:
            return
        made = self._make(text)
        if made is not None:
            info.set_filter_state(self._key, made)
