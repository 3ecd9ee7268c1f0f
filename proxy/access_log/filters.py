"""`AccessLogFilter`: which exchanges are logged. From the proto to a predicate."""

from __future__ import annotations

import operator
import random
import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from proxy import registry
from proxy.config.access_log import (
    AccessLogFilter,
    Combination,
    Comparison,
    ExtensionFilter,
    GrpcStatuses,
    HeaderFilter,
    LogTypes,
    MetadataFilter,
    NotHealthCheck,
    ResponseFlags,
    Share,
    Traceable,
)
from proxy.config.context import CompileContext
from proxy.http import grpc
from proxy.http.grpc import GrpcStatus
from proxy.http.identity import REQUEST_ID
from proxy.http.request import Request
from proxy.http.stream_data import ABSENT, lookup
from proxy.http.stream_info import StreamInfo
from proxy.route.matcher import compile_header
from proxy.route.metadata import compile_value

EXTENSION_FILTERS: dict[str, str] = {
    "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter": "proxy.access_log.cel_filter:ExpressionFilter",
}
PACKAGE = "envoy.config.accesslog.v3"
FIELDS: dict[str, tuple[str, ...]] = {
    f"{PACKAGE}.AccessLogFilter": (
        "status_code_filter",
        "duration_filter",
        "not_health_check_filter",
        "header_filter",
        "response_flag_filter",
        "runtime_filter",
        "grpc_status_filter",
        "log_type_filter",
        "traceable_filter",
        "metadata_filter",
        "extension_filter",
        "and_filter",
        "or_filter",
    ),
    f"{PACKAGE}.StatusCodeFilter": ("comparison",),
    f"{PACKAGE}.DurationFilter": ("comparison",),
    f"{PACKAGE}.ComparisonFilter": ("op", "value"),
    f"{PACKAGE}.HeaderFilter": ("header",),
    f"{PACKAGE}.ResponseFlagFilter": ("flags",),
    f"{PACKAGE}.RuntimeFilter": ("percent_sampled", "use_independent_randomness"),
    f"{PACKAGE}.GrpcStatusFilter": ("statuses", "exclude"),
    f"{PACKAGE}.LogTypeFilter": ("types", "exclude"),
    f"{PACKAGE}.MetadataFilter": ("matcher", "match_if_key_not_found"),
    f"{PACKAGE}.ExtensionFilter": ("typed_config",),
    f"{PACKAGE}.AndFilter": ("filters",),
    f"{PACKAGE}.OrFilter": ("filters",),
    "envoy.config.core.v3.RuntimeUInt32": ("default_value",),
}

Predicate = Callable[[StreamInfo], bool]

_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "EQ": operator.eq,
    "GE": operator.ge,
    "LE": operator.le,
    "NE": operator.ne,
}


_DENOMINATORS = (100, 10_000, 1_000_000)
"""By the numbers of `FractionalPercent.DenominatorType`."""

_ID = re.compile(rb"[0-9a-fA-F]{8}")


def filter_from_proto(message: Any, context: CompileContext) -> AccessLogFilter | None:
    """Compiles an `AccessLogFilter`; None for a kind that is reported as unsupported."""
    match message.WhichOneof("filter_specifier"):
        case "status_code_filter":
            return _comparison(message.status_code_filter.comparison, "status")
        case "duration_filter":
            return _comparison(message.duration_filter.comparison, "duration")
        case "not_health_check_filter":
            return NotHealthCheck()
        case "header_filter":
            here = context.at("header_filter", "header")
            return HeaderFilter(here.header_matcher(message.header_filter.header))
        case "response_flag_filter":
            return ResponseFlags(tuple(message.response_flag_filter.flags))
        case "runtime_filter":
            share = message.runtime_filter.percent_sampled
            independent = message.runtime_filter.use_independent_randomness
            return Share(share.numerator, _DENOMINATORS[share.denominator], independent)
        case "grpc_status_filter":
            return GrpcStatuses(tuple(message.grpc_status_filter.statuses), message.grpc_status_filter.exclude)
        case "log_type_filter":
            names = type(message.log_type_filter).DESCRIPTOR.fields_by_name["types"].enum_type.values_by_number
            types = tuple(names[number].name for number in message.log_type_filter.types)
            return LogTypes(types, message.log_type_filter.exclude)
        case "traceable_filter":
            return Traceable()
        case "metadata_filter":
            return _metadata(message.metadata_filter, context.at("metadata_filter"))
        case "extension_filter":
            here, extension = context.at("extension_filter", "typed_config"), message.extension_filter
            plugin = here.plugin(extension.name, extension.typed_config, EXTENSION_FILTERS, "access log filter")
            return None if plugin is None else ExtensionFilter(plugin)
        case "and_filter":
            return Combination("and", _filters(message.and_filter.filters, context.at("and_filter", "filters")))
        case "or_filter":
            return Combination("or", _filters(message.or_filter.filters, context.at("or_filter", "filters")))
    return None


def _metadata(message: Any, context: CompileContext) -> MetadataFilter:
    matcher = None
    if message.HasField("matcher"):
        matcher = context.at("matcher").metadata_matcher(message.matcher)
    absent = message.match_if_key_not_found
    return MetadataFilter(matcher, absent.value if message.HasField("match_if_key_not_found") else True)


def _comparison(message: Any, subject: Any) -> Comparison:
    """There is no runtime yet: the default value is what counts."""
    ops = type(message).DESCRIPTOR.enum_types_by_name["Op"].values_by_number
    return Comparison(subject, ops[message.op].name, message.value.default_value)


def _filters(messages: Iterable[Any], context: CompileContext) -> tuple[AccessLogFilter, ...]:
    compiled = (filter_from_proto(message, context.at(index)) for index, message in enumerate(messages))
    return tuple(one for one in compiled if one is not None)


def compile_filter(config: AccessLogFilter) -> Predicate:
    """Whether an exchange that is over is logged."""
    match config:
        case Comparison():
            return _compile_comparison(config)
        case NotHealthCheck():
            return lambda info: not info.health_check
        case HeaderFilter():
            matches, nothing = compile_header(config.header), Request()
            return lambda info: matches(info.request or nothing)
        case ResponseFlags():
            wanted = frozenset(config.flags)
            if not wanted:
                return lambda info: bool(info.flags)
            return lambda info: any(flag.value in wanted for flag in info.flags)
        case Share():
            return _compile_share(config)
        case GrpcStatuses():
            return _compile_grpc_statuses(config)
        case LogTypes():
            types = frozenset(name.encode() for name in config.types)
            return lambda info: (info.log_type in types) != config.exclude
        case Traceable():
            return lambda info: False  # nothing is, as long as there is no tracing
        case MetadataFilter():
            return _compile_metadata(config)
        case ExtensionFilter():
            kind = registry.load(EXTENSION_FILTERS, config.filter.type_url)
            predicate: Predicate = kind(msgspec.msgpack.decode(config.filter.config, type=kind.Config)).logged
            return predicate
        case Combination():
            filters = tuple(map(compile_filter, config.filters))
            combine = all if config.op == "and" else any
            return lambda info: combine(logged(info) for logged in filters)


def _compile_metadata(config: MetadataFilter) -> Predicate:
    """Without a matcher nothing is there to be found. The matcher's `invert` has no effect, as in Envoy."""
    matcher, if_absent = config.matcher, config.if_absent
    if matcher is None:
        return lambda info: if_absent
    namespace, path, matches = matcher.namespace, matcher.path, compile_value(matcher.value)

    def logged(info: StreamInfo) -> bool:
        found = lookup(info.dynamic_metadata, namespace, path)
        return if_absent if found is ABSENT else matches(found)

    return logged


def _compile_comparison(config: Comparison) -> Predicate:
    compare, value = _COMPARE[config.op], config.value
    if config.subject == "status":
        return lambda info: compare(info.status, value)
    return lambda info: compare(int((info.ended - info.started) * 1000), value)


def _compile_share(config: Share) -> Predicate:
    """The beginning of the request's id decides, as in Envoy, so that all proxies on its way log the same requests."""
    numerator, denominator = config.numerator, config.denominator

    def logged(info: StreamInfo) -> bool:
        number = None if config.independent else _number_of_id(info.request)
        return (random.getrandbits(64) if number is None else number) % denominator < numerator

    return logged


def _number_of_id(request: Request | None) -> int | None:
    found = _ID.match(request.headers.get(REQUEST_ID) or b"") if request is not None else None
    return int(found[0], 16) if found is not None else None


def _compile_grpc_statuses(config: GrpcStatuses) -> Predicate:
    """Of whatever exchange: an HTTP status means one too."""
    statuses = frozenset(config.statuses)

    def logged(info: StreamInfo) -> bool:
        status = grpc.status_of(info.response_headers, info.response_trailers, info.status)
        return ((GrpcStatus.UNKNOWN if status is None else status) in statuses) != config.exclude

    return logged
