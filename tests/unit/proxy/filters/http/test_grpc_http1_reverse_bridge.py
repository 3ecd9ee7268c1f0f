"""`grpc_http1_reverse_bridge`: compiled from YAML, then run in a server; beside Envoy in
`tests/parity/test_grpc_filters.py`.
"""

from __future__ import annotations

import pytest

from tests.kit.config import bootstrap, findings
from tests.kit.trio import run_trio
from tests.unit.proxy.filters.http.through import ROUTER, through

PACKAGE = "envoy.extensions.filters.http.grpc_http1_reverse_bridge.v3"
CALL = b"POST /s/m HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ncontent-length: 7\r\n\r\n"
FRAMED = b"\0\0\0\0\x02hi"
OWN = b"application/own"


def bridge(**fields: str) -> str:
    own = "".join(f", {name}: {value}" for name, value in fields.items())
    return f'{{name: b, typed_config: {{"@type": type.googleapis.com/{PACKAGE}.FilterConfig{own}}}}}'


def answer(body: bytes, fields: bytes = b"", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n%bcontent-length: %d\r\n\r\n%b" % (OWN, fields, size, body)


@run_trio
@pytest.mark.field(f"{PACKAGE}.FilterConfig.content_type")
async def test_the_content_type() -> None:
    head, seen = await through(bridge(content_type=OWN.decode()), CALL, body=FRAMED, response=answer(b"ok"))
    assert b"\r\ncontent-type: application/own\r\n" in head
    assert b"\r\naccept: application/own\r\n" in head
    assert b"\r\ncontent-type: application/grpc\r\n" in seen


@run_trio
@pytest.mark.field(f"{PACKAGE}.FilterConfig.withhold_grpc_frames")
async def test_frames_are_withheld() -> None:
    http_filter = bridge(content_type=OWN.decode(), withhold_grpc_frames="true")
    head, seen = await through(http_filter, CALL, body=FRAMED, up=b"hi", response=answer(b"ok"))
    assert head.endswith(b"\r\n\r\nhi")
    assert seen.endswith(b"\r\n\r\n\0\0\0\0\x02ok")


@run_trio
@pytest.mark.field(f"{PACKAGE}.FilterConfig.response_size_header")
async def test_the_size_is_told() -> None:
    http_filter = bridge(content_type=OWN.decode(), withhold_grpc_frames="true", response_size_header="x-size")
    response = answer(b"ok", b"x-size: 2\r\n")
    _, seen = await through(http_filter, CALL, body=FRAMED, up=b"hi", response=response)
    assert seen.endswith(b"\r\n\r\n\0\0\0\0\x02ok")
    _, seen = await through(http_filter, CALL, body=FRAMED, up=b"hi", response=answer(b"ok"))
    assert b"\r\ngrpc-status: 13\r\n" in seen


@run_trio
@pytest.mark.field(f"{PACKAGE}.FilterConfigPerRoute.disabled")
async def test_a_route_without_it() -> None:
    own = f'{{b: {{"@type": type.googleapis.com/{PACKAGE}.FilterConfigPerRoute, disabled: true}}}}'
    route = f'{{match: {{prefix: "/"}}, route: {{cluster: origin}}, typed_per_filter_config: {own}}}'
    routes = f'{{name: r, virtual_hosts: [{{name: v, domains: ["*"], routes: [{route}]}}]}}'
    head, _ = await through(bridge(content_type=OWN.decode()), CALL, body=FRAMED, route_config=routes)
    assert b"\r\ncontent-type: application/grpc\r\n" in head


@run_trio
async def test_a_request_that_is_no_frame() -> None:
    http_filter = bridge(content_type=OWN.decode(), withhold_grpc_frames="true")
    _, seen = await through(http_filter, CALL.replace(b"length: 7", b"length: 3"), body=b"\0\0\0")
    assert b"\r\ngrpc-status: 2\r\ngrpc-message: invalid request body\r\n" in seen


@run_trio
async def test_what_is_held_is_bounded() -> None:
    http_filter = bridge(content_type=OWN.decode(), withhold_grpc_frames="true")
    _, seen = await through(http_filter, CALL, body=FRAMED, up=b"hi", response=answer(b"a" * 1_100_000))
    assert b"\r\ngrpc-status: 2\r\ngrpc-message: Internal Server Error\r\n" in seen


@run_trio
async def test_an_upstream_that_breaks_off_is_told_as_grpc() -> None:
    http_filter = bridge(content_type=OWN.decode(), withhold_grpc_frames="true")
    response = answer(b"ok", b"connection: close\r\n", length=5)
    _, seen = await through(http_filter, CALL, body=FRAMED, up=b"hi", response=response)
    assert seen.startswith(b"HTTP/1.1 200 ")
    assert b"\r\ngrpc-status: 14\r\n" in seen


def test_a_size_of_messages_that_keep_their_frames_is_refused() -> None:
    http_filter = bridge(content_type=OWN.decode(), response_size_header="x-size")
    (finding,) = findings(bootstrap(http_filters=f"- {http_filter}\n- {ROUTER}"))
    assert finding.path[-1] == "response_size_header"
