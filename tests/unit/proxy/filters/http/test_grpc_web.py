"""`grpc_web`: base64 in both directions at any cut; what it says to Envoy's clients is in `tests/parity`."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import ProxyError
from proxy.filters.http.grpc_web import _FromBase64, _ToTextOfWeb
from proxy.http.headers import Headers
from proxy.http.response_edits import ResponseHead
from tests.kit.trio import run_trio
from tests.unit.proxy.filters.http.through import through

FILTER = '{name: w, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb}}'


LAST = b"0\r\n\r\n"


def frame(data: bytes, flags: int = 0) -> bytes:
    return bytes((flags,)) + len(data).to_bytes(4, "big") + data


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({at % (len(data) + 1) for at in cuts})
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


messages = st.lists(st.binary(max_size=40), max_size=4)
cuts = st.lists(st.integers(0, 300), max_size=6)


@given(messages, cuts)
def test_each_frame_is_base64_of_its_own_wherever_it_is_cut(bodies: list[bytes], at: list[int]) -> None:
    edit = _ToTextOfWeb(None)
    edit.begin(ResponseHead(200, Headers([(b"content-type", b"application/grpc")])), end_stream=False)
    sent = b"".join(map(edit.feed, cut(b"".join(map(frame, bodies)), at)))
    rest, trailers = edit.finish(Headers([(b"grpc-status", b"0")]))
    expected = [*map(frame, bodies), frame(b"grpc-status:0\r\n", 0x80)]
    assert sent + rest == b"".join(map(base64.b64encode, expected))
    assert trailers is None


@given(st.binary(min_size=1, max_size=60), cuts)
def test_a_response_that_breaks_off_within_a_frame_loses_nothing(data: bytes, at: list[int]) -> None:
    edit = _ToTextOfWeb(None)
    edit.begin(ResponseHead(200, Headers([(b"content-type", b"application/grpc")])), end_stream=False)
    message = frame(data)[:-1]
    sent = b"".join(map(edit.feed, cut(message, at))) + edit.finish(None)[0]
    assert base64.b64decode(sent, validate=True) == message


@given(messages, cuts)
def test_base64_of_requests_may_be_padded_anywhere_and_cut_anywhere(bodies: list[bytes], at: list[int]) -> None:
    transform = _FromBase64()
    pieces = cut(b"".join(map(base64.b64encode, bodies)), at)
    assert b"".join(map(transform.feed, pieces)) + transform.finish() == b"".join(bodies)


@given(st.binary(max_size=30), cuts)
def test_what_is_no_base64_is_refused(data: bytes, at: list[int]) -> None:
    transform = _FromBase64()
    try:
        decoded: bytes | ProxyError = b"".join(map(transform.feed, cut(data, at))) + transform.finish()
    except ProxyError as error:
        decoded = error
    if isinstance(decoded, ProxyError):
        assert (decoded.status, decoded.detail[:26]) == (400, "grpc_base_64_decode_failed")
    else:
        assert len(decoded) <= len(data) // 4 * 3


@run_trio
async def test_a_response_without_trailers_ends() -> None:
    kind = b"application/grpc-web-text+proto"
    request = b"POST /s/m HTTP/1.1\r\nhost: a\r\ncontent-type: %b\r\naccept: %b\r\ncontent-length: 8\r\n\r\n" % (
        kind,
        kind,
    )
    response = b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ncontent-length: 6\r\n\r\n" + frame(b"x")
    head, answer = await through(FILTER, request, body=base64.b64encode(frame(b"")), up=LAST, response=response)
    assert b"\r\ncontent-type: application/grpc\r\n" in head
    assert answer.endswith(b"8\r\nAAAAAAF4\r\n0\r\n\r\n")


@run_trio
async def test_an_answer_that_is_no_grpc_is_kept_up_to_a_bound() -> None:
    request = b"POST /s/m HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc-web\r\ncontent-length: 5\r\n\r\n"
    response = b"HTTP/1.1 404 Not Found\r\ncontent-length: 50000\r\n\r\n" + b"a" * 50000
    _, answer = await through(FILTER, request, body=frame(b""), up=LAST, response=response)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"\r\ngrpc-message: %b\r\n" % (b"a" * 16384) in answer
