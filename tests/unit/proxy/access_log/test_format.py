"""Text with operators: what is accepted, what is refused and how, and that one exchange is one line."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access_log.format import compile_text
from proxy.access_log.operator import FormatError, Structured
from proxy.access_log.operators import NOT_SUPPORTED, OPERATORS
from tests.unit.proxy.access_log.streams import complete, failed, render, request


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("100%%", "100%"),
        ("%%PROTOCOL%%", "%PROTOCOL%"),
        ("%REQ(:METHOD)%%%%RESPONSE_CODE%", "GET%200"),
        ("%RESPONSE_CODE%%RESPONSE_CODE%", "200200"),
        ("%PROTOCOL()%", "HTTP/1.1"),
        ("%REQ(x-a)%:3", "hello:3"),
        ("%REQ(X-A):3%|%REQ(X-A):0%|%REQ(X-A):99%", "hel||hello"),
        ("%REQ(NOPE):3%", "-"),
        ("100 %% é\n", "100 % é\n"),
    ],
)
def test_text(text: str, expected: str) -> None:
    assert render(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a%", "offset 1"),
        ("%", "offset 0"),
        ("100% b", "offset 3"),
        ("%REQ(%", "offset 0"),
        ("%REQ(a)x%", "offset 0"),
        ("%REQ(a):x%", "offset 0"),
        ("%REQ(a)%%", "offset 8"),
        ("%PROTOCOL %", "offset 0"),
        ("%protocol%", "offset 0"),
        ("%PROTOCOL(x)%", "no parameters"),
        ("%PROTOCOL:3%", "no maximal length"),
        ("%START_TIME:3%", "no maximal length"),
        ("%REQ(a):99999999999999999999%", "out of range"),
        ("%NOSUCH%", "unknown operator"),
        ("%DOWNSTREAM_LOCAL_CLOSE_REASON%", "not supported"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        compile_text(text)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [("%RESPONSE_COD%", "%RESPONSE_CODE%"), ("%REGX(a)%", "%REQ%"), ("%start_time%", "%START_TIME%"), ("% %", "")],
)
def test_the_nearest_operator_is_named(text: str, suggestion: str) -> None:
    with pytest.raises(FormatError) as caught:
        compile_text(text)
    assert caught.value.suggestion == suggestion


def test_what_is_missing_may_be_empty() -> None:
    assert compile_text("[%REQ(nope)%]", missing=b"")(complete()) == b"[]"


def test_no_operator_is_both_supported_and_not() -> None:
    assert not OPERATORS.keys() & NOT_SUPPORTED.keys()


PARAMETERS = {
    "REQ": "x",
    "REQ_WITHOUT_QUERY": ":path",
    "RESP": "x",
    "TRAILER": "x",
    "QUERY_PARAM": "x",
    "ENVIRONMENT": "x",
    "COALESCE": '{"operators": ["PROTOCOL"]}',
    "COMMON_DURATION": "DS_RX_BEG:DS_TX_END",
    "REQUEST_HEADER": "x",
    "RESPONSE_HEADER": "x",
    "RESPONSE_TRAILER": "x",
    "CEL": "request.path",
    "TYPED_CEL": "response.code",
    "DYNAMIC_METADATA": "namespace:key",
    "FILTER_STATE": "key",
    "METADATA": "DYNAMIC:namespace",
    "UPSTREAM_FILTER_STATE": "key",
}


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_has_a_value_for_every_end(name: str) -> None:
    """A number, bytes or nothing: whatever became of the exchange."""
    getter = OPERATORS[name](PARAMETERS.get(name))
    for info in (complete(), failed()):
        assert isinstance(getter(info), bytes | int | Structured | None)


def test_an_escaped_line_break_in_a_parameter_stays_escaped() -> None:
    info = complete()
    info.request = request(path=b"/?a=x%0d%0ay")
    assert compile_text("%QUERY_PARAM(a)%")(info) == b"x\\r\\ny"


@given(st.binary(), st.binary())
def test_no_header_or_path_forges_a_line(value: bytes, path: bytes) -> None:
    info = complete()
    info.request = request((b"x-a", value), (b"user-agent", value), path=path)
    text = "%REQ(x-a)%|%REQ(user-agent)%|%REQ(:path)%|%PATH(NQ)%|%QUERY_PARAM(a)%"
    line = compile_text(text + "\n")(info)
    assert line.endswith(b"\n")
    assert not re.search(rb"[\r\n]", line[:-1])


@given(st.text())
def test_any_text_renders_or_is_refused(text: str) -> None:
    with contextlib.suppress(FormatError):
        assert isinstance(compile_text(text)(complete()), bytes)
