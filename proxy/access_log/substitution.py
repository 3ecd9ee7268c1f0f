"""`SubstitutionFormatString`: text or JSON, from the proto to a renderer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from proxy.access_log.format import parse, text_rendering
from proxy.access_log.json_format import compile_json
from proxy.access_log.operator import FormatError
from proxy.access_log.operators import FORMATTERS
from proxy.access_log.rendering import Rendering
from proxy.config.access_log import Format
from proxy.config.context import CompileContext

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.core.v3.SubstitutionFormatString": (
        "text_format",
        "text_format_source",
        "json_format",
        "omit_empty_values",
        "content_type",
        "formatters",
    ),
    **dict.fromkeys(FORMATTERS, ()),
}

DEFAULT_TEXT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
    "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "
    '"%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n'
)
"""Envoy's format of an access log that has none of its own (features §13 rule 45)."""


def format_from_proto(message: Any, context: CompileContext) -> Format:
    """Compiles a `SubstitutionFormatString`; each bad format is reported where it stands."""
    kind = message.WhichOneof("format")
    omit, content_type = message.omit_empty_values, message.content_type
    formatters = _formatters(message.formatters, context)
    if kind == "json_format":
        tree = _tree(message.json_format)
        for path, text in _strings(tree, ("json_format",)):
            _check(text, path, formatters, context)
        return Format(json_format=json.dumps(tree), omit_empty_values=omit, content_type=content_type)
    if kind == "text_format":
        _check(message.text_format, ("text_format",), formatters, context)
        return Format(text=message.text_format, omit_empty_values=omit, content_type=content_type)
    source = message.text_format_source
    text = context.data_source(source, "text_format_source").decode(errors="replace")
    _check(text, ("text_format_source", source.WhichOneof("specifier") or ""), formatters, context)
    return Format(text=text, omit_empty_values=omit, content_type=content_type)


def log_format_from_proto(message: Any, context: CompileContext) -> Format:
    """The `log_format` of an access logger, or Envoy's default."""
    if message.HasField("log_format"):
        return format_from_proto(message.log_format, context.at("log_format"))
    return Format(text=DEFAULT_TEXT)


def compile_format(config: Format) -> Rendering:
    """The rendering of a checked format."""
    if config.json_format is not None:
        return compile_json(json.loads(config.json_format), omit_empty=config.omit_empty_values)
    return text_rendering(config.text, missing=b"" if config.omit_empty_values else b"-")


def _formatters(messages: Iterable[Any], context: CompileContext) -> list[str]:
    """The types of the `formatters` of a format. Those that are not ours are reported as not supported."""
    found = []
    for index, message in enumerate(messages):
        kind = message.typed_config.type_url.rpartition("/")[2]
        if not kind:
            context.error(("formatters", index), "a formatter without a type", f"typed_config: {', '.join(FORMATTERS)}")
        found.append(kind)
    return found


def _check(text: str, path: tuple[str | int, ...], formatters: list[str], context: CompileContext) -> None:
    try:
        parse(text, formatters)
    except FormatError as error:
        context.error(path, error.message, error.expected, suggestion=error.suggestion)


def _tree(struct: Any) -> dict[str, Any]:
    return {key: _value(value) for key, value in struct.fields.items()}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _tree(value.struct_value)
    if kind == "list_value":
        return [_value(item) for item in value.list_value.values]
    return None if kind == "null_value" else getattr(value, kind)


def _strings(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every string of the tree, and where it stands."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _strings(item, (*path, key))
