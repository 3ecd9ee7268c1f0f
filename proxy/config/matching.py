"""Matcher trees (`xds.type.matcher.v3.Matcher`). Data only; `proxy/matching/` asks them."""

from __future__ import annotations

from typing import Literal

import msgspec

from proxy.config.common import StringMatcher
from proxy.config.metadata import ValueMatcher


class Input(msgspec.Struct, frozen=True, gc=False):
    """What a tree looks at. `kind` is the full name of the input's message (a key of `proxy.matching.inputs.INPUTS`),
    `key` what it names: a header (lower case), a query parameter, a namespace of metadata or an object of the filter
    state. `path` is where the value stands in its namespace.
    """

    kind: str
    key: str = ""
    path: tuple[str, ...] = ()


class Predicate(msgspec.Struct, frozen=True, gc=False):
    """`Matcher.MatcherList.Predicate`: `single` looks at `input`, the others at the verdicts of `of`.

    Exactly one of `string`, `ranges` (of addresses: `10.0.0.0/8`) and `value` (of metadata, `invert` negates it) says
    what a `single` one wants.
    """

    kind: Literal["single", "and", "or", "not"]
    input: Input | None = None
    string: StringMatcher | None = None
    ranges: tuple[str, ...] = ()
    value: ValueMatcher | None = None
    invert: bool = False
    of: tuple[Predicate, ...] = ()


class OnMatch(msgspec.Struct, frozen=True, gc=False):
    """`Matcher.OnMatch`: another matcher, or the action.

    `routes`: the action is the routes at these places of their virtual host. Without any it is `SkipFilter`, the one
    action of a filter's tree.
    """

    routes: tuple[int, ...] = ()
    matcher: Matcher | None = None


class RangeMatch(msgspec.Struct, frozen=True, gc=False):
    """`IPMatcher.IPRangeMatcher`. `exclusive`: nothing but the smallest range that an address is in counts as this."""

    ranges: tuple[str, ...]
    on_match: OnMatch
    exclusive: bool = False


class Matcher(msgspec.Struct, frozen=True, gc=False):
    """`Matcher`: `fields` in turn, or, if there is an `input`, the `map` of its values, whole or by beginnings
    (`by_prefix`), or the `ranges` of addresses that it may be in; then `otherwise`.
    """

    fields: tuple[tuple[Predicate, OnMatch], ...] = ()
    input: Input | None = None
    map: dict[str, OnMatch] = {}
    by_prefix: bool = False
    ranges: tuple[RangeMatch, ...] = ()
    otherwise: OnMatch | None = None
