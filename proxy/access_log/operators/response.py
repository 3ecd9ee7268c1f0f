"""The response to the client: status, headers, why it is what it is, and byte counts."""

from __future__ import annotations

from proxy.access_log.operator import Build, FormatError, Getter, Value, plain
from proxy.access_log.operators.header import lookup, names, one_line
from proxy.errors import Flag
from proxy.http.stream_info import StreamInfo


def _long_name(flag: Flag) -> str:
    if flag is Flag.OVERLOAD_MANAGER:
        return "OverloadManagerTerminated"
    return flag.name.title().replace("_", "")


_LONG_NAMES = {flag: _long_name(flag) for flag in Flag}


def _header(name: str) -> Getter:
    if name == ":status":
        return lambda info: b"%d" % info.status if info.response_headers is not None else None
    find = lookup(name)

    def get(info: StreamInfo) -> Value:
        headers = info.response_headers
        return None if headers is None else find(headers)

    return get


def _resp(parameter: str | None) -> Getter:
    return _first([_header(name) for name in names(parameter)])


def _first(getters: list[Getter]) -> Getter:
    if len(getters) == 1:
        return getters[0]

    def get(info: StreamInfo) -> Value:
        for getter in getters:
            if (value := getter(info)) is not None:
                return value
        return None

    return get


def _trailer(name: str) -> Getter:
    find = lookup(name)

    def get(info: StreamInfo) -> Value:
        trailers = info.response_trailers
        return None if trailers is None else find(trailers)

    return get


def _trailers(parameter: str | None) -> Getter:
    """Of an HTTP/1 upstream there are some only with `enable_trailers`."""
    return _first([_trailer(name) for name in names(parameter)])


def _details(parameter: str | None) -> Getter:
    """No spaces, so that a field of the log stays a field, unless they are asked for."""
    if parameter not in (None, "ALLOW_WHITESPACES"):
        raise FormatError(f"unknown option {parameter!r}", "ALLOW_WHITESPACES")
    if parameter:
        return lambda info: one_line(info.detail.encode()) or None
    return lambda info: one_line(info.detail.replace(" ", "_").encode()) or None


def _flags(info: StreamInfo) -> Value:
    return info.response_flags().encode() if info.flags else b"-"


def _flags_long(info: StreamInfo) -> Value:
    return ",".join(_LONG_NAMES[flag] for flag in info.flags).encode() or b"-"


def _termination(info: StreamInfo) -> Value:
    tls = info.connection.tls if info.connection is not None else None
    return b"transport socket timeout was reached" if tls is not None and tls.late else None


OPERATORS: dict[str, Build] = {
    "BYTES_RECEIVED": plain(lambda info: info.bytes_received),
    "BYTES_SENT": plain(lambda info: info.bytes_sent),
    "CONNECTION_TERMINATION_DETAILS": plain(_termination),
    "LOCAL_REPLY_BODY": plain(lambda info: info.local_reply_body),
    "RESP": _resp,
    "RESPONSE_CODE": plain(lambda info: info.status),
    "RESPONSE_CODE_DETAILS": _details,
    "RESPONSE_FLAGS": plain(_flags),
    "RESPONSE_FLAGS_LONG": plain(_flags_long),
    "RESPONSE_HEADER": _resp,
    "RESPONSE_TRAILER": _trailers,
    "TRAILER": _trailers,
}
