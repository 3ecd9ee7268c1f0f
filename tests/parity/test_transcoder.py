"""`grpc_json_transcoder` on Envoy and on ours: the messages that go up, and what comes of those that come back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.kit import books
from tests.kit.books import Ask, Book, HttpBody, Raw
from tests.kit.bootstrap import bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.parity import Answer, Pair, run_pair
from tests.parity.rules import of
from tests.parity.test_grpc_filters import GRPC, OPTIONS, answer, decoded, filters, message, own, sized
from tests.parity.wire_origin import WireOrigin

PROTO = "extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder"
OK = b"grpc-status: 0\r\n"


def framed(*messages: Any) -> bytes:
    return b"".join(message(one.SerializeToString()) for one in messages)


BOOK = Book(name="<Zoë> \"&'", id=5, kind=1, tags=["a"], sequel={"kind": 7}, price=1.5, cover=b"\0\xff", long_name="l")
ANSWERS = {
    "/Get": answer(GRPC, framed(BOOK), trailers=OK),
    "/Find": answer(GRPC, framed(Book()), trailers=OK),
    "/Create": answer(GRPC, trailers=b"grpc-status: 5\r\ngrpc-message: not%20here\r\n"),
    "/Update": sized(GRPC, b"", extra=b"grpc-status: 7\r\ngrpc-message: no%25\r\n"),
    "/List": answer(GRPC, framed(BOOK, Book(id=1))[:-1], framed(Book(id=1))[-1:], trailers=OK),
    "/Add": answer(GRPC, framed(Book(id=9)), trailers=b"grpc-status: 3\r\n"),
    "/Upload": answer(GRPC, framed(HttpBody(content_type="text/x", data=b"<b>")), trailers=OK),
    "/Download": answer(GRPC, framed(HttpBody(content_type="t/x", data=b"one"), HttpBody(data=b"two")), trailers=OK),
    "/Auto": sized("text/html", b"hi", status=404),
    "/nowhere": sized("text/html", b"plain"),
    "/find:later": sized("text/html", b"plain"),
    "/find:now?nope=1": sized("text/html", b"plain"),
    "/probe?body=0": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
}
STRICT = {
    "auto_mapping": True,
    "convert_grpc_status": True,
    "print_options": {
        "always_print_primitive_fields": True,
        "always_print_enums_as_ints": True,
        "preserve_proto_field_names": True,
        "stream_newline_delimited": True,
    },
    "ignored_query_parameters": ["key"],
    "query_param_unescape_plus": True,
    "url_unescape_spec": "ALL_CHARACTERS",
    "request_validation_options": {
        "reject_unknown_method": True,
        "reject_unknown_query_parameters": True,
        "reject_binding_body_field_collisions": True,
    },
    "case_insensitive_enum_parsing": True,
    "max_request_body_size": 100,
}
EVENTS = {"print_options": {"stream_sse_style_delimited": True}}


class Scene(NamedTuple):
    pair: Pair
    origin: WireOrigin


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    def listener(name: str, **fields: Any) -> dict[str, Any]:
        config = own(PROTO, proto_descriptor_bin=books.descriptors_in_yaml(), services=["t.Books"], **fields)
        options = {"enable_trailers": True}
        everything = virtual_host("v", ["*"], route("/", "origin"))
        return http_listener(everything, name=name, http_filters=filters(config), http_protocol_options=options)

    options = {"@type": OPTIONS, "explicit_http_config": {"http_protocol_options": {"enable_trailers": True}}}
    extensions = {OPTIONS.rpartition("/")[2]: options}
    with WireOrigin(ANSWERS) as origin:
        text = bootstrap(
            [listener("plain"), listener("strict", **STRICT), listener("events", **EVENTS)],
            [static_cluster("origin", origin.port, typed_extension_protocol_options=extensions)],
        )
        otherwise = {
            r'"probe"|(http|cluster)\..*': "the upstream is not asked in vain",
            '"grpc_json_transcode_failure{': "the upstream is not asked before a body has been read",
        }
        with run_pair(text, otherwise=otherwise) as pair:
            yield Scene(pair, origin)


def told(origin: WireOrigin) -> list[Any]:
    """What the origin got: the head's lines, and the messages."""
    found = []
    for request in [origin.next() for _ in range(origin.arrived.qsize())]:
        head, _, body = request.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.startswith(b"x-request-id")]
        if b"/probe" in lines[0]:
            continue
        data = decoded(body).rpartition(b"|")[0] if b"chunked" in head else body
        kind = Raw if b"/Upload" in lines[0] else Ask
        messages = []
        while b"application/grpc" in head and data:
            end = 5 + int.from_bytes(data[1:5], "big")
            messages.append(kind.FromString(data[5:end]))
            data = data[end:]
        found.append((lines, messages, data))
    return found


def seen(found: Answer) -> tuple[Any, ...]:
    """What the client got; texts of errors are each one's own, and JSON is JSON however it is written."""
    response = found.only
    names = ("content-type", "grpc-status", "grpc-message", "transfer-encoding", "x-seen")
    kind = response.value("content-type")
    body: Any = response.body if response.status != 400 else b""
    if kind == "application/json" and body[:1] in (b"{", b"["):
        body = [json.loads(line) for line in body.splitlines()] if b"\n" in body else json.loads(body)
    return response.status, [response.value(name) for name in names], body, response.trailers


def compare(scene: Scene, listener: str, data: bytes) -> None:
    answers = scene.pair.send(data, listener=listener)
    assert seen(answers.ours) == seen(answers.envoy)
    requests = told(scene.origin)
    assert requests[: len(requests) // 2] == requests[len(requests) // 2 :]


def request(text: str, body: bytes | None = None) -> bytes:
    method, path = text.split(" ")
    length = [] if body is None else [f"Content-Length: {len(body)}"]
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: h", *length, "", ""]).encode() + (body or b"")


QUERY = "?tag=a&tag=b+c&atMost=3&at_most=4&all=yes&since=2020-01-01T00:00:00Z&rare=true&book.kind=1&price=1.5&kind=POEM"
CASES: list[tuple[str, bytes | None]] = [
    ("GET /v1/shelves/s%2F1%20x/books/7", None),
    ("GET /v1/shelves/s1/books/x7", None),
    (f"GET /v1/shelves/s1/all/a/b%2Fc%3A%20d{QUERY}", None),
    ("GET /v1/shelves/s1/all", None),
    ("GET /v1/shelves/s1/all/a/?kind=poem", None),
    ("GET /v1/find:later", None),
    ("GET /v1/find:now?nope=1", None),
    ("POST /v1/shelves/s1", b'{"name":"n","id":"12","unknown":1}'),
    ("POST /v1/shelves/s1?book.name=q&book.id=3", b'{"name":"n"}'),
    ("POST /v1/shelves/s1?book.tags=q", b'{"tags":["n"]}'),
    ("POST /v1/shelves/s1", b""),
    ("POST /v1/shelves/s1", b"{"),
    ("POST /v1/shelves/s1", b"[]"),
    ("PATCH /v1/books", b'{"book":{"long_name":"x","longName":"y"},"since":"2020-01-01T00:00:00Z","kind":2}'),
    ("PATCH /v1/books", b'{"shelf":1}'),
    ("PATCH /v1/books", b'{"shelf":"%b"}' % (b"x" * 100)),
    ("PUT /v1/books/3", b'{"id":4}'),
    ("POST /v1/bodiless", b'{"shelf":"s"}'),
    ("GET /v1/list?shelf=a", None),
    ("POST /v1/add?shelf=q", b' [ {"shelf":"a,]"} , {"atMost":2} ] '),
    ("POST /v1/add", b"[]"),
    ("POST /v1/add", b'{"shelf":"a"}'),
    ("POST /v1/upload/n?body.content_type=x", b"raw \xff"),
    ("GET /v1/download", None),
    ("POST /t.Books/Auto", b'{"shelf":"s"}'),
    ("GET /nowhere", None),
]


@pytest.mark.parity(
    *of(
        PROTO,
        "services",
        "proto_descriptor_bin",
        "auto_mapping",
        "convert_grpc_status",
        "print_options",
        "ignored_query_parameters",
        "query_param_unescape_plus",
        "url_unescape_spec",
        "case_insensitive_enum_parsing",
        "max_request_body_size",
        "request_validation_options",
    )
)
@pytest.mark.parametrize("listener", ["plain", "strict"])
@pytest.mark.parametrize(("text", "body"), CASES, ids=lambda value: str(value)[:30])
def test_calls(scene: Scene, listener: str, text: str, body: bytes | None) -> None:
    compare(scene, listener, request(text, body))


@pytest.mark.parity(*of(f"{PROTO}.PrintOptions", "stream_sse_style_delimited"))
def test_events(scene: Scene) -> None:
    theirs, ours = scene.pair.send(request("GET /v1/list"), listener="events")
    assert ours.only.value("content-type") == theirs.only.value("content-type")
    assert events(ours.only.body) == events(theirs.only.body)


def events(body: bytes) -> list[Any]:
    found = body.split(b"\n\n")
    assert found.pop() == b""
    return [json.loads(event.removeprefix(b"data: ")) for event in found]
