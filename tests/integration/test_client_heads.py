"""The heads that real clients send take the express lane (tests/corpus/client_heads), each of them."""

from __future__ import annotations

import pytest
import trio

from bench.client_heads import corpus, served_by_lane

HEADS = corpus()


@pytest.mark.parametrize("client", ["chromium", "curl", "firefox", "go", "requests", "wrk"])
def test_every_head_of_a_client_takes_the_lane(client: str) -> None:
    heads = HEADS[client]
    assert heads
    served = trio.run(served_by_lane, heads)
    assert [head for head, well in zip(heads, served, strict=True) if not well] == []


def test_what_is_not_plain_does_not_and_is_answered_all_the_same() -> None:
    head = b"GET /item HTTP/1.1\r\nhost: 127.0.0.1\r\n"
    heads = [head + b"\r\n", head + b"expect: 100-continue\r\n\r\n", head + b"\r\n"]
    assert trio.run(served_by_lane, heads) == [True, False, True]
