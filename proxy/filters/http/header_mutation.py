"""`envoy.filters.http.header_mutation`: adds, overwrites and removes headers of requests and responses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import msgspec

from proxy.access_log.format import compile_text
from proxy.access_log.operator import FormatError
from proxy.config.context import CompileContext
from proxy.filters.context import FilterContext
from proxy.http.exchange import Exchange, ResponseHead
from proxy.http.filter_chain import EditHeaders
from proxy.http.h1_strict import TOKEN, VALUE
from proxy.http.headers import Headers
from proxy.http.stream_info import StreamInfo

PACKAGE = "envoy.extensions.filters.http.header_mutation.v3"
FIELDS: dict[str, tuple[str, ...]] = {
    f"{PACKAGE}.HeaderMutation": ("mutations", "most_specific_header_mutations_wins"),
    f"{PACKAGE}.HeaderMutationPerRoute": ("mutations",),
    f"{PACKAGE}.Mutations": ("request_mutations", "response_mutations"),
    "envoy.config.common.mutation_rules.v3.HeaderMutation": ("remove", "append"),
    "envoy.config.core.v3.HeaderValueOption": ("header", "append_action", "keep_empty_value"),
    "envoy.config.core.v3.HeaderValue": ("key", "value"),
}

Action = Literal[
    "APPEND_IF_EXISTS_OR_ADD", "ADD_IF_ABSENT", "OVERWRITE_IF_EXISTS_OR_ADD", "OVERWRITE_IF_EXISTS", "REMOVE"
]


class Mutation(msgspec.Struct, frozen=True, gc=False):
    """One line of the list; `action` is `HeaderValueOption.HeaderAppendAction`, or the removal of `name`. `value` may
    hold command operators (`%REQ(x)%`).
    """

    name: bytes
    action: Action
    value: str = ""
    keep_empty: bool = False


class Edit:
    """A `Mutation`, compiled. `constant`: it does the same to every exchange."""

    __slots__ = ("_action", "_keep_empty", "_name", "_render", "constant")

    def __init__(self, mutation: Mutation) -> None:
        self._name = mutation.name
        self._action = mutation.action
        self._keep_empty = mutation.keep_empty
        self.constant = "%" not in mutation.value
        self._render = compile_text(mutation.value, missing=b"")

    def apply(self, headers: Headers, info: StreamInfo) -> None:
        """An overwritten header moves to the end, and an empty value changes nothing, as in Envoy."""
        name, action = self._name, self._action
        if action == "REMOVE":
            headers.remove(name)
            return
        value = self._render(info)
        if not value and not self._keep_empty:
            return
        if action == "APPEND_IF_EXISTS_OR_ADD":
            headers.add(name, value)
        elif action == "ADD_IF_ABSENT":
            if name not in headers:
                headers.add(name, value)
        elif headers.remove(name) or action == "OVERWRITE_IF_EXISTS_OR_ADD":
            headers.add(name, value)


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
            request=_mutations(message.mutations.request_mutations, mutations.at("request_mutations")),
            response=_mutations(message.mutations.response_mutations, mutations.at("response_mutations")),
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


def _mutations(messages: Iterable[Any], context: CompileContext) -> tuple[Mutation, ...]:
    compiled = (_mutation(message, context.at(index)) for index, message in enumerate(messages))
    return tuple(mutation for mutation in compiled if mutation is not None)


def _mutation(message: Any, context: CompileContext) -> Mutation | None:
    """None for an action that is not one of ours."""
    kind = message.WhichOneof("action")
    if kind == "remove":
        return Mutation(_name(message.remove, context, "remove"), "REMOVE")
    if kind != "append":
        return None
    option = message.append
    name = _name(option.header.key, context, "append", "header", "key")
    value = _value(option.header.value, context.at("append", "header"))
    actions = type(option).DESCRIPTOR.enum_types_by_name["HeaderAppendAction"].values_by_number
    return Mutation(name, actions[option.append_action].name, value, option.keep_empty_value)


def _name(name: str, context: CompileContext, *path: str) -> bytes:
    """Framing and routing see neither a pseudo header nor `host` change behind their backs."""
    encoded = name.lower().encode()
    if name.startswith(":") or encoded == b"host":
        context.error(path, ":-prefixed or host headers may not be modified", "another header")
    elif not TOKEN.fullmatch(encoded):
        context.error(path, f"{name!r} is not a header name", "a token (RFC 9110 section 5.6.2)")
    return encoded


def _value(text: str, context: CompileContext) -> str:
    """A value with command operators; `%%` stands for one percent sign."""
    try:
        compile_text(text)
    except FormatError as error:
        context.error(("value",), error.message, error.expected)
        return ""
    if not VALUE.fullmatch(text.encode()):
        context.error(("value",), f"{text!r} is not a header value", "no control characters")
    return text
