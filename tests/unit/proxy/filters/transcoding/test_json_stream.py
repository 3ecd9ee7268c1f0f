"""An array of JSON in pieces."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.filters.transcoding.json_stream import JsonArray, JsonStreamError
from tests.unit.proxy.filters.http.test_grpc_web import cut, cuts

texts = st.text(st.sampled_from('a"\\[]{}, é'), max_size=6)
values = st.recursive(
    st.none() | st.integers() | texts, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=6
)


def elements(pieces: list[bytes]) -> list[Any]:
    array = JsonArray()
    found = [element for piece in pieces for element in array.feed(piece)]
    array.finish()
    assert array.pending == 0
    return [json.loads(element) for element in found]


@settings(max_examples=60)
@given(st.lists(values, max_size=4), cuts, st.sampled_from([None, 1]))
def test_elements_come_as_they_were_wherever_the_text_is_cut(
    found: list[Any], at: list[int], indent: int | None
) -> None:
    text = json.dumps(found, indent=indent, ensure_ascii=False).encode()
    assert elements(cut(text, at)) == found


@pytest.mark.parametrize(
    "text", [b"", b"  ", b"{}", b"[", b"[1", b"[1,]", b"[,1]", b"[1,,2]", b"[1] x", b"[1]]", b"1", b'["]']
)
def test_what_is_no_array(text: bytes) -> None:
    for pieces in ([text], [bytes((octet,)) for octet in text]):
        with pytest.raises(JsonStreamError):
            elements(pieces)


def test_an_element_comes_as_soon_as_it_is_whole() -> None:
    array = JsonArray()
    assert array.feed(b' [ {"a": "]') == []
    assert array.feed(b'\\"') == []
    assert array.feed(b'"},') == [b'{"a": "]\\""}']
    assert array.pending == 0
    assert array.feed(b"2") == []
    assert array.pending == 1
    assert array.feed(b"]") == [b"2"]
