from __future__ import annotations

from http import HTTPStatus

from proxy.http.h1_reason import reason_phrase


def test_phrases() -> None:
    assert reason_phrase(431) == b"Request Header Fields Too Large"
    assert reason_phrase(HTTPStatus.PERMANENT_REDIRECT) == b"Permanent Redirect"
    assert reason_phrase(299) == b"Unknown"
