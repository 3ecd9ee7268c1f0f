"""`envoy.filters.http.grpc_json_transcoder`: HTTP with JSON to gRPC methods, as their `google.api.http` rules say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy.config.context import CompileContext
from proxy.config.transcoder import TranscoderConfig
from proxy.filters.context import FilterContext
from proxy.http import grpc
from proxy.http.exchange import Exchange
from proxy.http.filter_chain import CallNext
from proxy.http.response_edits import ResponseEdit

if TYPE_CHECKING:
    from proxy.filters.transcoding.calls import Transcoding

PACKAGE = "envoy.extensions.filters.http.grpc_json_transcoder.v3"
PROTO = f"{PACKAGE}.GrpcJsonTranscoder"
FIELDS: dict[str, tuple[str, ...]] = {
    PROTO: (
        "proto_descriptor",
        "proto_descriptor_bin",
        "services",
        "print_options",
        "match_incoming_request_route",
        "ignored_query_parameters",
        "auto_mapping",
        "ignore_unknown_query_parameters",
        "convert_grpc_status",
        "url_unescape_spec",
        "query_param_unescape_plus",
        "match_unregistered_custom_verb",
        "request_validation_options",
        "case_insensitive_enum_parsing",
        "max_request_body_size",
        "max_response_body_size",
    ),
    f"{PROTO}.PrintOptions": (
        "add_whitespace",
        "always_print_primitive_fields",
        "always_print_enums_as_ints",
        "preserve_proto_field_names",
        "stream_newline_delimited",
        "stream_sse_style_delimited",
    ),
    f"{PROTO}.RequestValidationOptions": (
        "reject_unknown_method",
        "reject_unknown_query_parameters",
        "reject_binding_body_field_collisions",
    ),
}


class GrpcJsonTranscoder:
    """Per-route configurations take the place of the filter's own."""

    terminal = False
    Config = TranscoderConfig

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> TranscoderConfig:
        """Compiles a `GrpcJsonTranscoder` message."""
        if not message.services:
            return TranscoderConfig()
        printing, checks = message.print_options, message.request_validation_options
        spec = type(message).DESCRIPTOR.enum_types_by_name["UrlUnescapeSpec"]
        config = TranscoderConfig(
            descriptors=_descriptors(message, context),
            services=tuple(message.services),
            auto_mapping=message.auto_mapping,
            keep_route=message.match_incoming_request_route,
            ignored_query=tuple(message.ignored_query_parameters),
            ignore_unknown_query=message.ignore_unknown_query_parameters,
            convert_status=message.convert_grpc_status,
            unescape=spec.values_by_number[message.url_unescape_spec].name,
            unescape_plus=message.query_param_unescape_plus,
            any_verb=message.match_unregistered_custom_verb,
            any_case=message.case_insensitive_enum_parsing,
            reject_methods=checks.reject_unknown_method,
            reject_query=checks.reject_unknown_query_parameters,
            reject_collisions=checks.reject_binding_body_field_collisions,
            request_limit=message.max_request_body_size.value,
            response_limit=message.max_response_body_size.value,
            delimiter=_delimiter(printing),
            whitespace=printing.add_whitespace,
            primitives=printing.always_print_primitive_fields,
            enums_as_ints=printing.always_print_enums_as_ints,
            proto_names=printing.preserve_proto_field_names,
        )
        _check(config, context)
        return config

    @staticmethod
    def prepare(config: TranscoderConfig) -> Transcoding | None:
        """As requests need it; None if it does nothing."""
        if not config.services:
            return None
        # Imported here: protobuf is only for who uses it.
        from proxy.filters.transcoding.calls import Transcoding

        return Transcoding(config)

    def __init__(self, name: str, config: TranscoderConfig, context: FilterContext) -> None:
        self._name = name
        self._own = self.prepare(config)
        self._limit = context.buffer_limit

    async def __call__(self, exchange: Exchange, call_next: CallNext) -> None:
        overrides = exchange.filter_configs(self._name)
        transcoding: Transcoding | None = overrides[-1] if overrides else self._own
        request = exchange.request
        if transcoding is not None and request.method != b"HEAD" and not grpc.is_request(request.headers):
            call = transcoding.find(exchange)
            if call is not None:
                await call.translate(exchange, transcoding.config.request_limit or self._limit)
                answer: ResponseEdit = call.answer(transcoding.config.response_limit or self._limit)
                exchange.edit_response(answer)
        await call_next(exchange)


def _descriptors(message: Any, context: CompileContext) -> bytes:
    kind = message.WhichOneof("descriptor_set")
    if kind != "proto_descriptor":
        return bytes(message.proto_descriptor_bin)
    try:
        return Path(message.proto_descriptor).read_bytes()
    except OSError as error:
        context.error((kind,), f"cannot read {message.proto_descriptor!r}: {error.strerror}", "a readable file")
        return b""


def _delimiter(printing: Any) -> str:
    if printing.stream_newline_delimited:
        return "lines"
    return "events" if printing.stream_sse_style_delimited else "array"


def _check(config: TranscoderConfig, context: CompileContext) -> None:
    """That it can work."""
    from proxy.filters.transcoding.calls import Transcoding
    from proxy.filters.transcoding.methods import MethodError

    if not config.descriptors:
        return
    try:
        Transcoding(config)
    except MethodError as error:
        context.error(error.path, str(error), "what the descriptors have")
