"""What a `config.route.v3.RouteMatch` asks of a request beyond the path: headers, query, gRPC, a share of requests, and
what filters have left at its exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from proxy.config.route import QueryParameterMatcher, RouteMatch
from proxy.http import grpc
from proxy.http.stream_info import StreamInfo
from proxy.route.matcher import RequestHead, compile_header, compile_string
from proxy.route.metadata import Predicate, compile_filter_state, compile_metadata

if TYPE_CHECKING:
    from proxy.net.tls.session import TlsSession

Condition = Callable[[RequestHead], bool]


class Part(NamedTuple):
    """One condition: the field of the `RouteMatch` that asks for it, what that says, and whether it holds."""

    field: tuple[str | int, ...]
    asked: object
    holds: Condition


def compile_conditions(match: RouteMatch) -> tuple[Condition, ...]:
    """All of them must hold."""
    return tuple(part.holds for part in parts(match))


def by_path_alone(match: RouteMatch) -> bool:
    """Whether the conditions look at nothing but path and query."""
    return not match.headers and not match.grpc and not beyond_head(match)


def beyond_head(match: RouteMatch) -> bool:
    """Whether they look at more than the head of the request."""
    of_certificates = match.tls_presented is not None or match.tls_validated is not None
    return match.runtime_fraction is not None or of_certificates or bool(match.dynamic_metadata or match.filter_state)


def parts(match: RouteMatch) -> Iterator[Part]:
    """What `match` asks beyond the path, in the order in which it is asked."""
    if match.tls_presented is not None:
        yield Part(("tls_context", "presented"), match.tls_presented, _of_info(_presented(match.tls_presented)))
    if match.tls_validated is not None:
        yield Part(("tls_context", "validated"), match.tls_validated, _of_info(_validated(match.tls_validated)))
    if match.runtime_fraction is not None:
        yield Part(("runtime_fraction",), match.runtime_fraction, _compile_fraction(*match.runtime_fraction))
    for index, header in enumerate(match.headers):
        yield Part(("headers", index), header, compile_header(header))
    for index, parameter in enumerate(match.query_parameters):
        yield Part(("query_parameters", index), parameter, _compile_query_parameter(parameter))
    if match.grpc:
        yield Part(("grpc",), None, is_grpc)
    for index, metadata in enumerate(match.dynamic_metadata):
        yield Part(("dynamic_metadata", index), metadata, _of_info(compile_metadata(metadata)))
    for index, state in enumerate(match.filter_state):
        yield Part(("filter_state", index), state, _of_info(compile_filter_state(state)))


_NOTHING_KNOWN = StreamInfo(0.0)


def _of_info(predicate: Predicate) -> Condition:
    return lambda head: predicate(head.info or _NOTHING_KNOWN)


def _presented(wanted: bool) -> Predicate:
    """A client without TLS has presented no certificate."""
    return lambda info: ((tls := _tls(info)) is not None and tls.peer is not None) is wanted


def _validated(wanted: bool) -> Predicate:
    return lambda info: ((tls := _tls(info)) is not None and tls.peer is not None and tls.validated) is wanted


def _tls(info: StreamInfo) -> TlsSession | None:
    return info.connection.tls if info.connection is not None else None


def _compile_fraction(numerator: int, denominator: int) -> Condition:
    """One number per request decides for all routes, as in Envoy: a request that one half passed by passes by all."""
    return lambda head: head.random % denominator < numerator


def _compile_query_parameter(matcher: QueryParameterMatcher) -> Condition:
    name = matcher.name.encode()
    if matcher.string is not None:
        value_matches = compile_string(matcher.string)
        return lambda head: (value := first_value(head.path, name)) is not None and value_matches(value)
    wanted = matcher.present is not False
    return lambda head: (first_value(head.path, name) is not None) == wanted


def first_value(path: bytes, name: bytes) -> bytes | None:
    """The first value of query parameter `name`, not decoded; empty without a `=`; None if there is none.

    `Utility::QueryParamsMulti::parseQueryString`.
    """
    for parameter in path.partition(b"?")[2].split(b"&"):
        key, _, value = parameter.partition(b"=")
        if key == name:
            return value
    return None


def is_grpc(head: RequestHead) -> bool:
    """Whether this is a gRPC request."""
    return grpc.is_request(head.headers)
