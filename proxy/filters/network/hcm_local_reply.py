"""`HttpConnectionManager.local_reply_config`: what the proxy's own replies look like."""

from __future__ import annotations

from typing import Any

from proxy.access_log import filters, substitution
from proxy.config.access_log import Format
from proxy.config.context import CompileContext
from proxy.config.local_reply import LocalReplyConfig, Mapper
from proxy.filters.header_edits import LevelEdits, compile_option
from proxy.http.local_reply import LocalReply
from proxy.http.stream_info import StreamInfo

PACKAGE = "envoy.extensions.filters.network.http_connection_manager.v3"
FIELDS: dict[str, tuple[str, ...]] = {
    f"{PACKAGE}.LocalReplyConfig": ("mappers", "body_format"),
    f"{PACKAGE}.ResponseMapper": ("filter", "status_code", "body", "body_format_override", "headers_to_add"),
}


def from_proto(message: Any, context: CompileContext) -> LocalReplyConfig:
    """Compiles a `LocalReplyConfig`; `context` stands for it."""
    mappers = (_mapper(mapper, context.at("mappers", index)) for index, mapper in enumerate(message.mappers))
    return LocalReplyConfig(
        tuple(mapper for mapper in mappers if mapper is not None), _format(message, "body_format", context)
    )


def _mapper(message: Any, context: CompileContext) -> Mapper | None:
    """None if its filter is of a kind that is reported as unsupported."""
    condition = filters.filter_from_proto(message.filter, context.at("filter"))
    if condition is None:
        return None
    headers = context.at("headers_to_add")
    return Mapper(
        condition,
        status=message.status_code.value if message.HasField("status_code") else None,
        body=context.data_source(message.body, "body") if message.HasField("body") else None,
        format=_format(message, "body_format_override", context),
        headers=tuple(compile_option(option, headers.at(index)) for index, option in enumerate(message.headers_to_add)),
    )


def _format(message: Any, field: str, context: CompileContext) -> Format | None:
    if not message.HasField(field):
        return None
    return substitution.format_from_proto(getattr(message, field), context.at(field))


class LocalReplies:
    """A `LocalReplyConfig` at work."""

    def __init__(self, config: LocalReplyConfig) -> None:
        self._mappers = tuple(map(_Mapper, config.mappers))
        self._format = None if config.format is None else BodyFormat(config.format)

    def rewrite(self, reply: LocalReply, info: StreamInfo) -> None:
        """Make `reply` what it is to be, in place."""
        body_format = self._format
        for mapper in self._mappers:
            if mapper.fits(info):
                mapper.apply(reply, info)
                body_format = mapper.format or body_format
                break
        if body_format is not None:
            body_format.apply(reply, info)


class _Mapper:
    def __init__(self, config: Mapper) -> None:
        self.fits = filters.compile_filter(config.filter)
        self.format = None if config.format is None else BodyFormat(config.format)
        self._status = config.status
        self._body = config.body
        self._headers = LevelEdits(config.headers)

    def apply(self, reply: LocalReply, info: StreamInfo) -> None:
        if self._body is not None:
            reply.body = self._body
        self._headers.apply(reply.headers, info)
        if self._status is not None:
            reply.status = info.status = self._status


class BodyFormat:
    """A body made of operators, of which `%LOCAL_REPLY_BODY%` is the body that would have been sent."""

    def __init__(self, config: Format) -> None:
        self._render = substitution.compile_format(config).render
        default = "text/plain" if config.json_format is None else "application/json"
        self._content_type = (config.content_type or default).encode()

    def apply(self, reply: LocalReply, info: StreamInfo) -> None:
        info.local_reply_body = reply.body
        reply.body = self._render(info)
        reply.content_type = self._content_type
        info.local_reply_body = b""
