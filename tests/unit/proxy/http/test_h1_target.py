from __future__ import annotations

import pytest

from proxy.http.codec import CodecError
from proxy.http.h1_target import parse_target


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        (b"GET", b"/", (b"", b"host", b"/")),
        (b"GET", b"/a?b=c/d", (b"", b"host", b"/a?b=c/d")),
        (b"GET", b"//other/x", (b"", b"host", b"//other/x")),
        (b"GET", b"http://b/x", (b"http", b"b", b"/x")),
        (b"GET", b"HTTPS://B:8443", (b"https", b"B:8443", b"/")),
        (b"GET", b"http://b?q", (b"http", b"b", b"/?q")),
        (b"OPTIONS", b"*", (b"", b"host", b"*")),
        (b"CONNECT", b"b:443", (b"", b"b:443", b"")),
        (b"CONNECT", b"[::1]:443", (b"", b"[::1]:443", b"")),
    ],
)
def test_forms(method: bytes, target: bytes, expected: tuple[bytes, bytes, bytes]) -> None:
    assert parse_target(method, target, b"host") == expected


@pytest.mark.parametrize(
    ("method", "target", "detail"),
    [
        (b"GET", b"*", "http1.invalid_url"),
        (b"GET", b"b:443", "http1.codec_error"),
        (b"GET", b"a/b", "http1.codec_error"),
        (b"GET", b"ftp://b/", "http1.invalid_scheme"),
        (b"GET", b"http://", "http1.invalid_url"),
        (b"GET", b"http://u@b/", "http1.invalid_url"),
        (b"GET", b"/#", "path_normalization_failed"),
        (b"CONNECT", b"b", "http1.invalid_url"),
        (b"CONNECT", b"b:", "http1.invalid_url"),
        (b"CONNECT", b"b:0", "http1.invalid_url"),
        (b"CONNECT", b"b:65536", "http1.invalid_url"),
        (b"CONNECT", b"/b:1", "http1.invalid_url"),
        (b"CONNECT", b"http://b:1", "http1.invalid_url"),
    ],
)
def test_refused(method: bytes, target: bytes, detail: str) -> None:
    with pytest.raises(CodecError) as caught:
        parse_target(method, target, b"host")
    assert (caught.value.status, caught.value.detail) == (400, detail)
