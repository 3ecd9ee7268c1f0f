"""What a route asks of a request: `config.route.v3.RouteMatch` and the matchers in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from master.config.compile.metadata_match import compile_filter_state_matcher, compile_metadata_matcher
from master.config.compile.rewrites import path_template
from proxy.config.common import HeaderMatcher, StringMatcher
from proxy.config.route import QueryParameterMatcher, RouteMatch

if TYPE_CHECKING:
    from master.config.compile.context import Context

DEPRECATED_STRING_MATCHES: dict[str, Literal["exact", "prefix", "suffix", "contains"]] = {
    "exact_match": "exact",
    "prefix_match": "prefix",
    "suffix_match": "suffix",
    "contains_match": "contains",
}
"""Fields of `HeaderMatcher` that Envoy 1.40 still takes for `string_match`."""

DENOMINATORS = (100, 10_000, 1_000_000)
"""By the numbers of `FractionalPercent.DenominatorType`."""

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.route.v3.RouteMatch": (
        "prefix",
        "path",
        "path_separated_prefix",
        "safe_regex",
        "path_match_policy",
        "connect_matcher",
        "tls_context",
        "case_sensitive",
        "headers",
        "query_parameters",
        "grpc",
        "runtime_fraction",
        "dynamic_metadata",
        "filter_state",
    ),
    "envoy.config.route.v3.RouteMatch.TlsContextMatchOptions": ("presented", "validated"),
    "envoy.config.route.v3.QueryParameterMatcher": ("name", "string_match", "present_match"),
    "envoy.config.core.v3.RuntimeFractionalPercent": ("default_value",),
    "envoy.type.v3.FractionalPercent": ("numerator", "denominator"),
    "envoy.config.route.v3.HeaderMatcher": (
        "name",
        "string_match",
        "present_match",
        "range_match",
        *DEPRECATED_STRING_MATCHES,
        "safe_regex_match",
        "invert_match",
        "treat_missing_header_as_empty",
    ),
    "envoy.type.v3.Int64Range": ("start", "end"),
    "envoy.type.matcher.v3.StringMatcher": ("exact", "prefix", "suffix", "contains", "safe_regex", "ignore_case"),
    "envoy.type.matcher.v3.RegexMatcher": ("regex",),
}


def compile_match(message: Any, context: Context) -> RouteMatch | None:
    path = _path(message, context)
    headers = tuple(
        compile_header_matcher(header, context.at("headers", index)) for index, header in enumerate(message.headers)
    )
    query = tuple(
        _query_parameter(parameter, context.at("query_parameters", index))
        for index, parameter in enumerate(message.query_parameters)
    )
    metadata = tuple(
        compile_metadata_matcher(matcher, context.at("dynamic_metadata", index))
        for index, matcher in enumerate(message.dynamic_metadata)
    )
    state = tuple(
        compile_filter_state_matcher(matcher, context.at("filter_state", index))
        for index, matcher in enumerate(message.filter_state)
    )
    if path is None:
        return None
    share = fraction(message.runtime_fraction.default_value) if message.HasField("runtime_fraction") else None
    return msgspec.structs.replace(
        path,
        headers=headers,
        query_parameters=query,
        grpc=message.HasField("grpc"),
        runtime_fraction=share,
        tls_presented=message.tls_context.presented.value if message.tls_context.HasField("presented") else None,
        tls_validated=message.tls_context.validated.value if message.tls_context.HasField("validated") else None,
        dynamic_metadata=metadata,
        filter_state=state,
    )


def _path(message: Any, context: Context) -> RouteMatch | None:
    """What `message` asks of the path. A regex ignores `case_sensitive`."""
    kind = message.WhichOneof("path_specifier")
    if kind == "safe_regex":
        return RouteMatch("regex", context.regex(message.safe_regex, "safe_regex"))
    if kind == "connect_matcher":
        return RouteMatch("connect", "")
    if kind == "path_match_policy":
        template = path_template(message.path_match_policy, context.at("path_match_policy"))
        return RouteMatch("regex", template.pattern) if template is not None else None
    if kind not in ("prefix", "path", "path_separated_prefix"):
        return None
    case_sensitive = message.case_sensitive.value if message.HasField("case_sensitive") else True
    return RouteMatch(kind, getattr(message, kind), case_sensitive)


def _query_parameter(message: Any, context: Context) -> QueryParameterMatcher:
    kind = message.WhichOneof("query_parameter_match_specifier")
    return QueryParameterMatcher(
        name=message.name,
        string=_string(message.string_match, context.at("string_match")) if kind == "string_match" else None,
        present=message.present_match if kind == "present_match" else None,
    )


def fraction(message: Any) -> tuple[int, int]:
    """A `type.v3.FractionalPercent`."""
    return message.numerator, DENOMINATORS[message.denominator]


def compile_header_matcher(message: Any, context: Context) -> HeaderMatcher:
    """A `HeaderMatcher`, of a route or of anything else that looks at headers."""
    kind = message.WhichOneof("header_match_specifier")
    string = None
    if kind == "string_match":
        string = _string(message.string_match, context.at("string_match"))
    elif kind == "safe_regex_match":
        string = StringMatcher("regex", context.regex(message.safe_regex_match, "safe_regex_match"))
    elif kind in DEPRECATED_STRING_MATCHES:
        string = StringMatcher(DEPRECATED_STRING_MATCHES[kind], getattr(message, kind))
    return HeaderMatcher(
        name=message.name.lower(),
        string=string,
        present=message.present_match if kind == "present_match" else None,
        range=(message.range_match.start, message.range_match.end) if kind == "range_match" else None,
        invert=message.invert_match,
        treat_missing_as_empty=message.treat_missing_header_as_empty,
    )


def compile_string_matcher(message: Any, context: Context) -> StringMatcher:
    """A `StringMatcher`; one of no kind of ours, which is reported elsewhere, is an empty one."""
    return _string(message, context) or StringMatcher("exact", "")


def _string(message: Any, context: Context) -> StringMatcher | None:
    kind = message.WhichOneof("match_pattern")
    if kind == "safe_regex":
        if message.ignore_case:
            context.error(("ignore_case",), "ignore_case has no effect for safe_regex", "(?i) in the regex")
        return StringMatcher("regex", context.regex(message.safe_regex, "safe_regex"))
    if kind not in ("exact", "prefix", "suffix", "contains"):
        return None
    return StringMatcher(kind, getattr(message, kind), message.ignore_case)
