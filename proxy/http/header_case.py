"""The case of header names on an HTTP/1 connection (`header_key_format`): lower unless somebody depends on another.

Names are lower-case in here. What a sender wrote goes on beside its headers (`Headers.key_format`), and whoever writes
them on another connection follows it, whatever is configured there: so `preserve_case` of a listener is about requests,
that of a cluster about responses (Envoy: `HeaderMap::formatter`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import msgspec

from proxy.config.context import CompileContext
from proxy.config.http1 import HeaderCase
from proxy.http.h1_strict import TOKEN
from proxy.http.headers import Headers, KeyFormat

HEADER_FORMATTERS: dict[str, str] = {
    "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig": (
        "proxy.http.header_case:PreserveCase"
    ),
}
FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat": ("proper_case_words", "stateful_formatter"),
    "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig": (
        "forward_reason_phrase",
        "formatter_type_on_envoy_headers",
    ),
}

_NAME = re.compile(rb"(?m)^(%b):" % TOKEN.pattern)
_WORD = re.compile(rb"[A-Za-z0-9]+")
_REASON = re.compile(rb"HTTP/1\.[01] [0-9]{3} ?([^\r]*)\r")
_MAX_NAMES = 4096


class PreserveCase:
    """`envoy.http.stateful_header_formatters.preserve_case`."""

    class Config(msgspec.Struct, frozen=True, gc=False):
        """`PreserveCaseFormatterConfig`."""

        proper: bool
        forwards_reason: bool

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles a `PreserveCaseFormatterConfig`."""
        return cls.Config(
            proper=message.formatter_type_on_envoy_headers == message.PROPER_CASE,
            forwards_reason=message.forward_reason_phrase,
        )


def from_proto(message: Any, context: CompileContext) -> HeaderCase | None:
    """The `header_key_format` of an `Http1ProtocolOptions`, for which `context` stands."""
    kind = message.header_key_format.WhichOneof("header_format")
    if kind == "proper_case_words":
        return HeaderCase(proper=True)
    if kind != "stateful_formatter":
        return None
    here = context.at("header_key_format", "stateful_formatter", "typed_config")
    formatter = message.header_key_format.stateful_formatter
    plugin = here.plugin(formatter.name, formatter.typed_config, HEADER_FORMATTERS, "header formatter")
    if plugin is None:
        return None
    config = msgspec.msgpack.decode(plugin.config, type=PreserveCase.Config)
    return HeaderCase(preserves=True, proper=config.proper, forwards_reason=config.forwards_reason)


@functools.lru_cache(_MAX_NAMES)
def proper(name: bytes) -> bytes:
    """`x-request-id` → `X-Request-Id`: a capital after whatever is neither letter nor digit."""
    return _WORD.sub(lambda word: word[0].capitalize(), name)


def written_here(case: HeaderCase | None) -> KeyFormat | None:
    """How names are written on a connection with this option, where their headers do not say."""
    return proper if case is not None and not case.preserves else None


def reader(case: HeaderCase | None) -> Callable[[Headers, bytes, int], None] | None:
    """What has headers remember how a head wrote their names, which begin at an offset; None if nobody asks."""
    if case is None or not case.preserves:
        return None
    ours = proper if case.proper else bytes
    forwards_reason = case.forwards_reason

    def remember(headers: Headers, head: bytes, fields_at: int) -> None:
        names: dict[bytes, bytes] = {}
        for written in _NAME.findall(head, fields_at):
            names.setdefault(written.lower(), written)
        headers.key_format = lambda name: names.get(name) or ours(name)
        if forwards_reason and (line := _REASON.match(head)):
            headers.reason = line[1].strip(b" \t")

    return remember
