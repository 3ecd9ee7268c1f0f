"""`buffer`: compiled from YAML, then run in a server."""

from __future__ import annotations

import pytest

from tests.kit.trio import run_trio
from tests.unit.proxy.filters.http.through import through

PACKAGE = "envoy.extensions.filters.http.buffer.v3"
FILTER = f'{{name: b, typed_config: {{"@type": type.googleapis.com/{PACKAGE}.Buffer, max_request_bytes: 10}}}}'
CHUNKED = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"


def sized(size: int) -> bytes:
    return b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size


def per_route(fields: str) -> str:
    own = f'{{b: {{"@type": type.googleapis.com/{PACKAGE}.BufferPerRoute, {fields}}}}}'
    route = f'{{match: {{prefix: "/"}}, route: {{cluster: origin}}, typed_per_filter_config: {own}}}'
    return f'{{name: r, virtual_hosts: [{{name: v, domains: ["*"], routes: [{route}]}}]}}'


@run_trio
@pytest.mark.field(f"{PACKAGE}.Buffer.max_request_bytes")
async def test_the_limit() -> None:
    head, answer = await through(FILTER, sized(10), body=b"0123456789")
    assert head.endswith(b"\r\n\r\n0123456789")
    assert answer.startswith(b"HTTP/1.1 200 ")
    head, answer = await through(FILTER, sized(11), body=b"0123456789a")
    assert head == b""
    assert answer.startswith(b"HTTP/1.1 413 ")


@run_trio
async def test_a_chunked_body_goes_on_with_its_length() -> None:
    head, _ = await through(FILTER, CHUNKED, body=b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", up=b"abcde")
    assert b"\r\ncontent-length: 5\r\n" in head
    assert head.endswith(b"\r\n\r\nabcde")


@run_trio
@pytest.mark.field(f"{PACKAGE}.BufferPerRoute.disabled")
async def test_a_route_without_it() -> None:
    _, answer = await through(FILTER, sized(11), body=b"0123456789a", route_config=per_route("disabled: true"))
    assert answer.startswith(b"HTTP/1.1 200 ")


@run_trio
@pytest.mark.field(f"{PACKAGE}.BufferPerRoute.buffer")
async def test_a_route_with_another_limit() -> None:
    own = per_route("buffer: {max_request_bytes: 2}")
    _, answer = await through(FILTER, sized(3), body=b"abc", route_config=own)
    assert answer.startswith(b"HTTP/1.1 413 ")
