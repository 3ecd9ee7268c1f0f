"""Requests that are calls of methods: found by path and query, their bodies made messages."""

from __future__ import annotations

from typing import Any

from proxy.config.transcoder import TranscoderConfig
from proxy.errors import ProxyError
from proxy.filters.transcoding import messages
from proxy.filters.transcoding.answers import Answer, Document, HttpBody, Stream
from proxy.filters.transcoding.json_stream import JsonArray, JsonStreamError
from proxy.filters.transcoding.messages import ABSENT, Binding, Printing, Reading, Untranslatable
from proxy.filters.transcoding.methods import Method, Methods, UnknownField, field_path
from proxy.filters.transcoding.path_template import query_values
from proxy.http import grpc
from proxy.http.exchange import Exchange

EARLY, FAILED = "early_grpc_json_transcode_failure", "grpc_json_transcode_failure"
TOO_LARGE = "the transcoder's internal buffer size exceeds the configured limit."
ORIGINAL_PATH, ORIGINAL_METHOD = b"x-envoy-original-path", b"x-envoy-original-method"


class Transcoding:
    """A configuration at work. Raises `MethodError` if it cannot."""

    def __init__(self, config: TranscoderConfig) -> None:
        self.config = config
        self.methods = Methods(
            config.descriptors,
            config.services,
            auto_mapping=config.auto_mapping,
            unescape=config.unescape,
            any_verb=config.any_verb,
            with_status=config.convert_status,
        )
        self.printing = Printing(config.whitespace, config.primitives, config.enums_as_ints, config.proto_names)
        self.reading = Reading(config.any_case, config.reject_collisions)
        self._ignored = frozenset(config.ignored_query)

    def find(self, exchange: Exchange) -> Call | None:
        """The call that a request is; None if it goes on as it is. Raises `ProxyError`."""
        request = exchange.request
        path, _, query = request.path.decode("latin-1").partition("?")
        found = self.methods.matcher.find(request.method.decode("latin-1"), path)
        if found is None:
            if self.config.reject_methods:
                raise _refused(f"{EARLY}{{NOT_FOUND}}", 404, f"Could not resolve {path} to a method.")
            return None
        method = found.data
        bindings: list[Binding] = []
        for name, value in (*found.values, *query_values(query, self._ignored, plus=self.config.unescape_plus)):
            try:
                bindings.append((field_path(method.request.DESCRIPTOR, name), value))
            except UnknownField as error:
                if self.config.ignore_unknown_query:
                    continue
                if self.config.reject_query:
                    raise _refused(f"{EARLY}{{INVALID_ARGUMENT}}", 400, str(error)) from error
                return None
        if method.request_http_body:
            depth = len(method.body)
            bindings = [one for one in bindings if one[0][:depth] != method.body]
        return Call(self, method, bindings)


class Call:
    """One call of `method`."""

    def __init__(self, transcoding: Transcoding, method: Method, bindings: list[Binding]) -> None:
        self._transcoding = transcoding
        self._method = method
        self._bindings = bindings
        # Of several messages, whose first one has them, Envoy does not ask it.
        self._reading = (
            transcoding.reading._replace(collisions=False) if method.client_streaming else transcoding.reading
        )

    async def translate(self, exchange: Exchange, limit: int) -> None:
        """Make the request one of gRPC. Raises `ProxyError`."""
        request, method, body = exchange.request, self._method, exchange.body
        headers = request.headers
        kind = headers.joined(b"content-type") or b""
        headers.remove(b"content-length")
        headers.set(b"content-type", grpc.CONTENT_TYPE)
        headers.set(ORIGINAL_PATH, request.path)
        headers.add(ORIGINAL_METHOD, request.method)
        headers.set(b"te", b"trailers")
        request.path, request.method = method.path, b"POST"
        if not self._transcoding.config.keep_route:
            exchange.clear_route_cache()
        early = EARLY if body.ended else FAILED
        if method.client_streaming:
            messages_in = self._http_bodies(kind) if method.request_http_body else self._elements(limit)
            body.transform(messages_in)
        else:
            text = await _whole(exchange, limit)
            message = self._http_body(kind, text) if method.request_http_body else self._message(text, early)
            body.hold(grpc.frame_head(len(message)) + message)

    def answer(self, limit: int) -> Answer:
        """The edit of its response."""
        transcoding, method = self._transcoding, self._method
        if method.response_http_body:
            return HttpBody(transcoding.methods, method, transcoding.printing, transcoding.config, limit)
        kind = Stream if method.server_streaming else Document
        return kind(transcoding.methods, method, transcoding.printing, transcoding.config, limit)

    def _message(self, text: bytes, detail: str, *, first: bool = True) -> bytes:
        transcoding = self._transcoding
        bindings = self._bindings if first else []
        try:
            value = messages.load(text)
            message = messages.request(transcoding.methods, self._method, value, bindings, self._reading)
        except Untranslatable as error:
            raise _refused(f"{detail}{{INVALID_ARGUMENT}}", 400, str(error)) from error
        return bytes(message.SerializeToString())

    def _http_body(self, kind: bytes, data: bytes, *, first: bool = True) -> bytes:
        transcoding, method = self._transcoding, self._method
        try:
            message = messages.request(
                transcoding.methods, method, ABSENT, self._bindings if first else [], transcoding.reading
            )
        except Untranslatable as error:
            raise _refused(f"{FAILED}{{INVALID_ARGUMENT}}", 400, str(error)) from error
        body = messages.http_body(message, method.body)
        body.SetInParent()
        if first:
            body.content_type = kind.decode("latin-1")
        body.data = data
        return bytes(message.SerializeToString())

    def _elements(self, limit: int) -> Elements:
        return Elements(lambda text, first: self._message(text, FAILED, first=first), limit)

    def _http_bodies(self, kind: bytes) -> Pieces:
        return Pieces(lambda data, first: self._http_body(kind, data, first=first))


class Elements:
    """The elements of a JSON array, each a message (a `Transform`)."""

    def __init__(self, translate: Any, limit: int) -> None:
        self._translate = translate
        self._limit = limit
        self._array = JsonArray()
        self._first = True

    def feed(self, data: bytes) -> bytes:
        if self._array.pending + len(data) > self._limit:
            raise too_large()
        try:
            elements = self._array.feed(data)
        except JsonStreamError as error:
            raise _refused(f"{FAILED}{{INVALID_ARGUMENT}}", 400, str(error)) from error
        return b"".join(map(self._framed, elements))

    def finish(self) -> bytes:
        try:
            self._array.finish()
        except JsonStreamError as error:
            raise _refused(f"{FAILED}{{INVALID_ARGUMENT}}", 400, str(error)) from error
        return b""

    def _framed(self, element: bytes) -> bytes:
        message: bytes = self._translate(element, self._first)
        self._first = False
        return grpc.frame_head(len(message)) + message


class Pieces:
    """Each piece of a body as a message of its own (a `Transform`)."""

    def __init__(self, translate: Any) -> None:
        self._translate = translate
        self._first = True

    def feed(self, data: bytes) -> bytes:
        message: bytes = self._translate(data, self._first)
        self._first = False
        return grpc.frame_head(len(message)) + message

    def finish(self) -> bytes:
        return self.feed(b"") if self._first else b""


async def _whole(exchange: Exchange, limit: int) -> bytes:
    parts, size = [], 0
    while data := await exchange.body.read():
        size += len(data)
        if size > limit:
            raise too_large()
        parts.append(data)
    return b"".join(parts)


def too_large() -> ProxyError:
    """The request outgrew what may be held of it."""
    detail = f"{FAILED}{{request_buffer_size_limit_reached}}"
    return _refused(detail, 413, f"Request rejected because {TOO_LARGE}")


def _refused(detail: str, status: int, body: str) -> ProxyError:
    return ProxyError(detail, side="downstream", status=status, body=body)
