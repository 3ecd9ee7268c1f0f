"""`envoy.filters.http.header_mutation`: adds, overwrites and removes headers of requests and responses."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from proxy.config.context import CompileContext
from proxy.config.header_mutation import Mutation
from proxy.filters.context import FilterContext
from proxy.filters.header_edits import MUTATION_FIELDS, Edit, compile_sequence
from proxy.http.exchange import Exchange
from proxy.http.filter_chain import EditHeaders
from proxy.http.headers import Headers
from proxy.http.response_edits import ResponseHead
from proxy.http.stream_info import StreamInfo

PACKAGE = "envoy.extensions.filters.http.header_mutation.v3"
FIELDS: dict[str, tuple[str, ...]] = {
    f"{PACKAGE}.HeaderMutation": ("mutations", "most_specific_header_mutations_wins"),
    f"{PACKAGE}.HeaderMutationPerRoute": ("mutations",),
    f"{PACKAGE}.Mutations": ("request_mutations", "response_mutations"),
    **MUTATION_FIELDS,
}


class Edits(NamedTuple):
    """Those of one configuration."""

    request: tuple[Edit, ...]
    response: tuple[Edit, ...]


class HeaderMutation:
    """Its own mutations first, then those of every level of the route, by default from the most specific to the least:
    the last word is the route configuration's (features §13 rule 10).
    """

    terminal = False

    class Config(msgspec.Struct, frozen=True):
        """`HeaderMutation`, and `HeaderMutationPerRoute`, whose `most_specific_wins` says nothing."""

        request: tuple[Mutation, ...] = ()
        response: tuple[Mutation, ...] = ()
        most_specific_wins: bool = False

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles a `HeaderMutation` message, or a `HeaderMutationPerRoute`."""
        mutations = context.at("mutations")
        return cls.Config(
            request=compile_sequence(message.mutations.request_mutations, mutations.at("request_mutations")),
            response=compile_sequence(message.mutations.response_mutations, mutations.at("response_mutations")),
            most_specific_wins=getattr(message, "most_specific_header_mutations_wins", False),
        )

    @staticmethod
    def prepare(config: Config) -> Edits:
        """A per-route configuration as requests need it."""
        return Edits(tuple(map(Edit, config.request)), tuple(map(Edit, config.response)))

    def __init__(self, name: str, config: Config, context: FilterContext) -> None:
        self.name = name
        self._own = self.prepare(config)
        self._most_specific_wins = config.most_specific_wins

    def on_request_headers(self, exchange: Exchange) -> None:
        for edits in self._levels(exchange):
            for edit in edits.request:
                edit.apply(exchange.request.headers, exchange.info)

    def on_response_headers(self, exchange: Exchange, head: ResponseHead) -> None:
        for edits in self._levels(exchange):
            for edit in edits.response:
                edit.apply(head.headers, exchange.info)

    def express(self, overrides: tuple[Edits, ...]) -> tuple[EditHeaders, EditHeaders] | None:
        """As `HookFilter.express`."""
        levels = self._in_order(overrides)
        request = [edit for edits in levels for edit in edits.request]
        response = [edit for edits in levels for edit in edits.response]
        if not all(edit.constant for edit in (*request, *response)):
            return None
        return partial(_apply, request), partial(_apply, response)

    def _levels(self, exchange: Exchange) -> tuple[Edits, ...]:
        return self._in_order(exchange.filter_configs(self.name))

    def _in_order(self, levels: tuple[Edits, ...]) -> tuple[Edits, ...]:
        return (self._own, *(levels if self._most_specific_wins else reversed(levels)))


_ANY = StreamInfo(0.0)


def _apply(edits: Sequence[Edit], headers: Headers) -> None:
    for edit in edits:
        edit.apply(headers, _ANY)
