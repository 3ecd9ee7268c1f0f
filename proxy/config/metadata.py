"""What is asked of metadata and filter state (`type.matcher.v3.MetadataMatcher`, `FilterStateMatcher`). Data only."""

from __future__ import annotations

from typing import Literal

import msgspec

from proxy.config.common import StringMatcher


class ValueMatcher(msgspec.Struct, frozen=True, gc=False):
    """`type.matcher.v3.ValueMatcher`. `exact` or `range` ([start, end)) are of `double`, `wanted` of `bool` and
    `present`. `of`: one element of a `list` has to match the only one; `or`: any of them.
    """

    kind: Literal["null", "double", "string", "bool", "present", "list", "or"]
    string: StringMatcher | None = None
    exact: float | None = None
    range: tuple[float, float] | None = None
    wanted: bool = False
    of: tuple[ValueMatcher, ...] = ()


class MetadataMatcher(msgspec.Struct, frozen=True, gc=False):
    """`type.matcher.v3.MetadataMatcher`. `invert` negates the verdict, on a value that is not there too."""

    namespace: str
    path: tuple[str, ...]
    value: ValueMatcher
    invert: bool = False


class FilterStateMatcher(msgspec.Struct, frozen=True, gc=False):
    """`type.matcher.v3.FilterStateMatcher`: of an object that is there, `string` its text, `ranges` (`10.0.0.0/8`) an
    address. Exactly one of them is set.
    """

    key: str
    string: StringMatcher | None = None
    ranges: tuple[str, ...] | None = None
