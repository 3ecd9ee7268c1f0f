"""A format as one function says what its operators say one by one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.access_log.format import Operator, as_text, compile_text, parse
from proxy.access_log.substitution import DEFAULT_TEXT
from proxy.config.common import PipeAddress, SocketAddress
from proxy.errors import Flag
from proxy.http.headers import Headers
from proxy.http.request import Request
from proxy.http.stream_info import Flags, StreamInfo

OPERATORS = (
    "START_TIME", "START_TIME(%s.%3f)", "START_TIME(100%% %Y %6f)", "REQ(:METHOD)", "REQ(:PATH)", "REQ(:AUTHORITY)",
    "REQ(HOST)", "REQ(:SCHEME)", "REQ(X-A)", "REQ(X-A?:PATH)", "REQ(X-MISSING?X-A)", "REQ(COOKIE)", "REQ(ACCEPT)",
    "REQ(X-A):3", "RESP(X-A)", "RESP(X-B?X-A)", "RESP(:STATUS)", "RESP(:STATUS?X-A)", "PROTOCOL", "RESPONSE_CODE",
    "RESPONSE_FLAGS", "RESPONSE_CODE_DETAILS", "BYTES_RECEIVED", "BYTES_SENT", "DURATION", "UPSTREAM_HOST",
    "UPSTREAM_CLUSTER", "ROUTE_NAME", "HOSTNAME", "UPSTREAM_REQUEST_ATTEMPT_COUNT",
)  # fmt: skip

names = st.sampled_from([b"x-a", b"x-b", b"accept", b"cookie", b"via"])
texts = st.binary(max_size=6) | st.sampled_from([b"a\r\nb", b"\n", b"%", b"-"])
headers = st.lists(st.tuples(names, texts), max_size=6).map(Headers)
addresses = st.none() | st.builds(SocketAddress, st.sampled_from(["::1", "127.0.0.1"]), st.integers(0, 65535))
hosts = addresses | st.builds(PipeAddress, st.just("/run/x"))


@st.composite
def exchanges(draw: st.DrawFn) -> StreamInfo:
    info = StreamInfo(draw(st.sampled_from([0.0, 1.5])))
    info.started_at = draw(st.floats(0, 4e9))
    info.ended = draw(st.sampled_from([0.0, 1.0, 2.75]))
    info.status = draw(st.sampled_from([0, 200, 503]))
    info.is_http = draw(st.booleans())
    info.flags = Flags(draw(st.lists(st.sampled_from(Flag), max_size=2, unique=True)))
    info.detail = draw(st.sampled_from(["", "via_upstream", "a b\nc"]))
    info.route_name = draw(st.sampled_from(["", "r"]))
    info.upstream_cluster = draw(st.sampled_from(["", "c"]))
    info.upstream_host = draw(hosts)
    info.bytes_sent, info.bytes_received = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    info.response_headers = draw(st.none() | headers)
    if draw(st.booleans()):
        request = info.request = Request()
        request.method, request.scheme, request.protocol = b"GET", b"http", "HTTP/1.1"
        request.path, request.authority = draw(texts), draw(texts)
        request.headers = draw(headers)
    return info


def one_by_one(text: str, info: StreamInfo) -> bytes:
    return b"".join(as_text(piece.get(info)) if isinstance(piece, Operator) else piece for piece in parse(text))


@settings(max_examples=60)
@given(exchanges(), st.lists(st.sampled_from(OPERATORS), min_size=1, max_size=8))
def test_one_function_says_what_its_operators_say(info: StreamInfo, operators: list[str]) -> None:
    text = "".join(f"%{operator}% 100%% {{x}}\n" for operator in operators)
    assert compile_text(text)(info) == one_by_one(text, info)


@settings(max_examples=40)
@given(exchanges())
def test_the_default_format(info: StreamInfo) -> None:
    line = compile_text(DEFAULT_TEXT)(info)
    assert line == one_by_one(DEFAULT_TEXT, info)
    assert (line.count(b"\n"), line.count(b"\r")) == (1, 0)


@pytest.mark.parametrize("text", ["%REQ(X-A)%", "a%RESP(X-A)%b", "%REQ(:PATH)%\r\n"])
def test_no_value_forges_a_line(text: str) -> None:
    info = StreamInfo(1.0)
    info.request = Request()
    info.request.path = b"/\nforged"
    info.request.headers = info.response_headers = Headers([(b"x-a", b"a\r\nforged")])
    assert b"\\nforged" in compile_text(text)(info)
    assert compile_text(text)(info) == one_by_one(text, info)
