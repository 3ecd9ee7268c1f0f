from __future__ import annotations

import pytest

from proxy.http.codec import CodecError
from proxy.http.h1_head import MAX_LEADING_EMPTY_LINES, HeadReader, parse_response
from proxy.http.h1_inbox import Inbox


def reader(raw: bytes, limit: int = 100) -> HeadReader:
    inbox = Inbox()
    inbox.append(raw)
    return HeadReader(inbox, limit)


def test_the_limit_is_exact() -> None:
    head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert reader(head, len(head)).read() == head
    with pytest.raises(CodecError) as caught:
        reader(head, len(head) - 1).read()
    assert caught.value.status == 431


def test_an_endless_head_is_refused_at_the_limit() -> None:
    assert reader(b"x" * 99).read() is None
    with pytest.raises(CodecError) as caught:
        reader(b"x" * 100).read()
    assert caught.value.status == 431


def test_a_bad_octet_is_refused_before_the_head_is_complete() -> None:
    for raw in (b"GET / HTTP/1.1\r\nX: \x00", b"GET / HTTP/1.1\nX", b"GET / HTTP/1.1\rX"):
        with pytest.raises(CodecError) as caught:
            reader(raw).read()
        assert caught.value.status == 400


def test_empty_lines_before_a_request_are_skipped_but_not_for_ever() -> None:
    head = b"GET / HTTP/1.1\r\n\r\n"
    inbox = Inbox()
    heads = HeadReader(inbox, 100)
    for _ in range(3):  # the count starts anew with each request
        inbox.append(b"\r\n" * MAX_LEADING_EMPTY_LINES + head)
        heads.skip_empty_lines()
        assert heads.read() == head
    assert not heads.begun
    inbox.append(b"\r\n" * MAX_LEADING_EMPTY_LINES)
    heads.skip_empty_lines()
    inbox.append(b"\r\n")
    with pytest.raises(CodecError):
        heads.skip_empty_lines()


@pytest.mark.parametrize("status", [100, 102, 103, 199])
def test_interim_responses_are_read(status: int) -> None:
    head = parse_response(b"HTTP/1.1 %d X\r\nA: b\r\n\r\n" % status, max_headers_count=9, upgrading=False)
    assert (head.status, head.headers.items) == (status, [(b"a", b"b")])
