"""The conformance of the filter frame: small filters that do everything a filter may do, before the real router."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec
import pytest
import trio

from proxy.config.common import PluginConfig
from proxy.errors import ProxyError
from proxy.filters.context import FilterContext
from proxy.filters.http import HTTP_FILTERS, HTTP_ROUTE_CONFIGS
from proxy.http.exchange import Exchange
from proxy.http.filter_chain import CallNext
from proxy.http.headers import Headers
from proxy.http.response_edits import ResponseHead
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import GET, compiled, plugin, route, serving, until
from tests.unit.upstream.rig import OK, answering, origin, read_head, silent

POST = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabcdef"


class Probe:
    """A filter that does what its configuration says, and tells `log` what it saw."""

    log: ClassVar[list[tuple[str, Any]]] = []

    class Config(msgspec.Struct):
        do: str

    def __init__(self, name: str, config: Config, context: FilterContext) -> None:
        self.name = name
        self.do = config.do

    async def __call__(self, exchange: Exchange, call_next: CallNext) -> None:
        override = exchange.filter_config(self.name)
        do = self.do if override is None else override.do
        await getattr(self, do)(exchange, call_next)

    async def headers(self, exchange: Exchange, call_next: CallNext) -> None:
        exchange.request.headers.add(b"x-way", self.name.encode())
        exchange.on_response_headers(lambda head: head.headers.add(b"x-back", self.name.encode()))
        await call_next(exchange)

    async def reply(self, exchange: Exchange, call_next: CallNext) -> None:
        raise ProxyError("denied", side="downstream", status=403, body="no")

    async def respond(self, exchange: Exchange, call_next: CallNext) -> None:
        await exchange.send_headers(202, Headers([(b"content-length", b"2")]), end_stream=False)
        await exchange.send_data(b"hi")
        await exchange.send_end()

    async def status(self, exchange: Exchange, call_next: CallNext) -> None:
        def teapot(head: ResponseHead) -> None:
            head.status = 418

        exchange.on_response_headers(teapot)
        await call_next(exchange)

    async def whole(self, exchange: Exchange, call_next: CallNext) -> None:
        body = await exchange.body.read_all(6)
        self.log.append(("body", body))
        await call_next(exchange)

    async def upper(self, exchange: Exchange, call_next: CallNext) -> None:
        exchange.transform_response(Upper())
        await call_next(exchange)

    async def wrap(self, exchange: Exchange, call_next: CallNext) -> None:
        exchange.transform_response(Wrap())
        await call_next(exchange)

    async def outcome(self, exchange: Exchange, call_next: CallNext) -> None:
        try:
            await call_next(exchange)
        finally:
            info = exchange.info
            self.log.append((self.name, (info.status, info.detail, info.response_flags())))

    async def crash(self, exchange: Exchange, call_next: CallNext) -> None:
        raise ValueError("a bug")

    async def silence(self, exchange: Exchange, call_next: CallNext) -> None:
        """Neither answers nor calls."""

    async def late(self, exchange: Exchange, call_next: CallNext) -> None:
        await call_next(exchange)
        raise SystemExit("a bug")

    async def nothing(self, exchange: Exchange, call_next: CallNext) -> None:
        await call_next(exchange)


class Upper:
    def feed(self, data: bytes) -> bytes:
        return data.upper()

    def finish(self) -> bytes:
        return b"."


class Wrap:
    """Holds everything back until the end."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        self._held += data
        return b""

    def finish(self) -> bytes:
        return b"<" + self._held + b">"


def probe(name: str, do: str) -> PluginConfig:
    return plugin(name, "test.Probe", Probe.Config(do))


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The test filter is in the tables as any other would be."""
    monkeypatch.setitem(HTTP_FILTERS, "test.Probe", f"{__name__}:Probe")
    monkeypatch.setitem(HTTP_FILTERS, "test.Hooks", f"{__name__}:Hooks")
    monkeypatch.setitem(HTTP_ROUTE_CONFIGS, "test.Probe", f"{__name__}:Probe")
    Probe.log.clear()
    yield
    Probe.log.clear()


async def through(*filters: PluginConfig, request: bytes = GET, response: bytes = OK, **config: Any) -> bytes:
    """What a client gets through `filters`; the request as the origin saw it goes to the log."""

    async def serve(stream: trio.SocketStream) -> None:
        data = await read_head(stream)
        if data.startswith(b"POST"):
            while not data.endswith(b"abcdef"):
                data += await stream.receive_some()
        Probe.log.append(("origin", data))
        await stream.send_all(response)

    closing = request.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1)
    async with origin(serve) as upstream, serving(compiled(upstream.address, filters=filters, **config)) as rig:
        answer = await rig.ask(closing)
        await rig.quiet()
        return answer


def seen(name: str) -> Any:
    """What the log has from `name`."""
    return next((what for who, what in Probe.log if who == name), None)


@run_trio
async def test_requests_pass_in_order_and_responses_in_reverse() -> None:
    answer = await through(probe("one", "headers"), probe("two", "headers"))
    assert b"x-way: one\r\nx-way: two\r\n" in seen("origin")
    assert b"x-back: two\r\nx-back: one\r\n" in answer


@run_trio
async def test_an_error_becomes_a_local_reply_that_outer_filters_edit_and_inner_ones_do_not_see() -> None:
    answer = await through(
        probe("outer", "headers"), probe("end", "outcome"), probe("deny", "reply"), probe("inner", "headers")
    )
    assert answer.startswith(
        b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\ncontent-type: text/plain\r\nx-back: outer\r\n"
    )
    assert answer.endswith(b"\r\n\r\nno")
    assert seen("end") == (403, "denied", "-")
    assert seen("origin") is None


@run_trio
async def test_a_filter_may_answer_itself() -> None:
    answer = await through(probe("a", "respond"))
    assert answer.startswith(b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n")
    assert answer.endswith(b"\r\n\r\nhi")


@run_trio
async def test_a_filter_may_change_the_status() -> None:
    assert (await through(probe("a", "status"))).startswith(b"HTTP/1.1 418 ")


@run_trio
async def test_a_body_that_was_read_whole_still_goes_up() -> None:
    answer = await through(probe("a", "whole"), probe("b", "whole"), request=POST)
    assert [what for who, what in Probe.log if who == "body"] == [b"abcdef", b"abcdef"]
    assert seen("origin").endswith(b"\r\n\r\nabcdef")
    assert answer.endswith(b"ok")


@run_trio
async def test_a_body_beyond_the_limit_is_413() -> None:
    request = POST.replace(b"length: 6", b"length: 7") + b"g"
    answer = await through(probe("a", "whole"), request=request)
    assert answer.startswith(b"HTTP/1.1 413 Payload Too Large\r\n")
    assert b"\r\nconnection: close\r\n" in answer
    assert seen("origin") is None


@run_trio
async def test_response_bodies_are_transformed_innermost_first() -> None:
    answer = await through(probe("outer", "wrap"), probe("inner", "upper"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-length" not in head
    assert body == b"5\r\n<OK.>\r\n0\r\n\r\n"
    answer = await through(probe("outer", "upper"), probe("inner", "wrap"))
    assert answer.endswith(b"\r\n\r\n5\r\n<OK>.\r\n0\r\n\r\n")


@run_trio
async def test_local_replies_are_transformed_and_empty_responses_are_not() -> None:
    reply = await through(probe("outer", "upper"), probe("deny", "reply"))
    assert reply.endswith(b"\r\n\r\n2\r\nNO\r\n1\r\n.\r\n0\r\n\r\n")
    empty = await through(probe("outer", "upper"), response=b"HTTP/1.1 204 No Content\r\n\r\n")
    assert empty.endswith(b"\r\n\r\n")
    assert b"transfer-encoding" not in empty


@run_trio
async def test_the_outcome_is_known_in_finally() -> None:
    await through(probe("end", "outcome"))
    assert seen("end") == (200, "via_upstream", "-")


@run_trio
async def test_the_outcome_is_known_in_finally_after_a_timeout() -> None:
    async with origin(silent) as upstream:
        config = compiled(upstream.address, filters=[probe("end", "outcome")], routes=[route(timeout=0.05)])
        async with serving(config) as rig:
            client = await rig.connect()
            await client.send(GET)
            assert (await client.response())[0].startswith(b"HTTP/1.1 504 ")
    assert seen("end") == (504, "response_timeout", "UT")


@run_trio
async def test_the_outcome_is_known_in_finally_after_the_client_left() -> None:
    filters = [probe("end", "outcome")]
    async with origin(silent) as upstream, serving(compiled(upstream.address, filters=filters)) as rig:
        client = await rig.connect()
        await client.send(GET)
        await until(lambda: rig.server.requests_active == 1)
        await client.stream.send_eof()
        await rig.quiet()
    assert seen("end") == (0, "downstream_remote_disconnect", "DC")


@run_trio
async def test_the_most_specific_configuration_wins() -> None:
    override = {"a": probe("a", "respond")}
    nothing = {"a": probe("a", "nothing")}
    routes = [route("/special", typed_per_filter_config=override), route()]
    asked = b"GET /special HTTP/1.1\r\nhost: a\r\n\r\n"
    assert (await through(probe("a", "reply"), request=asked, routes=routes)).startswith(b"HTTP/1.1 202 ")
    assert (await through(probe("a", "reply"), routes=routes)).startswith(b"HTTP/1.1 403 ")
    vhost = {"typed_per_filter_config": nothing}
    assert (await through(probe("a", "reply"), routes=routes, virtual_host=vhost)).startswith(b"HTTP/1.1 200 ")
    answer = await through(probe("a", "reply"), request=asked, routes=routes, virtual_host=vhost)
    assert answer.startswith(b"HTTP/1.1 202 ")


@run_trio
async def test_a_bug_in_a_filter_is_a_500_and_not_the_end_of_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    async with origin(answering(OK)) as upstream:
        routes = [route("/crash", typed_per_filter_config={"a": probe("a", "crash")}), route()]
        async with serving(compiled(upstream.address, filters=[probe("a", "nothing")], routes=routes)) as rig:
            client = await rig.connect()
            for _ in range(3):
                await client.send(b"GET /crash HTTP/1.1\r\nhost: a\r\n\r\n")
                assert (await client.response())[0].startswith(b"HTTP/1.1 500 ")
                await client.send(GET)
                assert (await client.response())[1] == b"ok"
            assert caplog.text.count("ValueError: a bug") == 1
            assert rig.value("filter_exceptions") == 3
            assert rig.server.requests_active == 0


@run_trio
async def test_a_chain_that_does_not_answer_is_a_500() -> None:
    answer = await through(probe("end", "outcome"), probe("a", "silence"))
    assert answer.startswith(b"HTTP/1.1 500 ")


@run_trio
async def test_an_exception_after_the_response_leaves_the_connection_alone() -> None:
    async with (
        origin(answering(OK)) as upstream,
        serving(compiled(upstream.address, filters=[probe("end", "outcome"), probe("a", "late")])) as rig,
    ):
        client = await rig.connect()
        for _ in range(2):
            await client.send(GET)
            assert (await client.response())[1] == b"ok"
        assert rig.value("filter_exceptions") == 2
    assert seen("end") == (200, "via_upstream", "FE")


@run_trio
async def test_an_exception_never_comes_back_through_call_next() -> None:
    await through(probe("end", "outcome"), probe("a", "crash"))
    status, detail, flags = seen("end")
    assert (status, flags) == (500, "FE")
    assert detail.startswith("filter_exception{test_filter_chain.py:")
    assert detail.endswith("|ValueError}")


class Hooks:
    """A filter of hooks alone, which never waits."""

    class Config(msgspec.Struct):
        refuse: bool = False
        fail: bool = False

    def __init__(self, name: str, config: Config, context: FilterContext) -> None:
        self.name = name
        self.config = config

    def on_request_headers(self, exchange: Exchange) -> None:
        exchange.request.headers.add(b"x-way", self.name.encode())
        if self.config.refuse:
            raise ProxyError("denied", side="downstream", status=403, body="no")

    def on_response_headers(self, exchange: Exchange, head: ResponseHead) -> None:
        head.headers.add(b"x-back", self.name.encode())
        if self.config.fail:
            raise ProxyError("failed", side="internal", status=500)


def hooks(name: str, **config: bool) -> PluginConfig:
    return plugin(name, "test.Hooks", Hooks.Config(**config))


@run_trio
async def test_hooks_stand_in_the_onion_as_coroutines_do() -> None:
    answer = await through(hooks("one"), probe("two", "headers"), hooks("three"))
    assert b"x-way: one\r\nx-way: two\r\nx-way: three\r\n" in seen("origin")
    assert b"x-back: three\r\nx-back: two\r\nx-back: one\r\n" in answer


@run_trio
async def test_a_hook_refuses_with_a_local_reply_that_it_sees_itself() -> None:
    answer = await through(probe("end", "outcome"), hooks("one"), hooks("two", refuse=True), hooks("three"))
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"x-back: two\r\nx-back: one\r\n" in answer
    assert b"three" not in answer
    assert seen("end") == (403, "denied", "-")
    assert seen("origin") is None


@run_trio
async def test_a_failing_response_hook_is_a_local_reply_that_outer_hooks_see() -> None:
    answer = await through(hooks("one"), hooks("two", fail=True), hooks("three"))
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"x-back: one\r\n" in answer
    assert b"x-back: two" not in answer
