"""Reading query parameters: the checks that several pages share, with Envoy's messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, cast

import re2

from master.admin.page import BadRequest

MAX_REGEX = 1024
"""Characters. RE2 matches in linear time; this bounds what compiling may take."""


class Regex(Protocol):
    """A compiled RE2 pattern, as far as it is used here."""

    def search(self, text: str) -> object | None: ...
    def fullmatch(self, text: str) -> object | None: ...


def compile_regex(text: str, message: str) -> Regex:
    """`text` compiled; `BadRequest` with `message` (which may hold `{reason}`) if it is not an RE2 expression."""
    if len(text) > MAX_REGEX:
        raise BadRequest(f"a regular expression may have {MAX_REGEX} characters")
    options = re2.Options()
    options.log_errors = False
    try:
        return cast(Regex, re2.compile(text, options=options))
    except re2.error as error:
        raise BadRequest(message.replace("{reason}", _reason(error))) from error


def regex(text: str, message: str) -> Callable[[str], bool]:
    """A predicate that finds the regular expression `text` anywhere in a name. Empty accepts everything."""
    if not text:
        return lambda name: True
    compiled = compile_regex(text, message)
    return lambda name: compiled.search(name) is not None


def name_filter(query: Mapping[str, str]) -> Callable[[str], bool]:
    """`filter=` and `invert_filter` of the stats pages."""
    matches = regex(query.get("filter", ""), "Invalid re2 regex: {reason}")
    if "invert_filter" in query:
        return lambda name: not matches(name)
    return matches


def choice(query: Mapping[str, str], name: str, allowed: Mapping[str, object] | tuple[str, ...], usage: str) -> str:
    """The value of `name`, "" if absent; anything that is not `allowed` is a `BadRequest` with `usage`."""
    value = query.get(name, "")
    if value and value not in allowed:
        raise BadRequest(usage)
    return value


def _reason(error: Exception) -> str:
    detail = error.args[0] if error.args else ""
    return detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)
