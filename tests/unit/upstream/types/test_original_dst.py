"""Where requests go that say it themselves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from proxy.config.cluster import Cluster as ClusterConfig
from proxy.config.cluster import ClusterEndpoints, Host, LocalityHosts
from proxy.config.common import SocketAddress
from proxy.config.original_dst import OriginalDst
from proxy.errors import ProxyError
from proxy.http.headers import Headers
from proxy.http.stream_info import StreamInfo
from proxy.stats import MemoryStats
from proxy.upstream.load_balancer_context import LoadBalancerContext
from proxy.upstream.tables import HostColumn, MemoryTables
from proxy.upstream.types import original_dst
from proxy.upstream.types.original_dst import OriginalDstCluster, parse
from tests.kit.trio import run_trio
from tests.unit.upstream.rig import OK, answering, origin, read_body

ROW = 5
ENDPOINTS = ClusterEndpoints("c", 1, (LocalityHosts(0, (Host(ROW, SocketAddress("0.0.0.0", 0)),)),))


class Rig:
    def __init__(self, config: OriginalDst) -> None:
        self.stats, self.tables = MemoryStats(), MemoryTables()
        cluster = ClusterConfig("c", "ORIGINAL_DST", original_dst=config)
        self.cluster = OriginalDstCluster(cluster, ENDPOINTS, self.stats, self.tables, seed=1)

    def goes_to(self, info: StreamInfo | None) -> str | None:
        pool = self.cluster.pick(LoadBalancerContext(info=info))
        return None if pool is None else str(pool.host.address)

    def invalid(self) -> int:
        return self.stats.value("cluster.c.original_dst_host_invalid")


def info(
    *headers: tuple[bytes, bytes], metadata: Any = None, wanted: SocketAddress | None = None, restored: bool = True
) -> StreamInfo:
    found = StreamInfo(0.0)
    found.request = cast(Any, SimpleNamespace(headers=Headers(list(headers))))
    found.dynamic_metadata = metadata
    if wanted is not None:
        found.connection = cast(Any, SimpleNamespace(local=wanted, restored=restored))
    return found


WANTED = SocketAddress("10.0.0.3", 3)
EVERYWHERE = OriginalDst(b"x-to", ("ns", "to"))


@run_trio
async def test_metadata_then_the_header_then_what_the_client_had_asked_for() -> None:
    rig = Rig(EVERYWHERE)
    header = (b"x-to", b"10.0.0.2:2")
    metadata = {"ns": {"to": "10.0.0.1:1"}}
    assert rig.goes_to(info(header, metadata=metadata, wanted=WANTED)) == "10.0.0.1:1"
    assert rig.goes_to(info(header, metadata={"ns": {"to": ["[::1]:1", "x"]}}, wanted=WANTED)) == "[::1]:1"
    assert rig.goes_to(info(header, wanted=WANTED)) == "10.0.0.2:2"
    assert rig.goes_to(info(header, (b"x-to", b"10.0.0.9:9"), wanted=WANTED)) == "10.0.0.2:2"
    assert rig.goes_to(info(wanted=WANTED)) == "10.0.0.3:3"
    assert rig.goes_to(info(wanted=WANTED, restored=False)) is None
    assert rig.goes_to(info()) is None
    assert rig.goes_to(None) is None
    assert Rig(OriginalDst()).goes_to(info(header, metadata=metadata, wanted=WANTED)) == "10.0.0.3:3"
    assert Rig(OriginalDst(b"x-to", port=81)).goes_to(info(header)) == "10.0.0.2:81"
    assert rig.invalid() == 0


@run_trio
async def test_what_is_no_address_is_counted_and_the_next_one_counts() -> None:
    rig = Rig(EVERYWHERE)
    assert rig.goes_to(info((b"x-to", b"somewhere"), metadata={"ns": {"to": "nowhere"}}, wanted=WANTED)) == "10.0.0.3:3"
    assert rig.invalid() == 2
    assert rig.goes_to(info((b"x-to", b"web.example:80"))) is None
    assert rig.invalid() == 3
    with pytest.raises(ProxyError, match="no_healthy_upstream"):
        await rig.cluster.open_stream(context=LoadBalancerContext(info=info()))
    assert rig.stats.value("cluster.c.upstream_cx_none_healthy") == 1


@run_trio
async def test_all_are_counted_in_one_row_and_forgotten_when_nobody_asks_for_them() -> None:
    async with origin(answering(OK)) as server:
        rig = Rig(OriginalDst(b"x-to", cleanup_interval=5.0))
        context = LoadBalancerContext(info=info((b"x-to", str(server.address).encode())))
        assert rig.goes_to(info((b"x-to", b"10.0.0.2:2"))) == "10.0.0.2:2"
        stream = await rig.cluster.open_stream(context=context)
        await stream.send_request(b"GET", b"/", b"h", Headers(), end_stream=True)
        await read_body(stream)
        stream.close()
        assert stream.host.hostname == f"c{server.address}"
        assert rig.tables.hosts.get(ROW, HostColumn.RQ_TOTAL) == 1
        now = trio.current_time()
        known = rig.cluster.balancer.known
        for later in (0.0, 4.0):
            rig.cluster.reap(now + later)
            assert len(known) == 2
        rig.cluster.reap(now + 6.0)
        assert list(known) == [server.address]  # it has a connection
        rig.cluster.close()
        rig.cluster.reap(now + 12.0)
        assert not known
        assert not rig.cluster.draining


@run_trio
async def test_there_are_so_many_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(original_dst, "MAX_HOSTS", 2)
    async with origin(answering(OK)) as server, origin(answering(OK)) as other:
        rig = Rig(OriginalDst(b"x-to"))

        def to(address: object) -> LoadBalancerContext:
            return LoadBalancerContext(info=info((b"x-to", str(address).encode())))

        streams = [await rig.cluster.open_stream(context=to(server.address))]
        assert rig.cluster.pick(to("10.0.0.1:80")) is not None
        assert rig.cluster.pick(to("10.0.0.2:80")) is not None
        assert rig.cluster.pick(to("10.0.0.3:80")) is None  # there was a look just now
        monkeypatch.setattr(original_dst, "CLEARANCE_INTERVAL", 0.0)
        rig.cluster._next_clearance = 0.0
        streams.append(await rig.cluster.open_stream(context=to(other.address)))
        assert rig.cluster.pick(to("10.0.0.9:80")) is None
        assert rig.cluster.pick(to(server.address)) is not None
        for stream in streams:
            stream.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1:80", SocketAddress("192.0.2.1", 80)),
        ("[2001:db8::1]:80", SocketAddress("2001:db8::1", 80)),
        ("[2001:DB8:0::1]:80", SocketAddress("2001:db8::1", 80)),
        *(
            (wrong, None)
            for wrong in (
                "",
                "192.0.2.1",
                "192.0.2.1:",
                "192.0.2.1:x",
                "192.0.2.1:65536",
                "192.0.2.1:-1",
                "192.0.2.1:1000000000000000000000",
                "192.0.2.1:١",
                "[192.0.2.1]:80",
                "2001:db8::1:80",
                "[2001:db8::1]",
                "[fe80::1%eth0]:80",
                "web.example:80",
            )
        ),
    ],
)
def test_addresses(text: str, expected: SocketAddress | None) -> None:
    assert parse(text) == expected
