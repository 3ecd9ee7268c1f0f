"""Edits of headers (`config.core.v3.HeaderValueOption`, lists of names to remove). Data only."""

from __future__ import annotations

from typing import Literal

import msgspec

Action = Literal[
    "APPEND_IF_EXISTS_OR_ADD", "ADD_IF_ABSENT", "OVERWRITE_IF_EXISTS_OR_ADD", "OVERWRITE_IF_EXISTS", "REMOVE"
]


class Mutation(msgspec.Struct, frozen=True, gc=False):
    """One line of a list; `action` is `HeaderValueOption.HeaderAppendAction`, or the removal of `name`. `value` may
    hold command operators (`%REQ(x)%`).
    """

    name: bytes
    action: Action
    value: str = ""
    keep_empty: bool = False


class HeaderMutations(msgspec.Struct, frozen=True, gc=False):
    """`request_headers_to_remove` and `…_to_add`, and those of responses; in each the removals come first."""

    request: tuple[Mutation, ...] = ()
    response: tuple[Mutation, ...] = ()
