"""Places with the file, line and column at which they stand, where the texts are at hand."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import msgspec

from master.explain.request.place import Locate, Place

T = TypeVar("T")


def located(value: T, locate: Locate) -> T:
    """`value` (an answer, or any part of one) with the positions that `locate` knows."""
    if isinstance(value, Place):
        return cast(T, value.located(locate))
    if isinstance(value, msgspec.Struct):
        fields: dict[str, Any] = {name: located(getattr(value, name), locate) for name in value.__struct_fields__}
        return cast(T, type(value)(**fields))
    if isinstance(value, tuple):
        return cast(T, tuple(located(one, locate) for one in value))
    return value
