"""Why a route does not take a request: the first thing that it asks and the request does not have, in words.

The verdict is always that of the predicate which serves requests; what is here only says what that one looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from proxy.config.common import HeaderMatcher, StringMatcher
from proxy.config.metadata import FilterStateMatcher, MetadataMatcher, ValueMatcher
from proxy.config.route import QueryParameterMatcher, RouteMatch
from proxy.http.stream_data import ABSENT, lookup, text
from proxy.http.stream_info import StreamInfo
from proxy.route.conditions import Part, first_value, parts
from proxy.route.entry import RouteEntry
from proxy.route.matcher import RequestHead
from proxy.route.matcher import lookup as lookup_header

MAX_SHOWN = 120
"""Characters of a value."""

_KINDS = {
    "exact": "exact",
    "path": "exact",
    "prefix": "prefix",
    "path_separated_prefix": "path-separated prefix",
    "suffix": "suffix",
    "contains": "a value with",
    "regex": "regex",
}


class Reason(NamedTuple):
    """`field` is the field of the `RouteMatch` that was not met; `subject` is what was looked at (`header x-env`),
    `seen` what it was (`'dev'`) and `wants` what it had to be (`exact 'prod'`). `by_path`: the path itself is wrong.
    """

    field: tuple[str | int, ...]
    subject: str
    seen: str
    wants: str
    by_path: bool = False

    def __str__(self) -> str:
        return f"{self.subject} is {self.seen}, wants {self.wants}"


def why_not(entry: RouteEntry, path: bytes, request: RequestHead) -> Reason | None:
    """Why `entry` does not take `request`, whose path as routes see it is `path`; None if it does."""
    match = entry.route.match
    if not _by_path(entry, path, connect=not request.path):
        return _path_reason(match, path, request)
    for part, condition in zip(parts(match), entry.conditions, strict=True):
        if not condition(request):
            return _condition_reason(part, request)
    return None


def _by_path(entry: RouteEntry, path: bytes, *, connect: bool) -> bool:
    """CONNECT has no path, and is for routes with a `connect_matcher` alone (`VirtualHostRoutes`)."""
    return entry.path_matches(path) and connect == (entry.route.match.kind == "connect")


def wanted_path(match: RouteMatch) -> str:
    """What `match` asks of the path: `prefix '/api'`."""
    if match.kind == "connect":
        return "CONNECT"
    folded = "" if match.case_sensitive or match.kind == "regex" else " (in any case)"
    return f"{_KINDS[match.kind]} {quoted(match.value)}{folded}"


def describe(match: RouteMatch) -> str:
    """All that `match` asks: `prefix '/api', header x-env exact 'prod'`."""
    return ", ".join([wanted_path(match), *map(_wanted, parts(match))])


def _wanted(part: Part) -> str:
    asked = part.asked
    if isinstance(asked, HeaderMatcher):
        return f"header {asked.name} {wanted_value(asked)}"
    if isinstance(asked, QueryParameterMatcher):
        return f"query parameter {asked.name} {wanted_value(asked)}"
    if isinstance(asked, MetadataMatcher | FilterStateMatcher):
        return f"{_subject(asked)} {_wanted_of_filters(asked)}"
    if isinstance(asked, tuple):
        return f"{100 * asked[0] / asked[1]:g} % of requests"
    if part.field == ("grpc",):
        return "gRPC"
    valid = " valid" if part.field[-1] == "validated" else ""
    return f"a{valid} client certificate" if asked else f"no{valid} client certificate"


def _path_reason(match: RouteMatch, path: bytes, request: RequestHead) -> Reason:
    field = ("connect_matcher" if match.kind == "connect" else "safe_regex" if match.kind == "regex" else match.kind,)
    if match.kind == "connect" or not request.path:
        return Reason(field, "the method", quoted(request.method), wanted_method(match), by_path=True)
    return Reason(field, "the path", quoted(path), wanted_path(match), by_path=True)


def wanted_method(match: RouteMatch) -> str:
    return "CONNECT" if match.kind == "connect" else f"one with a path: {wanted_path(match)}"


def _condition_reason(part: Part, request: RequestHead) -> Reason:
    asked = part.asked
    if isinstance(asked, HeaderMatcher):
        values = lookup_header(asked.name)(request)
        return Reason(part.field, f"header {asked.name}", _seen(values), wanted_value(asked))
    if isinstance(asked, QueryParameterMatcher):
        value = first_value(request.path, asked.name.encode())
        return Reason(
            part.field, f"query parameter {asked.name}", _seen([] if value is None else [value]), wanted_value(asked)
        )
    if isinstance(asked, MetadataMatcher | FilterStateMatcher):
        return Reason(part.field, _subject(asked), _left_by_filters(asked, request.info), _wanted_of_filters(asked))
    if part.field == ("runtime_fraction",):
        assert isinstance(asked, tuple)
        numerator, denominator = asked
        seen = f"{request.random % denominator} of {denominator}"
        return Reason(
            part.field, "the random value", seen, f"less than {numerator} ({100 * numerator / denominator:g} %)"
        )
    if part.field == ("grpc",):
        seen = _seen(request.headers.get_all(b"content-type"))
        return Reason(part.field, "header content-type", seen, "that of gRPC")
    wanted = "one" if asked else "none"
    if part.field[-1] == "presented":
        return Reason(part.field, "the client's certificate", "absent" if asked else "presented", f"{wanted} presented")
    return Reason(part.field, "the client's certificate", "not valid" if asked else "valid", f"{wanted} that is valid")


def wanted_value(asked: HeaderMatcher | QueryParameterMatcher) -> str:
    """What is asked of a header or query parameter: `exact 'prod'`, `to be absent`."""
    if asked.string is not None:
        text = _wanted_string(asked.string)
    elif isinstance(asked, HeaderMatcher) and asked.range is not None:
        text = f"a number from {asked.range[0]} to {asked.range[1] - 1}"
    else:
        inverted = isinstance(asked, HeaderMatcher) and asked.invert
        return "to be absent" if (asked.present is False) != inverted else "to be there"
    return f"anything but {text}" if isinstance(asked, HeaderMatcher) and asked.invert else text


def _subject(asked: MetadataMatcher | FilterStateMatcher) -> str:
    if isinstance(asked, FilterStateMatcher):
        return f"filter state {asked.key}"
    return f"metadata {':'.join((asked.namespace, *asked.path))}"


def _left_by_filters(asked: MetadataMatcher | FilterStateMatcher, info: StreamInfo | None) -> str:
    """What filters have left at the exchange when its route is looked for, which is before they have run as a rule."""
    if isinstance(asked, FilterStateMatcher):
        state = (info.filter_state or {}).get(asked.key) if info is not None else None
        return "absent" if state is None else quoted(text(state))
    value = lookup(info.dynamic_metadata if info is not None else None, asked.namespace, asked.path)
    return "absent" if value is ABSENT else quoted(msgspec.json.encode(value))


def _wanted_of_filters(asked: MetadataMatcher | FilterStateMatcher) -> str:
    if isinstance(asked, MetadataMatcher):
        wanted = _wanted_of_value(asked.value)
        return f"anything but {wanted}" if asked.invert else wanted
    return f"an address in {', '.join(asked.ranges or ())}" if asked.string is None else _wanted_string(asked.string)


def _wanted_of_value(asked: ValueMatcher) -> str:
    match asked.kind:
        case "double":
            if asked.range is None:
                return f"the number {asked.exact:g}"
            return f"a number from {asked.range[0]:g} to below {asked.range[1]:g}"
        case "string":
            assert asked.string is not None
            return _wanted_string(asked.string)
        case "bool":
            return "true" if asked.wanted else "false"
        case "present":
            return "to be there" if asked.wanted else "what nothing is (present_match: false)"
        case "list":
            return f"a list with {_wanted_of_value(asked.of[0])}"
        case "or":
            return " or ".join(map(_wanted_of_value, asked.of))
        case "null":
            return "null"


def _wanted_string(string: StringMatcher) -> str:
    return f"{_KINDS[string.kind]} {quoted(string.value)}{' (in any case)' if string.ignore_case else ''}"


def _seen(values: Sequence[bytes]) -> str:
    return ", ".join(map(quoted, values)) if values else "absent"


def quoted(value: bytes | str) -> str:
    """`value` between quotes, shortened."""
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    return f"'{text}'" if len(text) <= MAX_SHOWN else f"'{text[:MAX_SHOWN]}…' ({len(text)} characters)"
