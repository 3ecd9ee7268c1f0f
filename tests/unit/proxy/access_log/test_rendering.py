"""Formats as functions: JSON says what its operators say one by one, and a plan says what the whole format says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.access_log.format import Operator, as_text, parse, text_rendering
from proxy.access_log.json_format import compile_json
from proxy.access_log.rendering import Rendering, index
from proxy.http.stream_info import StreamInfo
from tests.unit.proxy.access_log.streams import complete, request
from tests.unit.proxy.access_log.test_inline import OPERATORS, exchanges

FORMATS = st.lists(st.sampled_from(OPERATORS), min_size=1, max_size=6)


def meant(value: Any, info: StreamInfo, *, omit: bool) -> Any:
    """What a JSON format says of an exchange, from its operators alone; None at the top: nothing."""
    if isinstance(value, dict):
        members = {key: meant(member, info, omit=omit) for key, member in value.items()}
        members = {key: member for key, member in members.items() if member is not None or not omit}
        return members if members or not omit else None
    if isinstance(value, list):
        items = [meant(item, info, omit=omit) for item in value]
        return [item for item in items if item is not None or not omit]
    if not isinstance(value, str):
        return value
    pieces = parse(value)
    if len(pieces) == 1 and isinstance(pieces[0], Operator):
        found = pieces[0].get(info)
        return characters(found) if isinstance(found, bytes) else found
    missing = b"" if omit else b"-"
    texts = [as_text(piece.get(info), missing) if isinstance(piece, Operator) else piece for piece in pieces]
    return "".join(map(characters, texts))


def characters(value: bytes) -> str:
    """Bytes as JSON shows them: one by one if they are no UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


@settings(max_examples=80)
@given(exchanges(), FORMATS, st.booleans())
def test_json_says_what_its_operators_say(info: StreamInfo, operators: list[str], omit: bool) -> None:
    alone = {operator: f"%{operator}%" for operator in operators}
    tree = {
        **alone,
        "in": "100%% {x} <" + "".join(alone.values()),
        "deep": {"o": alone, "l": list(alone.values()), "n": 1},
    }
    line = compile_json(tree, omit_empty=omit).render(info)
    assert line.count(b"\n") == 1
    assert json.loads(line) == (meant(tree, info, omit=omit) or {})


def renderings(operators: list[str]) -> list[Rendering]:
    text = "".join(f"%{operator}% 100%% {{x}}\n" for operator in operators)
    tree = {
        "a": {f"k{n}": f"%{operator}%" for n, operator in enumerate(operators)},
        "b": text,
        "c": f"%{operators[0]}%",
    }
    return [text_rendering(text), compile_json(tree, omit_empty=False), compile_json(tree, omit_empty=True)]


def with_other_holes(info: StreamInfo) -> StreamInfo:
    """Another exchange with the same heads but for their holes."""
    info.started, info.started_at, info.ended = 5.0, 1.5e9, 6.5
    info.upstream_host = info.downstream_remote = None
    info.upstream_attempts = 1
    for headers in (info.request and info.request.headers, info.response_headers):
        if headers:
            headers.items = [(name, b"another" if name in HOLES else value) for name, value in headers.items]
    if info.request is not None:
        info.request.path = b"/another"
    return info


HOLES = (b"x-request-id", b"x-envoy-upstream-service-time", b"x-envoy-original-path")
HOLE_OPERATORS = ("REQ(X-REQUEST-ID)", "RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)", "REQ(X-ENVOY-ORIGINAL-PATH?:PATH)")


@settings(max_examples=80)
@given(exchanges(), FORMATS)
def test_a_plan_says_what_the_format_says(info: StreamInfo, operators: list[str]) -> None:
    for headers in (info.request and info.request.headers, info.response_headers):
        if headers:
            headers.items += [(name, b"one") for name in HOLES]
    for rendering in renderings([*operators, *HOLE_OPERATORS]):
        planned = rendering.planned(info)
        other = with_other_holes(info)
        sent = index(other.request.headers if other.request is not None else None)
        assert planned(other, sent, index(other.response_headers)) == rendering.render(other)


def test_a_plan_of_a_forged_line_is_none() -> None:
    info = complete()
    info.request = request((b"x-a", b"a\r\nforged"))
    rendering = text_rendering("%REQ(X-A)% %REQ(:PATH)%\n")
    line = rendering.planned(info)(info, index(info.request.headers), {})
    assert line == rendering.render(info)
    assert (line.count(b"\n"), line.count(b"\r")) == (1, 0)


@pytest.mark.parametrize("omit", [False, True])
def test_keys_and_literals_are_no_code(omit: bool) -> None:
    tree = {"{x} %b\"'\\": "%%b {x}'\"", "o": {"{0}": "%PROTOCOL%", "n": None}}
    line = compile_json(tree, omit_empty=omit).render(complete())
    nothing = {} if omit else {"n": None}
    assert json.loads(line) == {"{x} %b\"'\\": "%b {x}'\"", "o": {"{0}": "HTTP/1.1", **nothing}}
