"""`envoy.filters.http.header_mutation`: adds, overwrites and removes headers of requests and responses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from proxy.config.context import CompileContext
from proxy.filters.context import FilterContext
from proxy.http.exchange import Exchange, ResponseHead
from proxy.http.h1_strict import TOKEN, VALUE
from proxy.http.headers import Headers

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
    """One line of the list; `action` is `HeaderValueOption.HeaderAppendAction`, or the removal of `name`."""

    name: bytes
    action: Action
    value: bytes = b""

    def apply(self, headers: Headers) -> None:
        """An overwritten header moves to the end, as in Envoy."""
        name, action = self.name, self.action
        if action == "REMOVE":
            headers.remove(name)
        elif action == "APPEND_IF_EXISTS_OR_ADD":
            headers.add(name, self.value)
        elif action == "ADD_IF_ABSENT":
            if name not in headers:
                headers.add(name, self.value)
        elif headers.remove(name) or action == "OVERWRITE_IF_EXISTS_OR_ADD":
            headers.add(name, self.value)


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

    def __init__(self, name: str, config: Config, context: FilterContext) -> None:
        self._name = name
        self._config = config

    def on_request_headers(self, exchange: Exchange) -> None:
        for config in self._configs(exchange):
            for mutation in config.request:
                mutation.apply(exchange.request.headers)

    def on_response_headers(self, exchange: Exchange, head: ResponseHead) -> None:
        for config in self._configs(exchange):
            for mutation in config.response:
                mutation.apply(head.headers)

    def _configs(self, exchange: Exchange) -> Iterable[Config]:
        levels = exchange.filter_configs(self._name)
        return (self._config, *(levels if self._config.most_specific_wins else reversed(levels)))


def _mutations(messages: Iterable[Any], context: CompileContext) -> tuple[Mutation, ...]:
    compiled = (_mutation(message, context.at(index)) for index, message in enumerate(messages))
    return tuple(mutation for mutation in compiled if mutation is not None)


def _mutation(message: Any, context: CompileContext) -> Mutation | None:
    """None for one without effect, and for an action that is not one of ours."""
    kind = message.WhichOneof("action")
    if kind == "remove":
        return Mutation(_name(message.remove, context, "remove"), "REMOVE")
    if kind != "append":
        return None
    option = message.append
    name = _name(option.header.key, context, "append", "header", "key")
    value = _value(option.header.value, context.at("append", "header"))
    if not value and not option.keep_empty_value:
        return None
    actions = type(option).DESCRIPTOR.enum_types_by_name["HeaderAppendAction"].values_by_number
    return Mutation(name, actions[option.append_action].name, value)


def _name(name: str, context: CompileContext, *path: str) -> bytes:
    """Framing and routing see neither a pseudo header nor `host` change behind their backs."""
    encoded = name.lower().encode()
    if name.startswith(":") or encoded == b"host":
        context.error(path, ":-prefixed or host headers may not be modified", "another header")
    elif not TOKEN.fullmatch(encoded):
        context.error(path, f"{name!r} is not a header name", "a token (RFC 9110 section 5.6.2)")
    return encoded


def _value(text: str, context: CompileContext) -> bytes:
    """The literal value; `%%` stands for one percent sign."""
    literal = text.replace("%%", "")
    value = text.replace("%%", "%").encode()
    if "%" in literal:
        context.error(("value",), "command operators (%…%) are not supported here", "a literal value; %% for a %")
    elif not VALUE.fullmatch(value):
        context.error(("value",), f"{text!r} is not a header value", "no control characters")
    return value
