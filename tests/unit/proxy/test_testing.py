"""The test kit for writers of filters shows what a client and an upstream would see."""

from __future__ import annotations

import pytest
import trio

from proxy import testing
from proxy.errors import Flag
from proxy.filters.http.python_loader import LoadError
from proxy.python_filter import CallNext, Exchange, Filter, FilterConfig, Headers, ResponseHead, local_reply


class Upper:
    def feed(self, data: bytes) -> bytes:
        return data.upper()

    def finish(self) -> bytes:
        return b"!"


class Everything(Filter):
    class Config(FilterConfig):
        do: str
        limit: int = 3

    async def __call__(self, exchange: Exchange, call_next: CallNext) -> None:
        await getattr(self, self.config_for(exchange).do)(exchange, call_next)

    async def edit(self, exchange: Exchange, call_next: CallNext) -> None:
        exchange.request.headers.set(b"x-up", b"1")
        exchange.request.path = b"/other"
        exchange.on_response_headers(lambda head: head.headers.set(b"x-down", b"2"))
        exchange.transform_response(Upper())
        await call_next(exchange)

    async def refuse(self, exchange: Exchange, call_next: CallNext) -> None:
        raise local_reply(429, "slow down", detail="too many", flag=Flag.RATE_LIMITED, close=True)

    async def whole(self, exchange: Exchange, call_next: CallNext) -> None:
        body = await exchange.body.read_all(self.config.limit)
        exchange.request.headers.set(b"x-body", body)
        await call_next(exchange)

    async def stream(self, exchange: Exchange, call_next: CallNext) -> None:
        pieces = []
        while data := await exchange.body.read():
            pieces.append(data)
        answer = b"|".join(pieces)
        await exchange.send_headers(200, Headers([(b"content-length", b"%d" % len(answer))]), end_stream=False)
        await exchange.send_data(answer)
        await exchange.send_end()

    async def sleep(self, exchange: Exchange, call_next: CallNext) -> None:
        await trio.sleep(3600 * 24)

    async def crash(self, exchange: Exchange, call_next: CallNext) -> None:
        raise KeyError("a bug")

    async def crash_in_hook(self, exchange: Exchange, call_next: CallNext) -> None:
        def hook(head: ResponseHead) -> None:
            raise KeyError("a bug")

        exchange.on_response_headers(hook)
        await call_next(exchange)


def do(what: str) -> Filter:
    made: Filter = testing.make(Everything, {"do": what})
    return made


def test_edits_in_both_directions() -> None:
    result = testing.run(do("edit"), headers={"X-In": "0"}, upstream=testing.Response(201, {"a": "b"}, b"body"))
    assert result.upstream is not None
    assert (result.upstream.path, result.upstream.headers.get(b"x-up")) == (b"/other", b"1")
    assert result.upstream.headers.get(b"x-in") == b"0"
    assert (result.status, result.body, result.complete) == (201, b"BODY!", True)
    assert (result.headers.get(b"x-down"), result.headers.get(b"a")) == (b"2", b"b")
    assert (result.detail, result.flags, result.closed) == ("via_upstream", "-", False)


def test_a_local_reply() -> None:
    result = testing.run(do("refuse"))
    assert (result.status, result.body, result.upstream) == (429, b"slow down", None)
    assert (result.detail, result.flags, result.closed) == ("too_many", "RL", True)


def test_bodies_whole_and_in_pieces() -> None:
    within = testing.run(do("whole"), method="POST", body=b"abc")
    assert within.upstream is not None
    assert (within.upstream.body, within.upstream.headers.get(b"x-body")) == (b"abc", b"abc")
    assert testing.run(do("whole"), method="POST", body=b"abcd").status == 413
    assert testing.run(do("stream"), method="POST", body=[b"ab", b"c"]).body == b"ab|c"


def test_a_client_that_leaves() -> None:
    result = testing.run(do("whole"), method="POST", body=[b"a"], client_leaves=True)
    assert (result.status, result.upstream, result.flags) == (0, None, "DC")


def test_an_upstream_that_fails() -> None:
    result = testing.run(do("edit"), upstream=testing.Response(error=local_reply(503, "down", detail="gone")))
    assert (result.status, result.body, result.detail) == (503, b"DOWN!", "gone")


def test_time_does_not_pass() -> None:
    assert testing.run(do("sleep")).flags == "SI"


@pytest.mark.parametrize("what", ["crash", "crash_in_hook"])
def test_exceptions_are_kept(what: str) -> None:
    result = testing.run(do(what))
    assert (result.status, result.flags) == (500, "FE")
    (error,) = result.exceptions
    assert isinstance(error, KeyError)
    assert result.detail.startswith("filter_exception{test_testing.py:")


def test_route_configuration() -> None:
    override = testing.make_route_config(Everything, {"do": "refuse"})
    assert testing.run(do("edit"), route_config=override).status == 429
    with pytest.raises(LoadError, match="missing required field `do`"):
        testing.make(Everything, {})


def test_functions_and_head() -> None:
    async def function(exchange: Exchange, call_next: CallNext) -> None:
        await call_next(exchange)

    result = testing.run(function, method="HEAD", upstream=testing.Response(body=b"abc"))
    assert (result.headers.get(b"content-length"), result.body) == (b"3", b"")


def test_what_a_filter_leaves_at_the_exchange() -> None:
    async def leaves(exchange: Exchange, call_next: CallNext) -> None:
        exchange.info.set_dynamic_metadata("my.filter", {"user": "ada"})
        exchange.info.set_filter_state("my.key", "text")
        await call_next(exchange)

    result = testing.run(leaves)
    assert result.dynamic_metadata == {"my.filter": {"user": "ada"}}
    assert result.filter_state == {"my.key": b"text"}


def test_a_filter_that_leaves_too_much() -> None:
    async def leaves(exchange: Exchange, call_next: CallNext) -> None:
        exchange.info.set_filter_state("my.key", "x" * 2**20)

    result = testing.run(leaves)
    assert (result.status, result.detail, result.exceptions) == (500, "stream_data_too_large", ())
