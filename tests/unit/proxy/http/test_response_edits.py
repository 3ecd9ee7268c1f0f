"""Edits of whole responses, as filters register them: who sees what, and when the head goes out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proxy import testing
from proxy.errors import ProxyError
from proxy.http.headers import Headers
from proxy.http.response_edits import HeldBody
from proxy.python_filter import CallNext, Exchange, ResponseEdit, ResponseHead


class Whole(ResponseEdit):
    """Holds the head until the end, and says there how long the body is."""

    def __init__(self, name: bytes = b"x-size") -> None:
        self.name = name
        self.body = b""

    def begin(self, head: ResponseHead, *, end_stream: bool) -> None:
        self.head = head
        self.holds = True

    def feed(self, data: bytes) -> bytes:
        self.body += data
        return b""

    def finish(self, trailers: Headers | None) -> tuple[bytes, Headers | None]:
        self.head.headers.set(self.name, b"%d" % len(self.body))
        self.head.headers.set(b"content-length", b"%d" % len(self.body))
        return self.body, trailers


class First(ResponseEdit):
    """Holds the head until three bytes are there."""

    def __init__(self) -> None:
        self.body = b""

    def begin(self, head: ResponseHead, *, end_stream: bool) -> None:
        self.head = head
        self.holds = not end_stream

    def feed(self, data: bytes) -> bytes:
        self.body += data
        if len(self.body) < 3:
            return b""
        if self.holds:
            self.head.headers.set(b"x-first", self.body[:3])
            self.holds = False
        data, self.body = self.body, b""
        return data

    def finish(self, trailers: Headers | None) -> tuple[bytes, Headers | None]:
        return self.body, trailers


class Add(ResponseEdit):
    """Adds a letter to the body, whatever it is."""

    def __init__(self, letter: bytes) -> None:
        self.letter = letter

    def begin(self, head: ResponseHead, *, end_stream: bool) -> None:
        self.holds = end_stream

    def finish(self, trailers: Headers | None) -> tuple[bytes, Headers | None]:
        return self.letter, trailers


class Refuse(ResponseEdit):
    def begin(self, head: ResponseHead, *, end_stream: bool) -> None:
        raise ProxyError("refused", side="upstream", status=502, body="refused")


class RefuseLater(Whole):
    def feed(self, data: bytes) -> bytes:
        raise ProxyError("refused", side="upstream", status=502, body="refused")


def run(*edits: ResponseEdit | Callable[[ResponseHead], None], body: bytes | list[bytes] = b"hello") -> testing.Result:
    """A response through `edits`, the outermost first."""

    async def register(exchange: Exchange, call_next: CallNext) -> None:
        for edit in edits:
            if isinstance(edit, ResponseEdit):
                exchange.edit_response(edit)
            else:
                exchange.on_response_headers(edit)
        await call_next(exchange)

    result = testing.run(register, upstream=testing.Response(body=body))
    assert result.exceptions == ()
    return result


def mark(name: bytes) -> Callable[[ResponseHead], None]:
    return lambda head: head.headers.set(name, b",".join(key for key, _ in head.headers if key.startswith(b"x-")))


def test_a_head_that_is_held_is_edited_until_the_end_and_seen_by_outer_hooks_then() -> None:
    result = run(mark(b"x-outer"), Whole(), mark(b"x-inner"), body=[b"he", b"llo"])
    assert result.headers.get(b"x-size") == b"5"
    assert result.headers.get(b"content-length") == b"5"
    assert result.headers.get(b"x-inner") == b""
    assert result.headers.get(b"x-outer") == b"x-inner,x-size"
    assert result.body == b"hello"


def test_a_head_may_be_released_before_the_end() -> None:
    result = run(mark(b"x-outer"), First(), body=[b"h", b"e", b"llo", b" you"])
    assert result.headers.get(b"x-first") == b"hel"
    assert result.headers.get(b"x-outer") == b"x-first"
    assert result.headers.get(b"content-length") is None
    assert result.body == b"hello you"
    assert run(First(), body=[b"h"]).body == b"h"


def test_several_hold_one_after_the_other() -> None:
    result = run(Whole(b"x-a"), First(), Add(b"!"), Whole(b"x-b"), body=[b"he", b"llo"])
    assert result.body == b"hello!"
    assert (result.headers.get(b"x-a"), result.headers.get(b"x-b")) == (b"6", b"5")
    assert result.headers.get(b"content-length") == b"6"


def test_a_response_of_a_head_alone_gets_a_body_from_who_holds_it() -> None:
    assert run(Add(b"a"), Add(b"b"), body=b"").body == b"ba"
    assert run(Whole(), Add(b"b"), body=b"").headers.get(b"content-length") == b"1"
    assert run(Whole(), body=b"").headers.get(b"x-size") == b"0"


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_a_response_that_has_no_body_gets_none(method: str, status: int) -> None:
    async def register(exchange: Exchange, call_next: CallNext) -> None:
        exchange.edit_response(Add(b"a"))
        await call_next(exchange)

    result = testing.run(register, method=method, upstream=testing.Response(status=status))
    assert (result.status, result.body, result.complete, result.exceptions) == (status, b"", True, ())


@pytest.mark.parametrize("edit", [Refuse(), RefuseLater()])
def test_an_error_is_answered_past_the_edits_that_have_not_seen_the_head(edit: ResponseEdit) -> None:
    result = run(mark(b"x-outer"), Whole(b"x-a"), edit)
    assert (result.status, result.body, result.detail) == (502, b"refused", "refused")
    assert result.headers.get(b"x-outer") is None
    assert result.headers.get(b"x-a") is None


def test_a_local_reply_passes_edits_too() -> None:
    async def refuse(exchange: Exchange, call_next: CallNext) -> None:
        exchange.edit_response(Whole())
        raise ProxyError("denied", side="downstream", status=403, body="no")

    result = testing.run(refuse)
    assert (result.status, result.headers.get(b"x-size"), result.body) == (403, b"2", b"no")


def test_a_request_passes_transforms_in_order_whoever_reads_it() -> None:
    class Letter:
        def __init__(self, letter: bytes) -> None:
            self.letter = letter

        def feed(self, data: bytes) -> bytes:
            return data.replace(b".", self.letter)

        def finish(self) -> bytes:
            return self.letter.upper()

    async def edit(exchange: Exchange, call_next: CallNext) -> None:
        exchange.body.transform(Letter(b"a"))
        assert await exchange.body.read_all(100) == b"1a2aA"
        exchange.body.transform(Letter(b"b"))
        await call_next(exchange)

    result = testing.run(edit, method="POST", body=[b"1.", b"2."])
    assert result.upstream is not None
    assert result.upstream.body == b"1a2aAB"

    async def nothing(exchange: Exchange, call_next: CallNext) -> None:
        exchange.body.transform(Letter(b"a"))
        assert not exchange.body.ended
        await call_next(exchange)

    result = testing.run(nothing)
    assert result.upstream is not None
    assert result.upstream.body == b"A"


def test_what_is_kept_is_bounded() -> None:
    held = HeldBody(3)
    held.add(b"ab")
    held.add(b"c")
    with pytest.raises(ProxyError) as raised:
        held.add(b"d")
    assert (raised.value.status, raised.value.detail) == (500, "response_payload_too_large")
    assert held.take() == b"abc"
