"""`envoy.http.early_header_mutation.header_mutation`: the mutations of the filter of that name, before all others.

They come before we find out who is asking: an `x-forwarded-for` that is written here is believed, and an `x-envoy-*`
that is not a stranger's to send is removed again.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.config.context import CompileContext
from proxy.config.header_mutation import Mutation
from proxy.filters.header_edits import MUTATION_FIELDS, Edit, compile_sequence
from proxy.http.headers import Headers
from proxy.http.stream_info import StreamInfo

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation": ("mutations",),
    **MUTATION_FIELDS,
}


class HeaderMutation:
    """One after another, each sees what those before it have done."""

    class Config(msgspec.Struct, frozen=True):
        """`HeaderMutation`."""

        mutations: tuple[Mutation, ...]

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles a `HeaderMutation` message of this extension."""
        return cls.Config(compile_sequence(message.mutations, context.at("mutations")))

    def __init__(self, config: Config) -> None:
        self._edits = tuple(map(Edit, config.mutations))

    def __call__(self, headers: Headers, info: StreamInfo) -> None:
        for edit in self._edits:
            edit.apply(headers, info)
