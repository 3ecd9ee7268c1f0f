"""What a cluster does for one request: the outcome, what it counts, and what it leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from proxy.config.common import PipeAddress, SocketAddress
from proxy.errors import Flag, ProxyError
from proxy.http.headers import Headers
from proxy.http.stream_info import StreamInfo
from proxy.upstream.tables import HostColumn
from tests.kit.leaks import no_leaks
from tests.kit.trio import run_trio
from tests.unit.upstream.rig import OK, Rig, answering, answering_once, endpoints, origin, read_body, read_head, silent

BODY = "upstream connect error or disconnect/reset before headers. reset reason: "


@run_trio
async def test_a_connection_is_used_again() -> None:
    async with origin(answering(OK)) as server, Rig(server.address) as rig:
        assert [await rig.get() for _ in range(3)] == [b"ok"] * 3
        assert server.accepted == 1
        assert rig.nonzero() == {
            "cx_total": 1,
            "cx_http1_total": 1,
            "cx_active": 1,
            "rq_total": 3,
            "rq_pending_total": 1,
            "rq_200": 3,
        }
        assert rig.stat("cx_rx_bytes_total") == 3 * len(OK)
        assert [rig.host(HostColumn.RQ_TOTAL), rig.host(HostColumn.RQ_SUCCESS)] == [3, 3]
        rig.cluster.close()
        assert rig.in_use() == {}
        assert rig.stat("cx_destroy_local") == 1


@run_trio
async def test_no_host() -> None:
    rig = Rig()
    with pytest.raises(ProxyError, match="no_healthy_upstream") as caught:
        await rig.cluster.open_stream()
    assert (caught.value.status, caught.value.body, caught.value.flag) == (
        503,
        "no healthy upstream",
        Flag.NO_HEALTHY_UPSTREAM,
    )
    assert rig.nonzero() == {"cx_none_healthy": 1, "rq_503": 1, "cluster.c.lb_healthy_panic": 1}


@run_trio
async def test_connection_refused() -> None:
    async with origin(answering(OK)) as server:
        pass
    rig = Rig(server.address)
    with pytest.raises(ProxyError) as caught:
        await rig.cluster.open_stream()
    assert caught.value.detail == (
        "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}"
    )
    assert (caught.value.status, caught.value.body) == (503, BODY + "remote connection failure")
    assert (caught.value.flag, caught.value.retryable) == (Flag.UPSTREAM_CONNECTION_FAILURE, "always")
    assert rig.nonzero() == {
        "cx_total": 1,
        "cx_http1_total": 1,
        "cx_connect_fail": 1,
        "cx_destroy": 1,
        "cx_destroy_remote": 1,
        "rq_503": 1,
        "rq_pending_total": 1,
        "rq_pending_failure_eject": 1,
    }
    assert [rig.host(column) for column in (HostColumn.RQ_ERROR, HostColumn.RQ_TOTAL)] == [1, 0]
    assert rig.in_use() == {}


@run_trio
async def test_a_unix_socket_that_is_not_there(tmp_path: Path) -> None:
    path = str(tmp_path / "none.sock")
    with pytest.raises(ProxyError) as caught:
        await Rig(PipeAddress(path)).cluster.open_stream()
    assert caught.value.detail == (
        "upstream_reset_before_response_started{remote_connection_failure|"
        f"immediate_connect_error:_No_such_file_or_directory|remote_address:{path}}}"
    )


@run_trio
async def test_the_upstream_closes_before_it_answers() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)

    async with origin(serve) as server, Rig(server.address) as rig:
        with pytest.raises(ProxyError) as caught:
            await rig.get()
    assert caught.value.detail == "upstream_reset_before_response_started{connection_termination}"
    assert (caught.value.status, caught.value.flag) == (503, Flag.UPSTREAM_CONNECTION_TERMINATION)
    assert caught.value.retryable == "reused"
    assert rig.nonzero() == {
        "cx_total": 1,
        "cx_http1_total": 1,
        "cx_destroy": 1,
        "cx_destroy_remote": 1,
        "cx_destroy_with_active_rq": 1,
        "cx_destroy_remote_with_active_rq": 1,
        "rq_total": 1,
        "rq_503": 1,
        "rq_pending_total": 1,
    }
    assert rig.host(HostColumn.RQ_ERROR) == 1


@run_trio
async def test_junk_is_a_bad_gateway() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(b"hello there\r\n\r\n")
        await stream.receive_some()

    async with origin(serve) as server, Rig(server.address) as rig:
        with pytest.raises(ProxyError) as caught:
            await rig.get()
    assert caught.value.detail == "upstream_reset_before_response_started{protocol_error}"
    assert (caught.value.status, caught.value.flag) == (502, Flag.UPSTREAM_PROTOCOL_ERROR)
    assert caught.value.body == BODY + "protocol error"
    assert rig.stat("cx_protocol_error") == rig.stat("cx_destroy_local_with_active_rq") == rig.stat("rq_502") == 1


@run_trio
async def test_a_response_cut_short() -> None:
    async with origin(answering_once(OK.replace(b": 2", b": 20"))) as server, Rig(server.address) as rig:
        with pytest.raises(ProxyError) as caught:
            await rig.get()
    assert caught.value.detail == "upstream_reset_after_response_started{protocol_error}"
    assert caught.value.retryable == "never"
    assert [rig.stat(name) for name in ("rq_200", "rq_502", "cx_destroy_remote_with_active_rq")] == [1, 0, 1]
    assert rig.in_use() == {}


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokSURPLUS",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
    ],
)
@run_trio
async def test_connections_that_are_never_pooled(response: bytes) -> None:
    async with origin(answering(response)) as server, Rig(server.address) as rig:
        assert [await rig.get(), await rig.get()] == [b"ok", b"ok"]
        assert server.accepted == 2
        assert rig.in_use() == {}
        assert rig.stat("cx_destroy_local") == 2
        assert rig.stat("cx_destroy_with_active_rq") == 0


@run_trio
async def test_a_body_that_ends_with_the_connection() -> None:
    async with origin(answering_once(b"HTTP/1.1 200 OK\r\n\r\nall of it")) as server, Rig(server.address) as rig:
        assert await rig.get() == b"all of it"
        assert [rig.stat("cx_destroy_remote"), rig.stat("cx_destroy_with_active_rq")] == [1, 0]


@run_trio
async def test_an_answer_before_the_request_is_complete() -> None:
    async with origin(answering_once(OK)) as server, Rig(server.address) as rig:
        stream = await rig.cluster.open_stream()
        await stream.send_request(b"POST", b"/", b"h", Headers([(b"content-length", b"10")]), end_stream=False)
        assert await read_body(stream) == b"ok"
        stream.close()
        assert rig.stat("cx_destroy_local_with_active_rq") == 1
        assert rig.in_use() == {}
        assert rig.memory.samples["cluster.c.external.upstream_rq_time"].values == []


@run_trio
async def test_an_upstream_that_stops_reading_can_still_answer() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")

    async with origin(serve) as server, Rig(server.address) as rig:
        stream = await rig.cluster.open_stream()
        await stream.send_request(b"POST", b"/", b"h", Headers(), end_stream=False)
        for _ in range(200):
            await stream.send_data(bytes(65536))
            await trio.lowlevel.checkpoint()
        assert stream.peer_gone
        await stream.send_end()
        assert await read_body(stream) == b"no"
        stream.close()
        assert rig.in_use() == {}


@run_trio
async def test_a_pooled_connection_that_the_peer_closed_is_replaced() -> None:
    async with origin(answering_once(OK)) as server, Rig(server.address) as rig:
        for _ in range(3):
            assert await rig.get() == b"ok"
            await trio.sleep(0.02)  # the close may arrive before or after the next request: both must work
            while rig.stat("cx_active"):
                rig.cluster.reap(trio.current_time())
                await trio.lowlevel.checkpoint()
        assert server.accepted == rig.stat("cx_destroy_remote") == 3
        assert rig.stat("rq_503") == 0


@run_trio
async def test_a_close_is_noticed_when_the_connection_is_taken() -> None:
    closed = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(OK)
        await stream.send_eof()
        closed.set()

    async with origin(serve) as server, Rig(server.address) as rig:
        assert await rig.get() == b"ok"
        await closed.wait()
        await trio.testing.wait_all_tasks_blocked()  # the poller hears of it
        assert await rig.get() == b"ok"
        assert server.accepted == 2
        assert rig.stat("rq_503") == 0


@run_trio
async def test_bytes_that_nobody_asked_for_end_an_idle_connection() -> None:
    said = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(OK)
        await trio.sleep(0.01)
        await stream.send_all(OK)
        said.set()
        await read_head(stream)

    async with origin(serve) as server, Rig(server.address) as rig:
        assert await rig.get() == b"ok"
        await said.wait()
        assert await rig.get() == b"ok"
        assert server.accepted == 2


@run_trio
async def test_max_requests_per_connection() -> None:
    async with origin(answering(OK)) as server, Rig(server.address, max_requests_per_connection=2) as rig:
        for _ in range(5):
            await rig.get()
        assert server.accepted == 3
        assert [rig.stat("cx_max_requests"), rig.stat("cx_destroy_local")] == [2, 2]
        assert rig.memory.samples["cluster.c.upstream_rq_per_cx"].values == [2, 2]


@run_trio
async def test_hosts_that_leave_drain() -> None:
    async with origin(answering(OK)) as first, origin(answering(OK)) as second, Rig(first.address) as rig:
        busy = await rig.cluster.open_stream()
        await rig.get()  # on a second connection, idle now
        assert rig.stat("cx_active") == 2
        rig.cluster.update_endpoints(endpoints(second.address, version=2))
        assert rig.stat("cx_active") == 1
        await busy.send_request(b"GET", b"/", b"h", Headers(), end_stream=True)
        assert await read_body(busy) == b"ok"
        busy.close()
        assert rig.stat("cx_active") == 0
        assert await rig.get() == b"ok"
        assert second.accepted == 1


@run_trio
async def test_pools_outlive_a_change_of_weight() -> None:
    async with origin(answering(OK)) as server, Rig(server.address) as rig:
        await rig.get()
        rig.cluster.update_endpoints(endpoints(server.address, weights=(7,), version=2))
        await rig.get()
        assert server.accepted == 1


@run_trio
async def test_a_route_timeout_is_charged() -> None:
    async with origin(silent) as server, Rig(server.address) as rig:
        stream = await rig.cluster.open_stream()
        await stream.send_request(b"GET", b"/", b"h", Headers(), end_stream=True)
        rig.cluster.charge_timeout(stream, StreamInfo(0.0))
        stream.close()
        rig.cluster.charge_timeout(None, StreamInfo(0.0))
        assert [rig.stat(name) for name in ("rq_timeout", "rq_504", "cx_destroy_local_with_active_rq")] == [2, 2, 1]
        assert [rig.host(column) for column in (HostColumn.RQ_TIMEOUT, HostColumn.RQ_ERROR)] == [1, 1]
        assert rig.in_use() == {}


def test_no_descriptor_is_left_behind() -> None:
    @run_trio
    async def everything() -> None:
        async with origin(answering(OK)) as server, Rig(server.address, SocketAddress("127.0.0.1", 1)) as rig:
            await rig.get()
            with pytest.raises(ProxyError):
                await rig.get()

    with no_leaks():
        everything()
