"""`grpc_http1_bridge`: compiled from YAML, then run in a server; beside Envoy in
`tests/parity/test_grpc_filters.py`.
"""

from __future__ import annotations

import pytest

from tests.kit.trio import run_trio
from tests.unit.proxy.filters.http.through import through

PROTO = "envoy.extensions.filters.http.grpc_http1_bridge.v3.Config"
PROTOBUF = b"POST /s/m?a=b HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-protobuf\r\ncontent-length: 2\r\n\r\n"
GRPC = b"POST /s/m?a=b HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ncontent-length: 7\r\n\r\n"
LAST = b"0\r\n\r\n"
FRAMED = b"\0\0\0\0\x02hi"


def bridge(**fields: str) -> str:
    own = "".join(f", {name}: {value}" for name, value in fields.items())
    return f'{{name: b, typed_config: {{"@type": type.googleapis.com/{PROTO}{own}}}}}'


def answer(kind: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (kind, len(body), body)


@run_trio
@pytest.mark.field(f"{PROTO}.upgrade_protobuf_to_grpc")
async def test_a_message_is_framed_and_its_answer_is_not() -> None:
    response = answer(b"application/grpc", b"\0\0\0\0\x03abc")
    http_filter = bridge(upgrade_protobuf_to_grpc="true")
    head, seen = await through(http_filter, PROTOBUF, body=b"hi", up=LAST, response=response)
    assert FRAMED in head
    assert b"\r\ncontent-type: application/grpc\r\n" in head
    assert seen.endswith(b"\r\n\r\nabc")
    assert b"\r\ncontent-length: 3\r\n" in seen


@run_trio
async def test_what_is_in_no_frame_stays_whole() -> None:
    response = answer(b"text/html", b"<b>sorry</b>")
    _, seen = await through(bridge(upgrade_protobuf_to_grpc="true"), PROTOBUF, body=b"hi", up=LAST, response=response)
    assert seen.endswith(b"\r\n\r\n<b>sorry</b>")


@run_trio
@pytest.mark.field(f"{PROTO}.ignore_query_parameters")
async def test_the_query_is_dropped() -> None:
    head, _ = await through(bridge(ignore_query_parameters="true"), GRPC, body=FRAMED)
    assert head.startswith(b"POST /s/m HTTP/1.1\r\n")


@run_trio
async def test_bodies_are_bounded() -> None:
    body = b"a" * 1_100_000
    request = PROTOBUF.replace(b"length: 2", b"length: %d" % len(body))
    head, seen = await through(bridge(upgrade_protobuf_to_grpc="true"), request, body=body)
    assert head == b""
    assert seen.startswith(b"HTTP/1.1 413 ")
    _, seen = await through(bridge(), GRPC, body=FRAMED, response=answer(b"application/grpc", body))
    assert b"\r\ngrpc-status: 2\r\ngrpc-message: Internal Server Error\r\n" in seen
