"""`AccessLogFilter`: which exchanges are logged. From the proto to a predicate."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

from proxy.config.access_log import (
    AccessLogFilter,
    Combination,
    Comparison,
    HeaderFilter,
    NotHealthCheck,
    ResponseFlags,
)
from proxy.config.context import CompileContext
from proxy.http.request import Request
from proxy.http.stream_info import StreamInfo
from proxy.route.matcher import compile_header

PACKAGE = "envoy.config.accesslog.v3"
FIELDS: dict[str, tuple[str, ...]] = {
    f"{PACKAGE}.AccessLogFilter": (
        "status_code_filter",
        "duration_filter",
        "not_health_check_filter",
        "header_filter",
        "response_flag_filter",
        "and_filter",
        "or_filter",
    ),
    f"{PACKAGE}.StatusCodeFilter": ("comparison",),
    f"{PACKAGE}.DurationFilter": ("comparison",),
    f"{PACKAGE}.ComparisonFilter": ("op", "value"),
    f"{PACKAGE}.HeaderFilter": ("header",),
    f"{PACKAGE}.ResponseFlagFilter": ("flags",),
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
        case "and_filter":
            return Combination("and", _filters(message.and_filter.filters, context.at("and_filter", "filters")))
        case "or_filter":
            return Combination("or", _filters(message.or_filter.filters, context.at("or_filter", "filters")))
    return None


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
            return lambda info: True  # there is no health check filter yet that could say so
        case HeaderFilter():
            matches, nothing = compile_header(config.header), Request()
            return lambda info: matches(info.request or nothing)
        case ResponseFlags():
            wanted = frozenset(config.flags)
            if not wanted:
                return lambda info: bool(info.flags)
            return lambda info: any(flag.value in wanted for flag in info.flags)
        case Combination():
            filters = tuple(map(compile_filter, config.filters))
            combine = all if config.op == "and" else any
            return lambda info: combine(logged(info) for logged in filters)


def _compile_comparison(config: Comparison) -> Predicate:
    compare, value = _COMPARE[config.op], config.value
    if config.subject == "status":
        return lambda info: compare(info.status, value)
    return lambda info: compare(int((info.ended - info.started) * 1000), value)
