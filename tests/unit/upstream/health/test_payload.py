"""Pieces of an answer, found in whatever pieces it comes."""

from __future__ import annotations

import pytest

from proxy.upstream.health.payload import PayloadMatcher


@pytest.mark.parametrize(
    ("pieces", "answer", "matches"),
    [
        ([], b"", True),
        ([b""], b"", True),
        ([b"ab"], b"ab", True),
        ([b"ab"], b"xxabyy", True),
        ([b"ab"], b"ba", False),
        ([b"ab", b"cd"], b"ab--cd", True),
        ([b"ab", b"cd"], b"cd--ab", False),
        ([b"aa", b"aa"], b"aaa", False),
        ([b"aa", b"aa"], b"aaaa", True),
        ([b"aab"], b"aaab", True),
        ([b"\x00\xff"], b"\x00\x00\xff", True),
    ],
)
def test_matches_however_it_comes(pieces: list[bytes], answer: bytes, matches: bool) -> None:
    whole = PayloadMatcher(pieces)
    whole.feed(answer)
    assert whole.matched is matches
    for cut in range(len(answer) + 1):
        halves = PayloadMatcher(pieces)
        halves.feed(answer[:cut])
        halves.feed(answer[cut:])
        assert halves.matched is matches
    bytewise = PayloadMatcher(pieces)
    for index in range(len(answer)):
        bytewise.feed(answer[index : index + 1])
    assert bytewise.matched is matches


def test_no_more_is_kept_than_may_begin_a_piece() -> None:
    matcher = PayloadMatcher([b"needle"])
    for _ in range(100):
        matcher.feed(b"n" * 1000)
    assert len(matcher._rest) == len(b"needle") - 1
