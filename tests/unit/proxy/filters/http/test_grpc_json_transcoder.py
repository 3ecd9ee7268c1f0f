"""`grpc_json_transcoder`: compiled from YAML, then run in a server; beside Envoy in `tests/parity`."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from proxy.filters.http.grpc_json_transcoder import GrpcJsonTranscoder
from tests.kit import books
from tests.kit.books import Ask, Book, HttpBody, Raw
from tests.kit.config import bootstrap, findings
from tests.kit.trio import run_trio
from tests.unit.proxy.filters.http.test_grpc_web import LAST, frame
from tests.unit.proxy.filters.http.through import ROUTER, through

PROTO = "envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder"
SET = f"proto_descriptor_bin: {books.descriptors_in_yaml()}"
SERVICES = "services: [t.Books]"
BOOK = Book(name="<é>", id=5, kind=1, long_name="l")


def transcoder(*fields: str) -> str:
    own = ", ".join(fields)
    return f'{{name: j, typed_config: {{"@type": type.googleapis.com/{PROTO}, {own}}}}}'


def answer(*messages: Any, kind: str = "application/grpc", status: int = 200, extra: bytes = b"") -> bytes:
    body = b"".join(frame(message.SerializeToString()) for message in messages)
    head = b"HTTP/1.1 %d OK\r\ncontent-type: %b\r\n%bcontent-length: %d\r\n\r\n"
    return head % (status, kind.encode(), extra, len(body)) + body


class Seen(NamedTuple):
    """The request's head as the origin got it and its messages, and what the client got."""

    head: bytes
    sent: list[bytes]
    status: int
    answer: bytes
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def ask(self) -> Any:
        (message,) = self.sent
        return Ask.FromString(message)


async def ask(
    method: str, path: str, body: bytes | None = None, *fields: str, response: bytes = b"", **options: Any
) -> Seen:
    length = b"" if body is None else b"content-length: %d\r\n" % len(body)
    request = f"{method} {path} HTTP/1.1\r\nhost: a\r\n".encode() + length + b"\r\n"
    own = transcoder(SET, SERVICES, *fields)
    seen, got = await through(own, request, body=body or b"", up=LAST, response=response or answer(BOOK), **options)
    head, _, chunked = seen.partition(b"\r\n\r\n")
    data, sent = unchunked(chunked), []
    while data:
        end = 5 + int.from_bytes(data[1:5], "big")
        sent.append(data[5:end])
        data = data[end:]
    status, _, rest = got.partition(b"\r\n\r\n")
    whole = unchunked(rest) if b"chunked" in status else rest
    return Seen(head, sent, int(got.split(b" ")[1]), status, whole)


def unchunked(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        whole, body = whole + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return whole


def field(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.field(*(f"{PROTO}.{name}" for name in names))


@run_trio
@field("proto_descriptor_bin", "services")
async def test_a_call() -> None:
    seen = await ask("GET", "/v1/shelves/s/books/7?tag=x&at_most=3")
    assert seen.ask == Ask(shelf="s", book={"id": 7}, tag=["x"], at_most=3)
    assert seen.head.startswith(b"POST /t.Books/Get HTTP/1.1\r\n")
    for line in (b"content-type: application/grpc", b"te: trailers", b"x-envoy-original-method: GET"):
        assert b"\r\n%b\r\n" % line in seen.head
    assert b"\r\ncontent-type: application/json\r\n" in seen.answer
    assert seen.body == b'{"name":"\\u003c\xc3\xa9\\u003e","id":"5","kind":"NOVEL","longName":"l"}'


@run_trio
@field("proto_descriptor")
async def test_descriptors_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "books.pb"
    path.write_bytes(books.descriptor_set())
    request = b"GET /v1/shelves/s/books/7 HTTP/1.1\r\nhost: a\r\n\r\n"
    seen, _ = await through(transcoder(f"proto_descriptor: {path}", SERVICES), request, up=LAST, response=answer(BOOK))
    assert seen.startswith(b"POST /t.Books/Get ")


@run_trio
@field("print_options", "print_options.add_whitespace".replace("print_options.", "PrintOptions."))
async def test_whitespace() -> None:
    seen = await ask("GET", "/v1/find:now", None, "print_options: {add_whitespace: true}")
    assert seen.body.startswith(b'{\n "name": ')


@run_trio
@field("PrintOptions.always_print_primitive_fields")
async def test_primitive_fields() -> None:
    seen = await ask("GET", "/v1/find:now", None, "print_options: {always_print_primitive_fields: true}")
    assert seen.json["cover"] == ""
    assert seen.json["tags"] == []
    assert "sequel" not in seen.json


@run_trio
@field("PrintOptions.always_print_enums_as_ints")
async def test_enums() -> None:
    seen = await ask("GET", "/v1/find:now", None, "print_options: {always_print_enums_as_ints: true}")
    assert seen.json["kind"] == 1


@run_trio
@field("PrintOptions.preserve_proto_field_names")
async def test_names_of_fields() -> None:
    seen = await ask("GET", "/v1/find:now", None, "print_options: {preserve_proto_field_names: true}")
    assert seen.json["long_name"] == "l"


TWO = answer(Book(id=1), Book(id=2))


@run_trio
@field("PrintOptions.stream_newline_delimited")
async def test_lines() -> None:
    seen = await ask("GET", "/v1/list", None, "print_options: {stream_newline_delimited: true}", response=TWO)
    assert seen.body == b'{"id":"1"}\n{"id":"2"}\n'


@run_trio
@field("PrintOptions.stream_sse_style_delimited")
async def test_events() -> None:
    seen = await ask("GET", "/v1/list", None, "print_options: {stream_sse_style_delimited: true}", response=TWO)
    assert seen.body == b'data: {"id":"1"}\n\ndata: {"id":"2"}\n\n'
    assert b"\r\ncontent-type: text/event-stream\r\n" in seen.answer


@run_trio
async def test_an_array() -> None:
    assert (await ask("GET", "/v1/list", response=TWO)).body == b'[{"id":"1"},{"id":"2"}]'
    assert (await ask("GET", "/v1/list", response=answer(extra=b"grpc-status: 0\r\n"))).body == b"[]"


def routes(path: str) -> str:
    other = '{match: {prefix: "/"}, direct_response: {status: 418}}'
    own = f'{{match: {{prefix: "{path}"}}, route: {{cluster: origin}}}}'
    return f'{{name: r, virtual_hosts: [{{name: v, domains: ["*"], routes: [{own}, {other}]}}]}}'


@run_trio
@field("match_incoming_request_route")
async def test_the_route_may_be_that_of_the_request_as_it_came() -> None:
    kept = "match_incoming_request_route: true"
    assert (await ask("GET", "/v1/find:now", None, kept, route_config=routes("/v1"))).status == 200
    assert (await ask("GET", "/v1/find:now", route_config=routes("/v1"))).status == 418


@run_trio
@field("ignored_query_parameters")
async def test_queries_that_are_none_of_the_methods() -> None:
    seen = await ask("GET", "/v1/find:now?key=1&shelf=s", None, "ignored_query_parameters: [key]")
    assert seen.ask == Ask(shelf="s")


@run_trio
@field("ignore_unknown_query_parameters")
async def test_unknown_queries() -> None:
    seen = await ask("GET", "/v1/find:now?nope=1&shelf=s", None, "ignore_unknown_query_parameters: true")
    assert seen.ask == Ask(shelf="s")
    seen, _ = await through(transcoder(SET, SERVICES), b"GET /v1/find:now?nope=1 HTTP/1.1\r\nhost: a\r\n\r\n")
    assert seen.startswith(b"GET /v1/find:now?nope=1 ")  # as it came


@run_trio
@field("auto_mapping")
async def test_methods_without_a_rule() -> None:
    seen = await ask("POST", "/t.Books/Auto", b'{"shelf": "s"}', "auto_mapping: true")
    assert seen.ask == Ask(shelf="s")


@run_trio
@field("convert_grpc_status")
async def test_a_status_as_json() -> None:
    failed = answer(extra=b"grpc-status: 5\r\ngrpc-message: not%20here\r\n")
    seen = await ask("GET", "/v1/find:now", None, "convert_grpc_status: true", response=failed)
    assert (seen.status, seen.json) == (404, {"code": 5, "message": "not here"})
    details = base64.b64encode(b"\x08\x05\x12\x04more").rstrip(b"=")
    failed = answer(extra=b"grpc-status: 5\r\ngrpc-status-details-bin: %b\r\n" % details)
    seen = await ask("GET", "/v1/find:now", None, "convert_grpc_status: true", response=failed)
    assert seen.json == {"code": 5, "message": "more"}
    assert b"grpc-status" not in seen.answer


@run_trio
@field("url_unescape_spec")
async def test_what_is_unescaped() -> None:
    seen = await ask("GET", "/v1/shelves/s/all/a%2Fb", None, "url_unescape_spec: ALL_CHARACTERS")
    assert seen.ask.path == "a/b"
    assert (await ask("GET", "/v1/shelves/s/all/a%2Fb%20")).ask.path == "a%2Fb "


@run_trio
@field("url_unescape_spec")
async def test_all_is_unescaped_but_slashes() -> None:
    seen = await ask("GET", "/v1/shelves/s/all/a%2Fb%3A", None, "url_unescape_spec: ALL_CHARACTERS_EXCEPT_SLASH")
    assert seen.ask.path == "a%2Fb:"


@run_trio
@field("query_param_unescape_plus")
async def test_a_plus_may_be_a_space() -> None:
    seen = await ask("GET", "/v1/find:now?shelf=a+b", None, "query_param_unescape_plus: true")
    assert seen.ask.shelf == "a b"


@run_trio
@field("match_unregistered_custom_verb")
async def test_verbs_that_no_method_has() -> None:
    reject = "request_validation_options: {reject_unknown_method: true}"
    seen = await ask("GET", "/v1/shelves/s/books/7:x", None, "match_unregistered_custom_verb: true", reject)
    assert seen.status == 404


@run_trio
@field("request_validation_options", "RequestValidationOptions.reject_unknown_method")
async def test_unknown_methods_may_be_refused() -> None:
    seen = await ask("GET", "/nowhere", None, "request_validation_options: {reject_unknown_method: true}")
    assert (seen.status, seen.body) == (404, b"Could not resolve /nowhere to a method.")


@run_trio
@field("RequestValidationOptions.reject_unknown_query_parameters")
async def test_unknown_queries_may_be_refused() -> None:
    reject = "request_validation_options: {reject_unknown_query_parameters: true}"
    seen = await ask("GET", "/v1/find:now?nope=1", None, reject)
    assert (seen.status, seen.body) == (400, b'Could not find field "nope" in the type "t.Ask".')


@run_trio
@field("RequestValidationOptions.reject_binding_body_field_collisions")
async def test_what_is_said_twice_may_be_refused() -> None:
    reject = "request_validation_options: {reject_binding_body_field_collisions: true}"
    path, body = "/v1/shelves/s?book.name=q&book.tags=x", b'{"name": "n", "tags": ["y"]}'
    assert (await ask("POST", path, body, reject)).status == 400
    assert (await ask("POST", path, body)).ask == Ask(shelf="s", book={"name": "n", "tags": ["y", "x"]})


@run_trio
@field("case_insensitive_enum_parsing")
async def test_the_case_of_enums() -> None:
    body = b'{"kind": "poem", "book": {"kind": "Novel"}, "tag": null}'
    seen = await ask("PATCH", "/v1/books", body, "case_insensitive_enum_parsing: true")
    assert seen.ask == Ask(kind=2, book={"kind": 1})
    assert (await ask("PATCH", "/v1/books", body)).status == 400


@run_trio
@field("max_request_body_size")
async def test_requests_are_bounded() -> None:
    small = "max_request_body_size: 10"
    assert (await ask("PATCH", "/v1/books", b'{"shelf": "s"}', small)).status == 413
    assert (await ask("POST", "/v1/add", b'[{"shelf": "s"}]', small)).status == 413
    assert (await ask("PATCH", "/v1/books", b"{}", small)).status == 200


@run_trio
@field("max_response_body_size")
async def test_responses_are_bounded() -> None:
    seen = await ask("GET", "/v1/find:now", None, "max_response_body_size: 10")
    assert (seen.status, b"exceeds" in seen.body) == (500, True)


@run_trio
async def test_streams_of_requests() -> None:
    seen = await ask("POST", "/v1/add?shelf=q", b'[{"atMost": 1}, {"shelf": "s"}]')
    assert [Ask.FromString(message) for message in seen.sent] == [Ask(shelf="q", at_most=1), Ask(shelf="s")]
    assert (await ask("POST", "/v1/add", b"{}")).status == 400


@run_trio
async def test_bodies_that_are_no_json() -> None:
    response = answer(HttpBody(content_type="text/x", data=b"<b>"))
    seen = await ask("POST", "/v1/upload/n", b"\xff\0", response=response)
    (message,) = seen.sent
    assert Raw.FromString(message) == Raw(name="n", body={"data": b"\xff\0"})
    assert (seen.body, b"\r\ncontent-type: text/x\r\n" in seen.answer) == (b"<b>", True)
    response = answer(HttpBody(content_type="text/x", data=b"one"), HttpBody(content_type="text/y", data=b"two"))
    seen = await ask("GET", "/v1/download", response=response)
    assert (seen.body, b"\r\ncontent-type: text/x\r\n" in seen.answer) == (b"onetwo", True)


@run_trio
async def test_answers_that_are_no_messages() -> None:
    for data in (b"\0\0\0\0\x05ab", b"\0\0\0\0\x02\xff\xff", b"\1\0\0\0\0"):
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ncontent-length: %d\r\n\r\n" % len(data)
        assert (await ask("GET", "/v1/find:now", response=head + data)).status == 502
    html = b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nhi"
    seen = await ask("GET", "/v1/find:now", response=html)
    assert (seen.status, seen.body, b"\r\ncontent-length: 2\r\n" in seen.answer) == (404, b"hi", True)


def test_protobuf_is_for_who_uses_it() -> None:
    code = f"import sys; import {GrpcJsonTranscoder.__module__}; sys.exit('google.protobuf' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@run_trio
async def test_a_route_may_have_another_one_or_none() -> None:
    none = f'{{j: {{"@type": type.googleapis.com/{PROTO}, {SET}}}}}'
    own = f'{{match: {{prefix: "/"}}, route: {{cluster: origin}}, typed_per_filter_config: {none}}}'
    config = f'{{name: r, virtual_hosts: [{{name: v, domains: ["*"], routes: [{own}]}}]}}'
    request = b"GET /v1/find:now HTTP/1.1\r\nhost: a\r\n\r\n"
    seen, _ = await through(transcoder(SET, SERVICES), request, up=b"", route_config=config)
    assert seen.startswith(b"GET /v1/find:now ")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (("services: [t.Nope]", SET), "no service 't.Nope'"),
        ((SERVICES, "proto_descriptor: /nowhere/x.pb"), "cannot read"),
        ((SERVICES, "proto_descriptor_bin: /w=="), "no FileDescriptorSet"),
    ],
)
def test_what_cannot_work_is_refused(fields: tuple[str, ...], words: str) -> None:
    (finding,) = findings(bootstrap(http_filters=f"- {transcoder(*fields)}\n- {ROUTER}"))
    assert words in finding.message


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ('get: "v1"', "does not begin with a slash"),
        ('get: "/v1" body: "nope"', "Could not find field"),
        ('get: "/v1" response_body: "name"', "which alone is supported"),
        ('get: "/v1" additional_bindings { get: "/v1" }', "another method has"),
    ],
)
def test_rules_that_cannot_work_are_refused(rule: str, words: str) -> None:
    text = books._BOOKS.replace('get: "/v1/list"', rule)
    own = transcoder(SERVICES, f"proto_descriptor_bin: {base64.b64encode(books.descriptor_set(text)).decode()}")
    (finding,) = findings(bootstrap(http_filters=f"- {own}\n- {ROUTER}"))
    assert words in finding.message
