"""JSON formats: types, nesting, what is left out, and how strings are escaped."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access_log.json_format import compile_json
from proxy.access_log.operator import FormatError
from tests.unit.proxy.access_log.streams import complete, failed, request


def line(tree: Any, *, omit_empty: bool = False, info: Any = None) -> bytes:
    return compile_json(tree, omit_empty=omit_empty).render(info or complete())


def test_an_operator_that_stands_alone_keeps_its_type() -> None:
    tree = {
        "code": "%RESPONSE_CODE%",
        "twice": "%RESPONSE_CODE%%RESPONSE_CODE%",
        "text": "%REQ(x-a)%",
        "none": "%REQ(n)%",
    }
    assert line(tree) == b'{"code":200,"none":null,"text":"hello","twice":"200200"}\n'


def test_objects_and_arrays_nest_and_keys_are_sorted() -> None:
    tree = {"z": {"b": ["%RESPONSE_CODE%", {"x": "%PROTOCOL%"}], "a": "lit"}, "B": True, "a": None, "é": 1.0}
    expected = '{"B":true,"a":null,"z":{"a":"lit","b":[200,{"x":"HTTP/1.1"}]},"é":1}\n'
    assert line(tree).decode() == expected


def test_omitted_is_what_has_no_value_and_objects_of_nothing_else() -> None:
    nothing = "%REQ(nope)%"
    tree = {"a": nothing, "b": {"c": nothing}, "l": [nothing, {"x": nothing}], "m": f"[{nothing}]", "n": None, "e": ""}
    assert line(tree, omit_empty=True) == b'{"e":"","l":[],"m":"[]"}\n'
    assert line({"a": nothing}, omit_empty=True) == b"{}\n"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"plain ~", b"plain ~"),
        (b'q"b\\\t', b'q\\"b\\\\\\t'),
        ("é€".encode(), "é€".encode()),
        (b"\xc3\xa9\xff", b"\\u00c3\\u00a9\\u00ff"),
        (b'\xff"\\\t<', b"\\u00ff\\u0022\\u005c\\u0009<"),
    ],
)
def test_escapes(value: bytes, expected: bytes) -> None:
    info = complete()
    info.request = request((b"x-a", value))
    assert line({"k": "%REQ(x-a)%"}, info=info) == b'{"k":"' + expected + b'"}\n'


@pytest.mark.parametrize(
    ("number", "expected"), [(1.0, b"1"), (-2.0, b"-2"), (1.5, b"1.5"), (2.0**60, b"1.152921504606847e+18")]
)
def test_numbers_of_the_configuration(number: float, expected: bytes) -> None:
    assert line({"k": number}) == b'{"k":' + expected + b"}\n"


@given(st.binary(), st.booleans())
def test_whatever_a_client_sends_is_one_line_of_json(value: bytes, omit_empty: bool) -> None:
    info = complete()
    info.request = request((b"x-a", value), path=b"/" + value)
    text = line({"k": "%REQ(x-a)%", "m": "<%REQ(x-a)%>", "p": "%PATH%"}, omit_empty=omit_empty, info=info)
    assert text.count(b"\n") == 1
    assert set(json.loads(text)) == {"k", "m", "p"}


def test_before_a_request_was_read() -> None:
    assert line({"a": "%REQ(:PATH)%", "c": "%RESPONSE_CODE%"}, info=failed()) == b'{"a":null,"c":400}\n'


def test_a_bad_operator_anywhere_is_refused() -> None:
    with pytest.raises(FormatError):
        compile_json({"a": [{"b": "%NOPE%"}]}, omit_empty=False)
