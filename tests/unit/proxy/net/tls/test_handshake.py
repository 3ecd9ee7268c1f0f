"""A served connection of TLS leaves nothing to the garbage collector."""

from __future__ import annotations

import gc
import socket
import ssl
import weakref

import trio

from proxy.config.tls import Certificate, DownstreamTls
from proxy.net.connection import Connection
from proxy.net.tls import handshake
from proxy.net.tls.server import ServerTls
from proxy.net.tls.stats import TlsStats
from proxy.stats import MemoryStats
from tests.kit.certificates import Authority
from tests.kit.trio import run_trio


async def shake_hands(client: ssl.SSLSocket) -> None:
    while True:
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            await trio.lowlevel.wait_readable(client)
        else:
            return


@run_trio
async def test_what_is_closed_is_gone() -> None:
    authority, stats = Authority(), MemoryStats()
    pair = authority.issue("a.test")
    tls = ServerTls(DownstreamTls((Certificate(pair.chain.encode(), pair.key.encode()),)), TlsStats(stats, ""))
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    context = authority.client()
    with (
        trio.CancelScope() as scope,
        context.wrap_socket(theirs, server_hostname="a.test", do_handshake_on_connect=False) as client,
    ):
        connection = Connection(ours, scope)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shake_hands, client)
            await handshake.accept(connection, tls, 5, stats.counter("timed_out"), lambda _: None)
        assert connection.tls is not None
        session = weakref.ref(connection.tls)
        gc.disable()
        try:
            connection.close()
            del connection
            assert session() is None
        finally:
            gc.enable()
