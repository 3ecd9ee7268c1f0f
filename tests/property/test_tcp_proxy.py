"""A TCP proxy between two peers that send, finish and break off as they like: the right bytes, and nothing is left."""

from __future__ import annotations

import random

import trio
import trio.lowlevel
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.config import compiled
from tests.kit.leaks import no_leaks
from tests.unit.proxy.filters.network.tcp import reset, tcp_bootstrap
from tests.unit.proxy.filters.network.test_tcp_proxy import in_use
from tests.unit.proxy.rig import serving
from tests.unit.upstream.rig import origin

DATA = random.Random(3).randbytes(1 << 20)
DEADLINE = 10.0  # s

# Numbers are bytes to send; 0 lets the others run.
steps = st.lists(st.sampled_from([0, 0, 1, 1000, 70_000, 300_000, 1_000_000]), max_size=5)
peers = st.tuples(steps, st.sampled_from(["finish", "finish", "reset", "vanish"]))


class Peer:
    """One side. `vanish` closes without reading on, which is a reset if bytes were on their way."""

    def __init__(self, script: tuple[list[int], str]) -> None:
        self.sizes, self.end = script
        self.sent = 0
        self.got = bytearray()
        self.finished = trio.Event()
        self.clean = True
        self.saw_the_end = False

    async def run(self, stream: trio.SocketStream) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._receive, stream)
                await self._send(stream)
                if self.end != "finish":
                    nursery.cancel_scope.cancel()
        finally:
            stream.socket.close()
            self.finished.set()

    async def _send(self, stream: trio.SocketStream) -> None:
        try:
            for size in self.sizes:
                await trio.lowlevel.checkpoint()
                rest = memoryview(DATA)[self.sent % 7 : self.sent % 7 + size]
                while rest:
                    count = await stream.socket.send(rest)
                    self.sent += count
                    rest = rest[count:]
            if self.end == "finish":
                await stream.send_eof()
            elif self.end == "reset":
                reset(stream)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            self.clean = False

    async def _receive(self, stream: trio.SocketStream) -> None:
        try:
            while data := await stream.receive_some(65536):
                self.got += data
            self.saw_the_end = True
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            self.clean = False

    def bytes_sent(self) -> bytes:
        """What it would send in the end."""
        found, sent = b"", 0
        for size in self.sizes:
            part = DATA[sent % 7 : sent % 7 + size]
            found += part
            sent += len(part)
        return found


@settings(max_examples=40, deadline=None)
@given(peers, peers)
def test_whatever_the_peers_do(client_script: tuple[list[int], str], origin_script: tuple[list[int], str]) -> None:
    async def main() -> None:
        with trio.fail_after(DEADLINE):
            client, server = Peer(client_script), Peer(origin_script)
            async with (
                origin(server.run) as back,
                serving(compiled(tcp_bootstrap("stat_prefix: t, cluster: c", c=back.address.port))) as rig,
            ):
                await client.run((await rig.connect()).stream)
                await rig.quiet()
                if back.accepted:
                    await server.finished.wait()
                assert in_use(rig) == {}
                check(client, server, rig.stats.value)

    with no_leaks():
        trio.run(main)


def check(client: Peer, server: Peer, value: object) -> None:
    assert callable(value)
    uploaded, downloaded = value("tcp.t.downstream_cx_rx_bytes_total"), value("tcp.t.downstream_cx_tx_bytes_total")
    up, down = value("cluster.c.upstream_cx_tx_bytes_total"), value("cluster.c.upstream_cx_rx_bytes_total")
    assert client.bytes_sent().startswith(bytes(server.got))
    assert server.bytes_sent().startswith(bytes(client.got))
    assert len(server.got) <= up <= uploaded <= client.sent
    assert len(client.got) <= downloaded <= down <= server.sent
    if client.end == server.end == "finish":
        assert client.clean
        assert server.clean
        assert client.saw_the_end
        assert server.saw_the_end
        assert bytes(server.got) == client.bytes_sent()
        assert bytes(client.got) == server.bytes_sent()
        assert uploaded == up == client.sent == len(server.got)
        assert downloaded == down == server.sent == len(client.got)
