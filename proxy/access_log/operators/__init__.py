"""All command operators: one file for each group, one line here."""

from __future__ import annotations

from proxy.access_log.operator import Build
from proxy.access_log.operators import addresses, clock, durations, header, process, request, response, upstream

OPERATORS: dict[str, Build] = {
    **addresses.OPERATORS,
    **clock.OPERATORS,
    **durations.OPERATORS,
    **process.OPERATORS,
    **request.OPERATORS,
    **response.OPERATORS,
    **upstream.OPERATORS,
}

WITH_LENGTH = frozenset({"REQ", "RESP", "TRAILER", "PATH", "QUERY_PARAM", "QUERY_PARAMS", "ENVIRONMENT"})
"""Operators that take a maximal length (`%REQ(X):10%`)."""

_OF_HEADS = frozenset(
    {
        "BYTES_RECEIVED", "BYTES_SENT", "ENVIRONMENT", "HOSTNAME", "PROTOCOL", "RESPONSE_CODE", "RESPONSE_CODE_DETAILS",
        "RESPONSE_FLAGS", "RESPONSE_FLAGS_LONG", "ROUTE_NAME", "UPSTREAM_CLUSTER",
    }
)  # fmt: skip
_HOLES = frozenset({":path", "x-envoy-original-path", "x-envoy-upstream-service-time", "x-request-id"})


def is_of_heads(name: str, parameter: str | None) -> bool:
    """Whether a valid operator's value is settled by the heads of an exchange (`Operator.of_heads`)."""
    if name in ("REQ", "RESP"):
        return _HOLES.isdisjoint(header.names(parameter))
    return name in _OF_HEADS


_TLS = "there is no TLS yet"
_METADATA = "there is no metadata yet"
_GRPC = "there is no gRPC yet"

NOT_SUPPORTED: dict[str, str] = {
    "CLUSTER_METADATA": _METADATA,
    "DOWNSTREAM_DETECTED_CLOSE_TYPE": "",
    "DOWNSTREAM_HANDSHAKE_DURATION": _TLS,
    "DOWNSTREAM_LOCAL_DNS_SAN": _TLS,
    "DOWNSTREAM_LOCAL_SUBJECT": _TLS,
    "DOWNSTREAM_LOCAL_URI_SAN": _TLS,
    "DOWNSTREAM_PEER_CERT": _TLS,
    "DOWNSTREAM_PEER_CERT_V_END": _TLS,
    "DOWNSTREAM_PEER_CERT_V_START": _TLS,
    "DOWNSTREAM_PEER_DNS_SAN": _TLS,
    "DOWNSTREAM_PEER_FINGERPRINT_1": _TLS,
    "DOWNSTREAM_PEER_FINGERPRINT_256": _TLS,
    "DOWNSTREAM_PEER_ISSUER": _TLS,
    "DOWNSTREAM_PEER_SERIAL": _TLS,
    "DOWNSTREAM_PEER_SUBJECT": _TLS,
    "DOWNSTREAM_PEER_URI_SAN": _TLS,
    "DOWNSTREAM_TLS_CIPHER": _TLS,
    "DOWNSTREAM_TLS_SESSION_ID": _TLS,
    "DOWNSTREAM_TLS_VERSION": _TLS,
    "DOWNSTREAM_TRANSPORT_FAILURE_REASON": _TLS,
    "DYNAMIC_METADATA": _METADATA,
    "FILTER_STATE": _METADATA,
    "GRPC_STATUS": _GRPC,
    "GRPC_STATUS_NUMBER": _GRPC,
    "METADATA": _METADATA,
    "REQUESTED_SERVER_NAME": _TLS,
    "REQ_WITHOUT_QUERY": "%PATH(NQ)% is the path without the query",
    "SPAN_ID": "there is no tracing yet",
    "TLS_JA3_FINGERPRINT": _TLS,
    "TRACE_ID": "there is no tracing yet",
    "UPSTREAM_FILTER_STATE": _METADATA,
    "UPSTREAM_METADATA": _METADATA,
    "UPSTREAM_PEER_SUBJECT": _TLS,
    "UPSTREAM_TLS_CIPHER": _TLS,
    "UPSTREAM_TLS_VERSION": _TLS,
    "VIRTUAL_CLUSTER_NAME": "there are no virtual clusters yet",
}
"""Operators of Envoy that we do not have, and what to say about them."""
