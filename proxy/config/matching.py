"""Matcher trees (`xds.type.matcher.v3.Matcher`). Data only; `proxy/route/tree.py` asks them."""

from __future__ import annotations

from typing import Literal

import msgspec

from proxy.config.common import StringMatcher


class Predicate(msgspec.Struct, frozen=True, gc=False):
    """`Matcher.MatcherList.Predicate`: `single` looks at `input`, the others at the verdicts of `of`."""

    kind: Literal["single", "and", "or", "not"]
    header: str = ""
    string: StringMatcher | None = None
    of: tuple[Predicate, ...] = ()


class OnMatch(msgspec.Struct, frozen=True, gc=False):
    """`Matcher.OnMatch`: another matcher, or the action, which is the places of routes in their virtual host."""

    routes: tuple[int, ...] = ()
    matcher: Matcher | None = None


class Matcher(msgspec.Struct, frozen=True, gc=False):
    """`Matcher`: `fields` in turn, or, if `header` is not empty, the `map` of its values, whole or by beginnings
    (`by_prefix`); then `otherwise`.
    """

    fields: tuple[tuple[Predicate, OnMatch], ...] = ()
    header: str = ""
    map: dict[str, OnMatch] = {}
    by_prefix: bool = False
    otherwise: OnMatch | None = None
