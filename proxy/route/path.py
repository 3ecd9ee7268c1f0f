"""Path matchers of `config.route.v3.RouteMatch`. They see the path without query and fragment."""

from __future__ import annotations

import re

from proxy.config.route import RouteMatch
from proxy.route.matcher import Predicate
from proxy.route.regex import compile_regex


def without_query(path: bytes) -> bytes:
    """`path` up to the first `?` or `#` (`PathUtil::removeQueryAndFragment`)."""
    if b"?" in path or b"#" in path:
        return path.partition(b"?")[0].partition(b"#")[0]
    return path


_PARAMETERS = re.compile(rb";[^/]*")


def without_parameters(path: bytes) -> bytes:
    """`path`, which has no query, without parameters of segments (RFC 3986 section 3.3): `/a;x=1/b` is `/a/b`."""
    return _PARAMETERS.sub(b"", path) if b";" in path else path


def compile_path(match: RouteMatch) -> Predicate:
    """The path part of `match`; `case_sensitive: false` folds ASCII letters and does not apply to `safe_regex`."""
    if match.kind == "regex":
        return compile_regex(match.value)
    if match.kind == "connect":
        return lambda path: not path
    wanted = match.value.encode()
    if match.case_sensitive:
        return _compile_literal(match.kind, wanted)
    lowered = _compile_literal(match.kind, wanted.lower())
    return lambda path: lowered(path.lower())


def _compile_literal(kind: str, wanted: bytes) -> Predicate:
    if kind == "path":
        return lambda path: path == wanted
    if kind == "prefix":
        return lambda path: path.startswith(wanted)
    below = wanted + b"/"
    return lambda path: path == wanted or path.startswith(below)
