"""The TCP proxy on real sockets: what each side sees of the other, and what is counted."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
import trio

from proxy.filters.network import tcp_proxy_config
from proxy.upstream.tables import ClusterColumn, HostColumn
from tests.kit.config import compiled, findings, listener
from tests.kit.leaks import open_fds
from tests.kit.trio import run_trio
from tests.unit.proxy.filters.network.tcp import TCP_PROXY, echo_then, reset, tcp_bootstrap
from tests.unit.proxy.rig import Rig, serving, until, virtual_clock
from tests.unit.upstream.rig import origin, silent


def on_virtual_time(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Runs a test of timeouts that has real sockets within this process; it may take ten minutes of virtual time."""

    async def bounded() -> None:
        with trio.fail_after(600):
            await test()

    @functools.wraps(test)
    def run() -> None:
        trio.run(bounded, clock=virtual_clock())

    return run


REFUSED = 1
"""A port where nobody listens."""


def in_use(rig: Rig) -> dict[str, int]:
    """Everything that must be 0 when no connection is left."""
    claims = {column.name: rig.tables.clusters.get(0, column) for column in ClusterColumn}
    hosts = {column.name: rig.tables.hosts.get(0, column) for column in (HostColumn.CX_ACTIVE, HostColumn.RQ_ACTIVE)}
    gauges = {**rig.gauges(), "buffered": rig.stats.value("tcp.t.downstream_cx_tx_bytes_buffered")}
    return {name: value for name, value in {**claims, **hosts, **gauges}.items() if value}


def open_pipes() -> set[str]:
    return {what for what in open_fds().values() if what.startswith("pipe:")}


@run_trio
@pytest.mark.field(f"{TCP_PROXY}.stat_prefix", f"{TCP_PROXY}.cluster")
async def test_half_closes_pass_and_bytes_are_counted() -> None:
    async with (
        origin(lambda stream: echo_then(stream, b"bye")) as back,
        serving(compiled(tcp_bootstrap("stat_prefix: t, cluster: c", c=back.address.port))) as rig,
        await rig.connect() as client,
    ):
        data = b"x" * 700_000
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                await client.send(data)
                await client.stream.send_eof()

            nursery.start_soon(send)
            assert await client.rest() == data + b"bye"
        await rig.quiet()
        assert in_use(rig) == {}
        assert rig.stats.value("tcp.t.downstream_cx_total") == 1
        assert rig.stats.value("tcp.t.downstream_cx_rx_bytes_total") == len(data)
        assert rig.stats.value("tcp.t.downstream_cx_tx_bytes_total") == len(data) + 3
        assert rig.stats.value("cluster.c.upstream_cx_tx_bytes_total") == len(data)
        assert rig.stats.value("cluster.c.upstream_cx_rx_bytes_total") == len(data) + 3
        assert rig.stats.value("cluster.c.upstream_cx_destroy_remote_with_active_rq") == 1


@run_trio
async def test_the_upstream_may_finish_first() -> None:
    got = bytearray()

    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(b"hello")
        await stream.send_eof()
        while data := await stream.receive_some(65536):
            got.extend(data)

    async with (
        origin(serve) as back,
        serving(compiled(tcp_bootstrap("stat_prefix: t, cluster: c", c=back.address.port))) as rig,
        await rig.connect() as client,
    ):
        assert await client.rest() == b"hello"
        await client.send(b"still here")
        await client.stream.send_eof()
        await until(lambda: got == b"still here")
        await rig.quiet()
        assert in_use(rig) == {}
        assert rig.stats.value("cluster.c.upstream_cx_destroy_local") == 1


@run_trio
async def test_resets_pass_in_both_directions() -> None:
    seen: list[str] = []

    async def serve(stream: trio.SocketStream) -> None:
        if await stream.receive_some(10) == b"reset":
            reset(stream)
            return
        await stream.send_all(b"go")
        try:
            seen.append(f"received {await stream.receive_some(10)!r}")
        except trio.BrokenResourceError:
            seen.append("reset")

    async with (
        origin(serve) as back,
        serving(compiled(tcp_bootstrap("stat_prefix: t, cluster: c", c=back.address.port))) as rig,
    ):
        async with await rig.connect() as client:
            await client.send(b"reset")
            with pytest.raises(trio.BrokenResourceError):
                await client.stream.receive_some(10)
        async with await rig.connect() as client:
            await client.send(b"no")
            await client.until(b"go")
            reset(client.stream)
            await until(lambda: seen == ["reset"])
        await rig.quiet()
        assert in_use(rig) == {}
        assert rig.stats.value("cluster.c.upstream_cx_destroy_remote") == 1
        assert rig.stats.value("cluster.c.upstream_cx_destroy_local") == 1


@on_virtual_time
@pytest.mark.field(f"{TCP_PROXY}.idle_timeout")
async def test_the_idle_timeout_counts_from_the_last_byte_either_way() -> None:
    async with (
        origin(echo_then) as back,
        serving(compiled(tcp_bootstrap("stat_prefix: t, cluster: c, idle_timeout: 60s", c=back.address.port))) as rig,
        await rig.connect() as client,
    ):
        started = trio.current_time()
        for _ in range(5):
            await trio.sleep(40)
            await client.send(b"x")
            await client.until(b"x")
        assert await client.rest() == b""
        assert 260 <= trio.current_time() - started < 263
        await rig.quiet()
        assert rig.stats.value("tcp.t.idle_timeout") == 1
        (record,) = rig.records
        assert (record.protocol, record.detail, record.cluster) == ("TCP", "tcp_session_idle_timeout", "c")
        assert record.limits == {"TcpProxy.idle_timeout": 60.0}
        assert rig.stats.value("cluster.c.upstream_cx_destroy_local") == 1


def test_the_idle_timeout_is_an_hour_by_default_and_zero_means_none() -> None:
    for fields, expected in (("", 3600.0), (", idle_timeout: 0s", 0.0)):
        plugin = listener(tcp_bootstrap(f"stat_prefix: t, cluster: c{fields}", c=REFUSED)).filter_chains[0].filters[0]
        assert msgspec.msgpack.decode(plugin.config, type=tcp_proxy_config.Config).idle_timeout == expected


@on_virtual_time
@pytest.mark.field(f"{TCP_PROXY}.max_downstream_connection_duration")
async def test_the_duration_is_limited_whatever_moves() -> None:
    fields = "stat_prefix: t, cluster: c, max_downstream_connection_duration: 100s"
    async with (
        origin(echo_then) as back,
        serving(compiled(tcp_bootstrap(fields, c=back.address.port))) as rig,
        await rig.connect() as client,
    ):
        started = trio.current_time()
        for _ in range(9):
            await trio.sleep(11)
            await client.send(b"x")
            await client.until(b"x")
        assert await client.rest() == b""
        assert 100 <= trio.current_time() - started < 101
        await rig.quiet()
        assert rig.stats.value("tcp.t.max_downstream_connection_duration") == 1
        assert rig.stats.value("tcp.t.idle_timeout") == 0
        (record,) = rig.records
        assert (record.flags, record.limits) == ("DT", {"TcpProxy.max_downstream_connection_duration": 100.0})


@run_trio
@pytest.mark.field(f"{TCP_PROXY}.max_connect_attempts")
async def test_it_tries_as_often_as_allowed() -> None:
    fields = "stat_prefix: t, cluster: c, max_connect_attempts: 3"
    async with serving(compiled(tcp_bootstrap(fields, c=REFUSED))) as rig:
        assert await rig.ask(b"") == b""
        await rig.quiet()
        assert rig.stats.value("cluster.c.upstream_cx_connect_fail") == 3
        assert rig.stats.value("cluster.c.upstream_cx_connect_attempts_exceeded") == 1
        (record,) = rig.records
        assert set(record.flags.split(",")) == {"UF", "URX"}
        assert [(one.host, one.phase, one.errno) for one in record.attempts] == [
            (f"127.0.0.1:{REFUSED}", "connect", "ECONNREFUSED")
        ] * 3
        assert record.limits == {"TcpProxy.max_connect_attempts": 3}
        assert in_use(rig) == {}


@run_trio
async def test_a_cluster_without_hosts_ends_the_connection_at_once() -> None:
    async with serving(compiled(tcp_bootstrap("stat_prefix: t, cluster: c", c=None))) as rig:
        assert await rig.ask(b"") == b""
        await rig.quiet()
        assert rig.stats.value("cluster.c.upstream_cx_none_healthy") == 1
        (record,) = rig.records
        assert (record.flags, record.detail, record.listener) == ("UH", "no_healthy_upstream", "127.0.0.1_0")
        assert in_use(rig) == {}


@run_trio
@pytest.mark.field(
    f"{TCP_PROXY}.weighted_clusters",
    f"{TCP_PROXY}.WeightedCluster.clusters",
    f"{TCP_PROXY}.WeightedCluster.ClusterWeight.name",
    f"{TCP_PROXY}.WeightedCluster.ClusterWeight.weight",
)
async def test_weighted_clusters() -> None:
    fields = "stat_prefix: t, weighted_clusters: {clusters: [{name: one, weight: 999}, {name: two, weight: 1}]}"
    async with (
        origin(lambda stream: stream.send_all(b"1")) as one,
        origin(lambda stream: stream.send_all(b"2")) as two,
        serving(compiled(tcp_bootstrap(fields, one=one.address.port, two=two.address.port))) as rig,
    ):
        for _ in range(30):
            async with await rig.connect() as client:
                assert await client.stream.receive_some(1) in (b"1", b"2")
        assert one.accepted > two.accepted  # wrong by chance once in 10**40 runs
        assert one.accepted + two.accepted == 30


@run_trio
async def test_a_slow_reader_holds_the_sender_back() -> None:
    sent = 0

    async def flood(stream: trio.SocketStream) -> None:
        nonlocal sent
        while True:
            await stream.send_all(b"x" * 65536)
            sent += 65536

    async with (
        origin(flood) as back,
        serving(compiled(tcp_bootstrap("stat_prefix: t, cluster: c", c=back.address.port))) as rig,
        await rig.connect(receive_buffer=4096) as client,
    ):
        await until(lambda: rig.stats.value("tcp.t.downstream_cx_tx_bytes_buffered") > 0)
        before = -1
        while before != sent:
            before = sent
            await trio.sleep(0.1)
        taken = rig.stats.value("cluster.c.upstream_cx_rx_bytes_total")
        held = rig.stats.value("tcp.t.downstream_cx_tx_bytes_buffered")
        assert held <= 1024 * 1024
        assert taken - rig.stats.value("tcp.t.downstream_cx_tx_bytes_total") == held
        reset(client.stream)
        await rig.quiet()
        assert in_use(rig) == {}


@run_trio
async def test_a_connection_that_waits_holds_no_pipe() -> None:
    before = open_pipes()
    async with (
        origin(echo_then) as back,
        serving(compiled(tcp_bootstrap("stat_prefix: t, cluster: c", c=back.address.port))) as rig,
    ):
        for _ in range(5):
            client = await rig.connect()
            await client.send(b"x")
            await client.until(b"x")
        await until(lambda: rig.server.connections == 5)
        assert len(open_pipes() - before) <= 2  # for all of them


@run_trio
async def test_no_connection_beyond_the_breaker() -> None:
    config = tcp_bootstrap("stat_prefix: t, cluster: c", c=REFUSED)
    async with origin(silent) as back:
        config = tcp_bootstrap("stat_prefix: t, cluster: c", c=back.address.port)
        async with serving(compiled(config)) as rig:
            rig.tables.clusters.add(0, ClusterColumn.CONNECTIONS, 1024)
            assert await rig.ask(b"") == b""
            await rig.quiet()
            assert rig.stats.value("cluster.c.upstream_cx_overflow") == 1
            assert rig.stats.value("cluster.c.upstream_cx_total") == 0
            rig.tables.clusters.add(0, ClusterColumn.CONNECTIONS, -1024)
            rig.tables.clusters.add(0, ClusterColumn.PENDING, 1024)
            assert await rig.ask(b"") == b""
            await rig.quiet()
            assert rig.stats.value("cluster.c.upstream_rq_pending_overflow") == 1
            assert [record.flags for record in rig.records] == ["UO", "UO"]
            assert "CircuitBreakers.Thresholds.max_connections" in rig.records[0].limits
            rig.tables.clusters.add(0, ClusterColumn.PENDING, -1024)
            assert in_use(rig) == {}


@run_trio
async def test_a_drain_waits_for_it_and_its_deadline_ends_it() -> None:
    async with (
        origin(echo_then) as back,
        serving(compiled(tcp_bootstrap("stat_prefix: t, cluster: c", c=back.address.port))) as rig,
        await rig.connect() as client,
    ):
        await client.send(b"x")
        await client.until(b"x")
        rig.start_drain()
        rig.server.close_idle()
        assert rig.server.requests_active == 1
        await client.send(b"y")
        await client.until(b"y")
        await rig.stop()
        assert rig.stats.value("tcp.t.downstream_cx_drain_close") == 1
        assert [record.detail for record in rig.records] == ["downstream_local_disconnect"]
        assert rig.server.connections == 0
        assert in_use(rig) == {}


def test_clusters_must_exist() -> None:
    text = tcp_bootstrap(
        "stat_prefix: t, weighted_clusters: {clusters: [{name: c, weight: 1}, {name: no, weight: 1}]}", c=1
    )
    assert [finding.path[-2:] for finding in findings(text)] == [(1, "name")]
    assert [finding.path[-1] for finding in findings(tcp_bootstrap("stat_prefix: t, cluster: no", c=1))] == ["cluster"]


@run_trio(deadline=10)
@pytest.mark.field(f"{TCP_PROXY}.access_log")
async def test_the_access_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    logger = (
        'access_log: [{name: f, typed_config: {"@type": '
        "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, "
        f'path: "{log}", log_format: {{text_format_source: {{inline_string: '
        '"%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_HOST% %PROTOCOL%\\n"}}}}]'
    )
    async with serving(compiled(tcp_bootstrap(f"stat_prefix: t, cluster: c, {logger}", c=REFUSED))) as rig:
        assert await rig.ask(b"") == b""
        await rig.quiet()
        await until(lambda: log.exists() and log.read_text() != "")
        assert log.read_text() == "0 UF,URX 0 0 127.0.0.1:1 -\n"
