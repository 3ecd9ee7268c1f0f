"""Edits of headers, compiled: those of `header_mutation` one after another, those of a route level by level."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from proxy.access_log.format import Renderer, compile_text, parse
from proxy.access_log.operator import FormatError
from proxy.config.context import CompileContext
from proxy.config.header_mutation import HeaderMutations, Mutation
from proxy.http.h1_strict import TOKEN, VALUE
from proxy.http.headers import Headers
from proxy.http.stream_info import StreamInfo
from proxy.route.finish import EditHeaders, HeaderEdits

OPTION_FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.core.v3.HeaderValueOption": ("header", "append_action", "keep_empty_value"),
    "envoy.config.core.v3.HeaderValue": ("key", "value"),
}
MUTATION_FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.common.mutation_rules.v3.HeaderMutation": ("remove", "append"),
    **OPTION_FIELDS,
}


class Edit:
    """A `Mutation`, compiled. `constant`: it does the same to every exchange."""

    __slots__ = ("action", "constant", "keep_empty", "name", "render")

    def __init__(self, mutation: Mutation) -> None:
        self.name = mutation.name
        self.action = mutation.action
        self.keep_empty = mutation.keep_empty
        self.constant = "%" not in mutation.value
        self.render: Renderer = compile_text(mutation.value, missing=b"")

    def apply(self, headers: Headers, info: StreamInfo) -> None:
        """An overwritten header moves to the end, and an empty value changes nothing, as in Envoy."""
        name, action = self.name, self.action
        if action == "REMOVE":
            headers.remove(name)
            return
        value = self.render(info)
        if not value and not self.keep_empty:
            return
        if action == "APPEND_IF_EXISTS_OR_ADD":
            headers.add(name, value)
        elif action == "ADD_IF_ABSENT":
            if name not in headers:
                headers.add(name, value)
        elif headers.remove(name) or action == "OVERWRITE_IF_EXISTS_OR_ADD":
            headers.add(name, value)


class LevelEdits:
    """The mutations of one level of a route, applied together (`HeaderParser::evaluateHeaders`): removals; then all
    values, which see the headers as these left them; then what overwrites; then what is added.
    """

    __slots__ = ("_removed", "_written", "constant")

    def __init__(self, mutations: Iterable[Mutation]) -> None:
        edits = [Edit(mutation) for mutation in mutations]
        self._removed = [edit.name for edit in edits if edit.action == "REMOVE"]
        self._written = [edit for edit in edits if edit.action != "REMOVE"]
        self.constant = all(edit.constant for edit in edits)

    def apply(self, headers: Headers, info: StreamInfo) -> None:
        for name in self._removed:
            headers.remove(name)
        overwritten, added = [], []
        for edit in self._written:
            value = edit.render(info)
            if not value and not edit.keep_empty:
                continue
            match edit.action:
                case "APPEND_IF_EXISTS_OR_ADD":
                    added.append((edit.name, value))
                case "ADD_IF_ABSENT":
                    if edit.name not in headers:
                        added.append((edit.name, value))
                case "OVERWRITE_IF_EXISTS":
                    if edit.name in headers:
                        overwritten.append((edit.name, value))
                case _:
                    overwritten.append((edit.name, value))
        for name, value in overwritten:
            headers.remove(name)
            headers.add(name, value)
        headers.items += added


class RouteEdits:
    """Compiles the mutations of routes (`proxy.route.finish.CompileEdits`). What many routes have in common, those of
    their virtual host, is compiled once.
    """

    def __init__(self) -> None:
        self._compiled: dict[tuple[Mutation, ...], LevelEdits] = {}

    def __call__(self, levels: tuple[HeaderMutations, ...]) -> HeaderEdits:
        request = [self._level(level.request) for level in levels if level.request]
        response = [self._level(level.response) for level in levels if level.response]
        return HeaderEdits(
            _in_turn(request), _in_turn(response), all(edits.constant for edits in (*request, *response))
        )

    def _level(self, mutations: tuple[Mutation, ...]) -> LevelEdits:
        if mutations not in self._compiled:
            self._compiled[mutations] = LevelEdits(mutations)
        return self._compiled[mutations]


def _in_turn(levels: list[LevelEdits]) -> EditHeaders | None:
    if len(levels) <= 1:
        return levels[0].apply if levels else None

    def apply(headers: Headers, info: StreamInfo) -> None:
        for level in levels:
            level.apply(headers, info)

    return apply


def compile_request_edits(mutations: tuple[Mutation, ...]) -> EditHeaders | None:
    """Those of a request of our own; None if there are none."""
    return LevelEdits(mutations).apply if mutations else None


def compile_mutations(message: Any, context: CompileContext) -> HeaderMutations:
    """The four lists of a message that has them all: route configuration, virtual host, route, weighted cluster."""
    return HeaderMutations(
        request=_both(message, "request_headers_to_", context),
        response=_both(message, "response_headers_to_", context),
    )


def _both(message: Any, prefix: str, context: CompileContext) -> tuple[Mutation, ...]:
    removed, added = f"{prefix}remove", f"{prefix}add"
    return (
        *(compile_removal(name, context, removed, index) for index, name in enumerate(getattr(message, removed))),
        *(compile_option(option, context.at(added, index)) for index, option in enumerate(getattr(message, added))),
    )


def compile_sequence(messages: Iterable[Any], context: CompileContext) -> tuple[Mutation, ...]:
    """A list of `HeaderMutation`s, which are done one after another; `context` stands for it."""
    compiled = (_mutation(message, context.at(index)) for index, message in enumerate(messages))
    return tuple(mutation for mutation in compiled if mutation is not None)


def _mutation(message: Any, context: CompileContext) -> Mutation | None:
    """None for an action that is not one of ours."""
    kind = message.WhichOneof("action")
    if kind == "remove":
        return compile_removal(message.remove, context, "remove")
    if kind != "append":
        return None
    return compile_option(message.append, context.at("append"))


def compile_removal(name: str, context: CompileContext, *path: str | int) -> Mutation:
    """The removal of header `name`, which stands at `path`."""
    return Mutation(_name(name, context, *path), "REMOVE")


def compile_option(option: Any, context: CompileContext) -> Mutation:
    """A `HeaderValueOption` message."""
    name = _name(option.header.key, context, "header", "key")
    value = _value(option.header.value, context.at("header"))
    actions = type(option).DESCRIPTOR.enum_types_by_name["HeaderAppendAction"].values_by_number
    return Mutation(name, actions[option.append_action].name, value, option.keep_empty_value)


def _name(name: str, context: CompileContext, *path: str | int) -> bytes:
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
        parse(text, formatters=())
    except FormatError as error:
        context.error(("value",), error.message, error.expected)
        return ""
    if not VALUE.fullmatch(text.encode()):
        context.error(("value",), f"{text!r} is not a header value", "no control characters")
    return text
