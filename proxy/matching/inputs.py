"""What matcher trees look at: one function for each input, one line for each in the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from proxy.config.common import Address, SocketAddress
from proxy.config.matching import Input
from proxy.http import stream_data
from proxy.http.stream_data import ABSENT
from proxy.http.stream_info import StreamInfo
from proxy.route.matcher import RequestHead, lookup

if TYPE_CHECKING:
    from proxy.net.connection import Connection

Value = Callable[[RequestHead], Any]
"""The bytes of an input, None if it is not there; of metadata any JSON value, or `ABSENT`."""

HEADER = "envoy.type.matcher.v3.HttpRequestHeaderMatchInput"
QUERY_PARAMETER = "envoy.type.matcher.v3.HttpRequestQueryParamMatchInput"
NETWORK = "envoy.extensions.matching.common_inputs.network.v3"
METADATA = f"{NETWORK}.DynamicMetadataInput"

LOOPBACK = frozenset({"127.0.0.1", "::1"})
"""The addresses that Envoy takes for such: not the rest of 127.0.0.0/8."""


def compile_input(of: Input) -> Value:
    """How to get the value of `of` from a request."""
    return INPUTS[of.kind](of)


def _header(of: Input) -> Value:
    """All lines of the header as one."""
    find = lookup(of.key)
    return lambda head: b",".join(values) if (values := find(head)) else None


def _query_parameter(of: Input) -> Value:
    name = of.key.encode()
    return lambda head: _first_decoded(head.path, name)


def _first_decoded(path: bytes, name: bytes) -> bytes | None:
    """`Utility::QueryParamsMulti::parseAndDecodeQueryString`: `%62` is `b` in names and values, `+` stays."""
    for parameter in path.partition(b"?")[2].split(b"&"):
        key, _, value = parameter.partition(b"=")
        if unquote_to_bytes(key) == name:
            return unquote_to_bytes(value)
    return None


def _metadata(of: Input) -> Value:
    namespace, path = of.key, of.path

    def value(head: RequestHead) -> Any:
        return ABSENT if head.info is None else stream_data.lookup(head.info.dynamic_metadata, namespace, path)

    return value


def _filter_state(of: Input) -> Value:
    key = of.key

    def value(head: RequestHead) -> bytes | None:
        state = head.info.filter_state if head.info is not None else None
        return stream_data.text(state[key]) if state is not None and key in state else None

    return value


def _of_connection(tell: Callable[[Connection, StreamInfo], str]) -> Callable[[Input], Value]:
    """An input that `tell` reads of a connection; empty: it is not there."""

    def value(head: RequestHead) -> bytes | None:
        info = head.info
        if info is None or info.connection is None:
            return None
        return tell(info.connection, info).encode() or None

    return lambda of: value


def _source(connection: Connection, info: StreamInfo) -> Address:
    """Who is taken for the client: `x-forwarded-for` may have said so."""
    return info.downstream_remote or connection.remote


def _host(address: Address) -> str:
    return address.host if isinstance(address, SocketAddress) else ""


def _port(address: Address) -> str:
    return str(address.port) if isinstance(address, SocketAddress) else ""


def _source_type(connection: Connection, info: StreamInfo) -> str:
    source, local = _source(connection, info), connection.local
    is_local = not isinstance(source, SocketAddress) or source.host in LOOPBACK or source.host == _host(local)
    return "local" if is_local else ""


INPUTS: dict[str, Callable[[Input], Value]] = {
    HEADER: _header,
    QUERY_PARAMETER: _query_parameter,
    METADATA: _metadata,
    f"{NETWORK}.FilterStateInput": _filter_state,
    f"{NETWORK}.DestinationIPInput": _of_connection(lambda connection, info: _host(connection.local)),
    f"{NETWORK}.DestinationPortInput": _of_connection(lambda connection, info: _port(connection.local)),
    f"{NETWORK}.SourceIPInput": _of_connection(lambda connection, info: _host(_source(connection, info))),
    f"{NETWORK}.SourcePortInput": _of_connection(lambda connection, info: _port(_source(connection, info))),
    f"{NETWORK}.DirectSourceIPInput": _of_connection(lambda connection, info: _host(connection.remote)),
    f"{NETWORK}.SourceTypeInput": _of_connection(_source_type),
    f"{NETWORK}.ServerNameInput": _of_connection(lambda connection, info: connection.server_name),
}
"""By the full name of the input's message."""
