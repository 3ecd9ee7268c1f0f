"""Responses of gRPC as HTTP with JSON."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from google.protobuf.message import DecodeError

from proxy.config.transcoder import TranscoderConfig
from proxy.errors import ProxyError
from proxy.filters.transcoding import messages
from proxy.filters.transcoding.messages import Printing, Untranslatable
from proxy.filters.transcoding.methods import Method, Methods
from proxy.http import grpc
from proxy.http.headers import Headers
from proxy.http.response_edits import ResponseEdit, ResponseHead

_JSON = b"application/json"
_EVENTS = b"text/event-stream"
_DETAILS = b"grpc-status-details-bin"
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_TOO_LARGE = "Response not transcoded because the transcoder's internal buffer size exceeds the configured limit."


class Answer(ResponseEdit):
    """A response as far as all kinds of methods have it in common. One that is no gRPC passes as it is."""

    def __init__(
        self, methods: Methods, method: Method, printing: Printing, config: TranscoderConfig, limit: int
    ) -> None:
        self.methods, self.method, self.printing, self.config = methods, method, printing, config
        self._limit = limit
        self._kept = bytearray()
        self._foreign = False
        self._alone = False  # the head has the status, too
        self.head: ResponseHead
        self.has_body = False

    def begin(self, head: ResponseHead, *, end_stream: bool) -> None:
        self.head, self._alone = head, end_stream
        self._foreign = not grpc.is_response(head.status, head.headers, end_stream=end_stream)
        if self._foreign:
            self.resizes = False
            return
        if not end_stream or self.method.server_streaming:
            events = self.method.server_streaming and self.config.delimiter == "events"
            head.headers.set(b"content-type", _EVENTS if events else _JSON)
        self.holds = end_stream or self.waits()

    def waits(self) -> bool:
        """Whether the head has to wait for the body."""
        return True

    def feed(self, data: bytes) -> bytes:
        if self._foreign:
            return data
        self.has_body = True
        self._kept += data
        out = []
        while len(self._kept) >= grpc.FRAME_HEAD:
            end = grpc.FRAME_HEAD + int.from_bytes(self._kept[1 : grpc.FRAME_HEAD], "big")
            if len(self._kept) < end:
                break
            if self._kept[0]:
                raise _failed("a compressed message")
            out.append(self._translated(bytes(self._kept[grpc.FRAME_HEAD : end])))
            del self._kept[:end]
        if len(self._kept) + self.held() > self._limit:
            detail = "grpc_json_transcode_failure{response_buffer_size_limit_reached}"
            raise ProxyError(detail, side="upstream", status=500, body=_TOO_LARGE)
        return b"".join(out)

    def _translated(self, data: bytes) -> bytes:
        try:
            return self.message(data)
        except Untranslatable as error:
            raise _failed(str(error)) from error

    def message(self, data: bytes) -> bytes:
        """What a message is to the client."""
        return messages.response(self.methods, self.method, data, self.printing)

    def held(self) -> int:
        """Bytes that are kept of what was translated."""
        return 0

    def rest(self) -> bytes:
        """What is still to be sent of the body, or all of it."""
        return b""

    def finish(self, trailers: Headers | None) -> tuple[bytes, Headers | None]:
        if self._foreign:
            return b"", trailers
        if self._kept:
            raise _failed("a message breaks off")
        fields = self.head.headers if self._alone else trailers
        if fields is None:
            body = self.rest()
            if self.holds:
                self._measure(body)
            return body, trailers
        status = grpc.status_of(fields, None, 0)
        converted = self._converted(status, fields)
        if converted is not None:
            return converted, trailers
        body = self.rest()
        if self.holds:
            self._tell(status, fields, body)
        return body, trailers

    def _tell(self, status: int | None, fields: Headers, body: bytes) -> None:
        """What the head says of the end of the call."""
        headers = self.head.headers
        self.head.status = 503 if status is None or status < 0 else grpc.to_http(status)
        if not self._alone:
            if status is not None and status >= 0:
                headers.set(grpc.STATUS, b"%d" % status)
            if (text := fields.get(grpc.MESSAGE)) is not None:
                headers.set(grpc.MESSAGE, text)
        headers.remove(b"trailer")
        if self.method.server_streaming:
            headers.remove(b"content-length")
        else:
            self._measure(body)

    def _measure(self, body: bytes) -> None:
        self.head.headers.set(b"content-length", b"%d" % len(body))

    def _converted(self, status: int | None, fields: Headers) -> bytes | None:
        """The failure as JSON, if nothing else is there to be sent."""
        if not (self.config.convert_status and self.holds) or self.has_body or not status or status < 0:
            return None
        try:
            text = messages.to_json(self.methods, self._status(status, fields), self.printing)
        except (Untranslatable, DecodeError, binascii.Error):
            return None
        headers = self.head.headers
        self.head.status = grpc.to_http(status)
        if self._alone:
            for name in (grpc.STATUS, grpc.MESSAGE, _DETAILS):
                headers.remove(name)
        headers.remove(b"trailer")
        headers.set(b"content-type", _JSON)
        self._measure(text)
        return text

    def _status(self, status: int, fields: Headers) -> Any:
        found = self.methods.status()
        details = fields.get(_DETAILS)
        if details is not None:
            found.MergeFromString(base64.b64decode(details + b"=" * (-len(details) % 4), validate=True))
        else:
            found.code = status
            found.message = _ESCAPE.sub(
                lambda octet: bytes((int(octet[1], 16),)), fields.get(grpc.MESSAGE) or b""
            ).decode("utf-8", "replace")
        return found


class Document(Answer):
    """The answer of a unary method."""

    _body = b""

    def message(self, data: bytes) -> bytes:
        self._body += super().message(data)
        return b""

    def held(self) -> int:
        return len(self._body)

    def rest(self) -> bytes:
        return self._body


class Stream(Answer):
    """The answers of a streaming method: an array, lines, or events."""

    _begun = False

    def waits(self) -> bool:
        return False

    def message(self, data: bytes) -> bytes:
        text = super().message(data)
        if self.config.delimiter == "lines":
            return text + b"\n"
        if self.config.delimiter == "events":
            return b"data: %b\n\n" % text
        first, self._begun = not self._begun, True
        return (b"[" if first else b",") + text

    def rest(self) -> bytes:
        if self.config.delimiter != "array":
            return b""
        return b"]" if self._begun else b"[]"


class HttpBody(Answer):
    """An answer that is no JSON: the content type is that of the first message."""

    _body = b""

    def message(self, data: bytes) -> bytes:
        body = messages.http_body(messages.parse(self.method, data), self.method.response_body)
        if self.holds:
            self.head.headers.set(b"content-type", body.content_type.encode("latin-1", "replace"))
        if self.method.server_streaming:
            self.holds = False
            return bytes(body.data)
        self._body += body.data
        self._measure(self._body)
        return b""

    def held(self) -> int:
        return len(self._body)

    def rest(self) -> bytes:
        return self._body


def _failed(text: str) -> ProxyError:
    return ProxyError("grpc_json_transcode_failure{INVALID_ARGUMENT}", side="upstream", status=502, body=text)
