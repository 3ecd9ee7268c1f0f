from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.h1_inbox import Inbox


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=20), st.integers(1, 30))))
def test_what_goes_in_comes_out_in_order(steps: list[tuple[bytes, int]]) -> None:
    inbox, sent, got = Inbox(), b"", b""
    for data, limit in steps:
        inbox.append(data)
        sent += data
        taken = inbox.take(limit)
        assert len(taken) <= limit
        got += taken
        assert len(inbox) == len(sent) - len(got)
    assert got + inbox.take(len(sent)) == sent


@given(st.lists(st.binary(max_size=8), max_size=6), st.integers(0, 12))
def test_lines_are_the_same_however_they_arrive(lines: list[bytes], cut: int) -> None:
    clean = [line.replace(b"\r", b"").replace(b"\n", b"") for line in lines]
    raw = b"".join(line + b"\r\n" for line in clean) + b"rest"
    inbox, found = Inbox(), []
    for part in (raw[:cut], raw[cut:]):
        if part:
            inbox.append(part)
        while (line := inbox.take_line(8)) is not None:
            found.append(line)
    assert found == clean
    assert inbox.take(10) == b"rest"


def test_a_line_has_a_limit_and_ends_in_crlf() -> None:
    inbox = Inbox()
    inbox.append(b"12345")
    assert inbox.take_line(5) is None
    inbox.append(b"\r\n")
    assert inbox.take_line(5) == b"12345"
    for raw in (b"1234567", b"123456\r\n", b"12\n", b"\n"):
        inbox = Inbox()
        inbox.append(raw)
        with pytest.raises(ValueError, match=r"line too long|bare LF"):
            inbox.take_line(5)


def test_a_whole_block_is_not_copied() -> None:
    inbox, block = Inbox(), b"x" * 1000
    inbox.append(block)
    assert inbox.take(1000) is block


def test_a_joined_block_is_bytes() -> None:
    inbox = Inbox()
    inbox.append(b"ab")
    inbox.append(b"cd")
    inbox.skip(1)
    assert inbox.starts_with(b"bc")
    taken = inbox.take(10)
    assert taken == b"bcd"
    assert isinstance(taken, bytes)
    assert inbox.take(10) == b""
