"""All command operators: one file for each group, one line here."""

from __future__ import annotations

from proxy.access_log.operator import Build
from proxy.access_log.operators import (
    addresses,
    cel,
    clock,
    coalesce,
    durations,
    grpc,
    header,
    metadata,
    process,
    request,
    response,
    sizes,
    tls,
    upstream,
    upstream_tls,
    wire,
)
from proxy.http import express_varying

OPERATORS: dict[str, Build] = {
    **addresses.OPERATORS,
    **cel.OPERATORS,
    **clock.OPERATORS,
    **coalesce.OPERATORS,
    **durations.OPERATORS,
    **grpc.OPERATORS,
    **metadata.OPERATORS,
    **process.OPERATORS,
    **request.OPERATORS,
    **response.OPERATORS,
    **sizes.OPERATORS,
    **tls.OPERATORS,
    **upstream.OPERATORS,
    **upstream_tls.OPERATORS,
    **wire.OPERATORS,
}

WITH_LENGTH = frozenset(
    {
        "CEL", "COALESCE", "DYNAMIC_METADATA", "ENVIRONMENT", "FILTER_STATE", "METADATA", "PATH", "QUERY_PARAM",
        "QUERY_PARAMS", "REQ", "REQUEST_HEADER", "REQ_WITHOUT_QUERY", "RESP", "RESPONSE_HEADER", "RESPONSE_TRAILER",
        "TRAILER", "TYPED_CEL", "UPSTREAM_FILTER_STATE",
    }
)  # fmt: skip
"""Operators that take a maximal length (`%REQ(X):10%`)."""

FORMATTERS: dict[str, tuple[str, ...]] = {
    "envoy.extensions.formatter.cel.v3.Cel": (),
    "envoy.extensions.formatter.metadata.v3.Metadata": (),
    "envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery": ("REQ_WITHOUT_QUERY",),
}
"""`SubstitutionFormatString.formatters`: the operators that are there only beside one of them. Those of the others have
become Envoy's own.
"""

_OF_HEADS = frozenset(
    {
        "ENVIRONMENT", "HOSTNAME", "PROTOCOL", "RESPONSE_CODE", "RESPONSE_CODE_DETAILS", "RESPONSE_FLAGS",
        "RESPONSE_FLAGS_LONG", "ROUTE_NAME", "UPSTREAM_CLUSTER",
    }
)  # fmt: skip
_HOLES = express_varying.NAMES | {":path", "x-envoy-original-path", "x-envoy-upstream-service-time"}


def is_of_heads(name: str, parameter: str | None) -> bool:
    """Whether a valid operator's value is settled by the heads of an exchange (`Operator.of_heads`)."""
    if name in ("REQ", "REQUEST_HEADER", "RESP", "RESPONSE_HEADER"):
        return _HOLES.isdisjoint(header.names(parameter))
    return name in _OF_HEADS


_METADATA = "clusters and hosts have no metadata yet"
_TRACING = "there is no tracing yet"
_CLOSE = "how a socket was closed is not kept yet"

NOT_SUPPORTED: dict[str, str] = {
    "CLUSTER_METADATA": _METADATA,
    "DOWNSTREAM_CX_RTT": "",
    "DOWNSTREAM_LOCAL_CLOSE_REASON": _CLOSE,
    "SPAN_ID": _TRACING,
    "TRACE_ID": _TRACING,
    "UPSTREAM_LOCAL_CLOSE_REASON": _CLOSE,
    "UPSTREAM_METADATA": _METADATA,
}
"""Operators of Envoy that we do not have, and what to say about them."""
