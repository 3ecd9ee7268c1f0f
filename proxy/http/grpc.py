"""gRPC over HTTP: status codes, and which one an HTTP status stands for (features §13 rule 29)."""

from __future__ import annotations

import enum
import re
from urllib.parse import unquote_to_bytes

from proxy.http.headers import Headers

STATUS = b"grpc-status"
MESSAGE = b"grpc-message"
CONTENT_TYPE = b"application/grpc"
FRAME_HEAD = 5

MAX_MESSAGE = 16384
"""Bytes of a `grpc-message`, before they are encoded; Envoy's `MaxGrpcMessageLength`."""

_UNSAFE = re.compile(rb"[^ -$&-}]")


class GrpcStatus(enum.IntEnum):
    """`google.rpc.Code`."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


_OF_HTTP = {
    400: GrpcStatus.INTERNAL,
    401: GrpcStatus.UNAUTHENTICATED,
    403: GrpcStatus.PERMISSION_DENIED,
    404: GrpcStatus.UNIMPLEMENTED,
    429: GrpcStatus.UNAVAILABLE,
    502: GrpcStatus.UNAVAILABLE,
    503: GrpcStatus.UNAVAILABLE,
    504: GrpcStatus.UNAVAILABLE,
}


_TO_HTTP: dict[int, int] = {
    GrpcStatus.OK: 200,
    GrpcStatus.CANCELLED: 499,
    GrpcStatus.INVALID_ARGUMENT: 400,
    GrpcStatus.DEADLINE_EXCEEDED: 504,
    GrpcStatus.NOT_FOUND: 404,
    GrpcStatus.ALREADY_EXISTS: 409,
    GrpcStatus.PERMISSION_DENIED: 403,
    GrpcStatus.RESOURCE_EXHAUSTED: 429,
    GrpcStatus.FAILED_PRECONDITION: 400,
    GrpcStatus.ABORTED: 409,
    GrpcStatus.OUT_OF_RANGE: 400,
    GrpcStatus.UNIMPLEMENTED: 501,
    GrpcStatus.UNAVAILABLE: 503,
    GrpcStatus.UNAUTHENTICATED: 401,
}


def to_http(status: int) -> int:
    """What a gRPC status is to an HTTP client (`Grpc::Utility::grpcToHttpStatus`)."""
    return _TO_HTTP.get(status, 500)


def of_http(status: int) -> GrpcStatus:
    """What an HTTP status means to a gRPC client."""
    return _OF_HTTP.get(status, GrpcStatus.UNKNOWN)


def is_request(headers: Headers) -> bool:
    """`Grpc::Common::isGrpcRequestHeaders`: `application/grpc` or `application/grpc+…`; not `application/grpc-web`."""
    content_type = headers.joined(b"content-type")
    return content_type is not None and (content_type == CONTENT_TYPE or content_type.startswith(CONTENT_TYPE + b"+"))


def status_in(headers: Headers) -> int | None:
    """The `grpc-status` in the fields of a response's head or trailers (`Grpc::Common::getGrpcStatus`): -1 if it is
    no number, None if it is not there.
    """
    said = headers.get(STATUS)
    if said is None:
        return None
    return int(said) if said.isdigit() and len(said) <= 9 else -1


def is_response(status: int, headers: Headers, *, end_stream: bool) -> bool:
    """`Grpc::Common::isGrpcResponseHeaders`: of a response of headers alone, only a `grpc-status` is asked."""
    if end_stream:
        return STATUS in headers
    return status == 200 and is_request(headers)


def service_and_method(path: bytes) -> tuple[str, str] | None:
    """The two names in the path of a call (`Grpc::Common::resolveServiceAndMethod`)."""
    parts = [part.decode("latin-1") for part in path.partition(b"?")[0].split(b"/") if part]
    return (parts[0], parts[1]) if len(parts) == 2 else None


def encode_message(text: bytes) -> bytes:
    """What `grpc-message` says in hexadecimal: all but printable ASCII, and "%" (and "~", as in Envoy)."""
    return _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], text[:MAX_MESSAGE])


def decode_message(text: bytes) -> str:
    """What a `grpc-message` says (gRPC over HTTP/2, "Status-Message"). What is no escape stands for itself."""
    return unquote_to_bytes(text[:MAX_MESSAGE]).decode("utf-8", "replace")


def frame_head(length: int, flags: int = 0) -> bytes:
    """What stands before a message of `length` bytes (gRPC over HTTP/2, "Length-Prefixed-Message")."""
    return bytes((flags,)) + length.to_bytes(4, "big")


def status_of(head: Headers | None, trailers: Headers | None, http_status: int) -> int | None:
    """The status of a response: what its trailers say, or else its head, -1 if that is no number, or what its HTTP
    status means; None if none.
    """
    for fields in (trailers, head):
        if said := fields.get(STATUS) if fields is not None else None:
            return int(said) if said.isdigit() and len(said) < 10 else -1
    return of_http(http_status) if http_status else None
