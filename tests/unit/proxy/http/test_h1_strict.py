from __future__ import annotations

import pytest

from proxy.http import h1_strict
from proxy.http.codec import CodecError


def head(*lines: bytes) -> bytes:
    return b"".join(line + b"\r\n" for line in lines) + b"\r\n"


@pytest.mark.parametrize(("values", "expected"), [([], None), ([b"0"], 0), ([b"007"], 7), ([b"9" * 18], 10**18 - 1)])
def test_content_lengths(values: list[bytes], expected: int | None) -> None:
    assert h1_strict.content_length_of(values) == expected


def test_deciding_lines_are_found_whatever_their_case_and_never_inside_a_value() -> None:
    deciding = h1_strict.Deciding(
        head(b"GET / HTTP/1.1", b"X: host: no", b"HOST:a \t", b"Content-length:  1", b"content-Length: 2", b"Hosts: b")
    )
    assert deciding.host == [b"a"]
    assert deciding.content_length == [b"1", b"2"]
    assert deciding.transfer_encoding == []


def test_a_request_head() -> None:
    raw = head(b"GET /x HTTP/1.1", b"A: b")
    assert h1_strict.check_request_head(raw, max_headers_count=1)[::2] == (b"GET", b"1.1")
    with pytest.raises(CodecError) as caught:
        h1_strict.check_request_head(raw, max_headers_count=0)
    assert caught.value.detail == "http1.too_many_headers"


def test_a_head_without_fields() -> None:
    assert h1_strict.check_request_head(b"GET / HTTP/1.0\r\n\r\n", max_headers_count=0)[::2] == (b"GET", b"1.0")
    assert h1_strict.check_response_head(b"HTTP/1.1 200\r\n\r\n", max_headers_count=0).status == 200


def test_a_cr_at_the_end_may_yet_be_half_a_line_end() -> None:
    h1_strict.check_octets(b"abc\r", 0, 4)
    h1_strict.check_octets(b"abc\r\n", 3, 5)
    with pytest.raises(CodecError):
        h1_strict.check_octets(b"abc\rd", 3, 5)


@pytest.mark.parametrize(
    "authority", [b"a", b"a:80", b"a:", b"1.2.3.4:5", b"[::1]", b"[fe80::1]:80", b"a-b_c.d~e", b"%41", b"*", b"a+b!$"]
)
def test_authorities(authority: bytes) -> None:
    assert h1_strict.AUTHORITY.fullmatch(authority)
