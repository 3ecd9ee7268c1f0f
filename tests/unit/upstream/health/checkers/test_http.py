"""HTTP checks of an origin on real sockets: what is asked, and what each answer comes to."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from proxy.config.common import SocketAddress, StringMatcher
from proxy.config.header_mutation import Mutation
from proxy.config.health_check import EndpointCheck, HttpCheck
from proxy.upstream.health.checkers.http import HttpChecker
from proxy.upstream.health.verdicts import Failure, Result
from tests.kit.trio import run_trio
from tests.unit.upstream.health.rig import Kind, TargetRig
from tests.unit.upstream.rig import answering, answering_once, origin, read_head

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
BODY = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nall-is-ok\n"


def answer(status: int, *lines: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 %d X" % status, b"content-length: 0", *lines, b"", b""])


async def result_of(kind: Kind, response: bytes) -> Result:
    async with origin(answering(response)) as server:
        checker = HttpChecker(TargetRig(kind, server.address).target)
        try:
            return await checker.check()
        finally:
            checker.close()


async def request_of(kind: Kind, **host: object) -> bytes:
    heads: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        heads.append(await read_head(stream))
        await stream.send_all(OK)

    async with origin(serve) as server:
        checker = HttpChecker(TargetRig(kind, server.address, **host).target)
        assert (await checker.check()).failure is None
        checker.close()
    return heads[0]


@run_trio
async def test_what_is_asked() -> None:
    assert await request_of(HttpCheck("/hc")) == b"GET /hc HTTP/1.1\r\nhost: c\r\nuser-agent: Envoy/HC\r\n\r\n"


@run_trio
async def test_what_is_asked_with_a_body() -> None:
    edits = (
        Mutation(b"user-agent", "REMOVE"),
        Mutation(b"x-more", "APPEND_IF_EXISTS_OR_ADD", "%PROTOCOL%"),
    )
    kind = HttpCheck("/hc", host="a.test", method="POST", send=b"hello", edits=edits)
    head, _, body = (await request_of(kind)).partition(b"\r\n\r\n")
    assert head.splitlines()[:2] == [b"POST /hc HTTP/1.1", b"host: a.test"]
    assert b"user-agent" not in head
    assert b"\r\nx-more:" in head
    assert (head.endswith(b"content-length: 5"), body) == (True, b"hello")


@pytest.mark.parametrize(
    ("own", "configured", "name"),
    [("own.test", "a.test", b"own.test"), ("", "a.test", b"a.test"), ("", "", b"c")],
)
@run_trio
async def test_the_name_that_a_host_is_asked_for(own: str, configured: str, name: bytes) -> None:
    head = await request_of(HttpCheck("/", host=configured), check=EndpointCheck(hostname=own))
    assert b"\r\nhost: %b\r\n" % name in head


STATUSES = HttpCheck("/", expected=((200, 204), (300, 301)), retriable=((500, 504),))


@pytest.mark.parametrize(
    ("kind", "response", "result"),
    [
        (HttpCheck("/"), OK, Result(status=200)),
        (HttpCheck("/"), answer(201), Result(Failure.ACTIVE, status=201)),
        (STATUSES, answer(203), Result(status=203)),
        (STATUSES, answer(204), Result(Failure.ACTIVE, status=204)),
        (STATUSES, answer(300), Result(status=300)),
        (STATUSES, answer(503), Result(Failure.ACTIVE, retriable=True, status=503)),
        (STATUSES, answer(504), Result(Failure.ACTIVE, status=504)),
        (HttpCheck("/"), answer(200, b"x-envoy-degraded: yes"), Result(degraded=True, status=200)),
        (
            HttpCheck("/"),
            answer(503, b"x-envoy-immediate-health-check-fail: true"),
            Result(Failure.ACTIVE, excludes=True, status=503),
        ),
        (HttpCheck("/"), answer(200, b"x-envoy-immediate-health-check-fail: true"), Result(status=200)),
        (HttpCheck("/", receive=(b"all", b"ok")), BODY, Result(status=200)),
        (HttpCheck("/", receive=(b"ok", b"all")), BODY, Result(Failure.ACTIVE, status=200)),
        (HttpCheck("/", receive=(b"ok",), response_buffer_size=8), BODY, Result(Failure.ACTIVE, status=200)),
        (HttpCheck("/", receive=(b"ok",), response_buffer_size=0), BODY, Result(status=200)),
        (HttpCheck("/", receive=(b"ok",), retriable=((500, 600),)), answer(503), Result(Failure.ACTIVE, status=503)),
        (HttpCheck("/"), b"SSH-2.0-OpenSSH\r\n\r\n", Result(Failure.NETWORK)),
    ],
)
@run_trio
async def test_what_an_answer_comes_to(kind: HttpCheck, response: bytes, result: Result) -> None:
    assert await result_of(kind, response) == result


NAMED = HttpCheck("/", service_name=StringMatcher("prefix", "locations"))


@pytest.mark.parametrize(
    ("line", "failure"),
    [
        (b"x-envoy-upstream-healthchecked-cluster: locations-eu", None),
        (b"x-envoy-upstream-healthchecked-cluster: pets", Failure.ACTIVE),
        (b"x-other: locations", Failure.ACTIVE),
    ],
)
@run_trio
async def test_a_host_must_be_of_the_service_that_is_meant(line: bytes, failure: Failure | None) -> None:
    assert await result_of(NAMED, answer(200, line)) == Result(failure, status=200)


@run_trio
async def test_a_host_that_is_not_there() -> None:
    async with origin(answering(OK)) as server:
        pass
    rig = TargetRig(HttpCheck("/"), server.address)
    assert await HttpChecker(rig.target).check() == Result(Failure.NETWORK)
    assert rig.counted() == {}


@run_trio
async def test_it_is_checked_where_it_says() -> None:
    async with origin(answering(OK)) as server:
        elsewhere = EndpointCheck(SocketAddress("127.0.0.1", 1), port=server.address.port)
        rig = TargetRig(HttpCheck("/"), SocketAddress("192.0.2.1", 9), check=elsewhere)
        checker = HttpChecker(rig.target)
        assert (await checker.check()).failure is None
        checker.close()


@pytest.mark.parametrize(("reuses", "connections"), [(True, 1), (False, 3)])
@run_trio
async def test_the_connection_is_kept_or_not(reuses: bool, connections: int) -> None:
    ended, all_ended = trio.open_memory_channel[None](3)

    async def serve(stream: trio.SocketStream) -> None:
        await answering(OK)(stream)
        ended.send_nowait(None)

    async with origin(serve) as server:
        rig = TargetRig(HttpCheck("/"), server.address, reuse_connection=reuses)
        checker = HttpChecker(rig.target)
        for _ in range(3):
            assert (await checker.check()).failure is None
        assert server.accepted == connections
        checker.close()
        for _ in range(connections):
            await all_ended.receive()
        assert rig.counted() == {}


@run_trio
async def test_a_connection_that_has_ended_meanwhile_is_made_anew() -> None:
    async with origin(answering_once(OK)) as server:
        checker = HttpChecker(TargetRig(HttpCheck("/"), server.address).target)
        for _ in range(2):
            assert (await checker.check()).failure is None
            await trio.testing.wait_all_tasks_blocked()
        assert server.accepted == 2
        checker.close()


@run_trio
async def test_a_check_that_was_cancelled_leaves_nothing() -> None:
    ended = trio.Event()

    async def mute(stream: trio.SocketStream) -> None:
        await read_head(stream)
        cancelled.cancel()
        assert not await stream.receive_some()
        ended.set()

    async with origin(mute) as server:
        checker = HttpChecker(TargetRig(HttpCheck("/"), server.address).target)
        with trio.CancelScope() as cancelled:
            await checker.check()
        checker.abandon()
        await ended.wait()
        checker.close()
