"""gRPC at work: many streams at once, connections that end meanwhile, and browsers' calls and JSON to a real server."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from json import loads
from typing import Any, NamedTuple

import pytest

from tests.kit import books
from tests.kit.bootstrap import ROUTER, Fields, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.client import fetch, get
from tests.kit.grpc_client import GrpcClient
from tests.kit.grpc_server import SERVICE, GrpcServer, pack, unpack
from tests.kit.proxy import Proxy
from tests.parity.test_grpc_interop import SPEAKS_HTTP2
from tests.parity.wire_origin import WireOrigin

HTTP = "type.googleapis.com/envoy.extensions.filters.http"
NO_LIMITS = {"thresholds": [{"max_requests": 5000, "max_pending_requests": 5000}]}


PLAIN = {
    "/EmptyCall": b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n",
    "/UnimplementedCall": b"HTTP/1.1 404 No\r\ncontent-type: application/x-protobuf\r\ncontent-length: 2\r\n\r\nno",
}
"""What a server says that knows HTTP alone."""


class Scene(NamedTuple):
    proxy: Proxy
    client: GrpcClient


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with GrpcServer() as server, GrpcServer(age=0.15) as aging, GrpcClient() as client, WireOrigin(PLAIN) as plain:
        router = {"name": "r", "typed_config": {"@type": ROUTER}}
        web = {"name": "w", "typed_config": {"@type": f"{HTTP}.grpc_web.v3.GrpcWeb"}}
        bridge = {"name": "b", "typed_config": {"@type": f"{HTTP}.grpc_http1_bridge.v3.Config"}}
        own = {
            "proto_descriptor_bin": books.descriptors_in_yaml(),
            "services": ["t.Books"],
            "convert_grpc_status": True,
        }
        json = {"name": "j", "typed_config": {"@type": f"{HTTP}.grpc_json_transcoder.v3.GrpcJsonTranscoder", **own}}
        reverse = {"content_type": "application/x-protobuf", "withhold_grpc_frames": True}
        reversing = {
            "name": "v",
            "typed_config": {"@type": f"{HTTP}.grpc_http1_reverse_bridge.v3.FilterConfig", **reverse},
        }

        def listener(name: str, cluster: str, *filters: Fields, **action: Any) -> Fields:
            everything = virtual_host("v", ["*"], route("/", cluster, **action))
            return http_listener(everything, name=name, http_filters=[*filters, router])

        listeners = [
            listener("json", "grpc", json),
            listener("plain", "plain", reversing),
            listener("web", "grpc", web, bridge),
            listener("grpc", "grpc", timeout="0s"),
            listener("aging", "aging", timeout="0s"),
        ]
        clusters = [
            static_cluster("grpc", server.port, circuit_breakers=NO_LIMITS, **SPEAKS_HTTP2),
            static_cluster("plain", plain.port),
            static_cluster("aging", aging.port, **SPEAKS_HTTP2),
        ]
        with Proxy(bootstrap(listeners, clusters), concurrency=1) as proxy:
            yield Scene(proxy, client)


def test_a_thousand_streams_at_once(scene: Scene) -> None:
    found = scene.client.run("many_streams", scene.proxy.address("grpc"))
    assert found == {"codes": ["OK"], "sizes": [[10, 20]]}


def test_no_call_is_lost_when_the_upstream_ends_its_connections(scene: Scene) -> None:
    found = scene.client.run("calls_one_after_the_other", scene.proxy.address("aging"))
    assert found == {"codes": ["OK"]}
    assert scene.proxy.stats()["cluster.aging.upstream_cx_total"] > 1


def call(method: str, kind: str, body: bytes) -> bytes:
    head = f"POST /{SERVICE}/{method} HTTP/1.1\r\nhost: h\r\ncontent-type: {kind}\r\naccept: {kind}\r\nte: trailers\r\n"
    return head.encode() + b"content-length: %d\r\n\r\n%b" % (len(body), body)


def frame(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def frames(body: bytes) -> list[tuple[int, bytes]]:
    found = []
    while body:
        end = 5 + int.from_bytes(body[1:5], "big")
        found.append((body[0], body[5:end]))
        body = body[end:]
    return found


def test_a_browsers_call(scene: Scene) -> None:
    body = frame(pack({"sizes": [3, 70000, 0]}))
    kind = "application/grpc-web-text+proto"
    data = call("StreamingOutputCall", kind, base64.b64encode(body))
    text = fetch(scene.proxy.address("web"), data).body
    decoded = b"".join(base64.b64decode(piece + b"=" * (-len(piece) % 4)) for piece in text.split(b"="))
    binary = fetch(scene.proxy.address("web"), call("StreamingOutputCall", "application/grpc-web+proto", body)).body
    assert decoded == binary
    *messages, (flags, trailers) = frames(binary)
    assert [len(unpack(message)[1]) for _, message in messages] == [3, 70000, 0]
    assert (flags, trailers.split(b"\r\n")[0]) == (0x80, b"grpc-status:0")


def test_a_call_of_an_old_client(scene: Scene) -> None:
    response = fetch(scene.proxy.address("web"), call("UnaryCall", "application/grpc", frame(pack({"sizes": [3]}))))
    assert (response.status, response.value("grpc-status")) == (200, "0")
    assert unpack(frames(response.body)[0][1]) == ({"received": 0}, b"aaa")
    failing = frame(pack({"code": 5, "text": "gone"}))
    response = fetch(scene.proxy.address("web"), call("UnaryCall", "application/grpc", failing))
    assert (response.value("grpc-status"), response.value("grpc-message")) == ("5", "gone")


def test_json(scene: Scene) -> None:
    response = get(scene.proxy.address("json"), "/v1/shelves/poetry/books/7")
    assert (response.status, loads(response.body)) == (200, {"name": "poetry", "id": "7"})
    response = get(scene.proxy.address("json"), "/v1/shelves/poetry/books/0")
    assert (response.status, loads(response.body)) == (404, {"code": 5, "message": "no such book"})


def test_a_server_that_knows_http_alone(scene: Scene) -> None:
    found = scene.client.run("empty_unary", scene.proxy.address("plain"))
    assert (found["code"], found["answers"]) == ("OK", [[{}, 0]])
    assert scene.client.run("unimplemented_method", scene.proxy.address("plain"))["code"] == "UNIMPLEMENTED"
