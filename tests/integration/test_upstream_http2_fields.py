"""Clusters that speak HTTP/2, as their hosts see it: text, compiler, server, real sockets."""

from __future__ import annotations

import h2.events
import pytest
import trio

from tests.integration.test_fields import CLUSTER, proxy
from tests.integration.test_http2_fields import KEEPALIVE, OPTIONS, brief
from tests.unit.proxy.h2_rig import connect
from tests.unit.upstream.h2_rig import H2Server
from tests.unit.upstream.rig import OK, Serve, answering

HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
ASK = b"GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te, close\r\n\r\n"
TRAILERS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\na: b\r\n\r\n"


def speaking(protocol: str) -> str:
    """Fields of a cluster."""
    return f"typed_extension_protocol_options: {{{HTTP}: {{'@type': type.googleapis.com/{HTTP}, {protocol}}}}}"


def settings(server: H2Server) -> dict[int, int]:
    """What the proxy has announced to the host."""
    (peer,) = server.peers
    (event,) = [event for event in peer.events if isinstance(event, h2.events.RemoteSettingsChanged)]
    return {int(number): change.new_value for number, change in event.changed_settings.items()}


@brief
@pytest.mark.field(
    f"{HTTP}.ExplicitHttpConfig.http2_protocol_options",
    f"{OPTIONS}.max_concurrent_streams",
    f"{OPTIONS}.hpack_table_size",
    f"{OPTIONS}.initial_stream_window_size",
)
async def test_explicit_http2() -> None:
    server = H2Server()
    options = "max_concurrent_streams: 7, hpack_table_size: 100, initial_stream_window_size: 70000"
    fields = speaking(f"explicit_http_config: {{http2_protocol_options: {{{options}}}}}")
    async with proxy(server.serve, cluster_fields=fields) as rig:
        assert (await rig.ask(ASK)).endswith(b"ok\r\n0\r\n\r\n")
        assert settings(server) == {1: 100, 2: 0, 3: 7, 4: 70000, 8: 0}
        assert rig.stats.value("cluster.origin.upstream_cx_http2_total") == 1


@brief
@pytest.mark.field(f"{CLUSTER}.http2_protocol_options")
async def test_as_it_was_said_before_there_were_protocol_options() -> None:
    server = H2Server()
    async with proxy(server.serve, cluster_fields="http2_protocol_options: {max_concurrent_streams: 7}") as rig:
        assert (await rig.ask(ASK)).startswith(b"HTTP/1.1 200 ")
        assert settings(server)[3] == 7


@brief
@pytest.mark.field(f"{HTTP}.use_downstream_protocol_config", f"{HTTP}.UseDownstreamHttpConfig.http2_protocol_options")
async def test_what_the_client_speaks() -> None:
    server = H2Server()
    options = "http_protocol_options: {}, http2_protocol_options: {max_concurrent_streams: 7}"
    fields = speaking(f"use_downstream_protocol_config: {{{options}}}")
    async with proxy(server.serve, cluster_fields=fields) as rig:
        assert (await (await connect(rig)).get())[":status"] == "200"
        assert settings(server)[3] == 7
    async with proxy(answering(OK), cluster_fields=fields) as rig:
        assert (await rig.ask(ASK)).startswith(b"HTTP/1.1 200 ")


@brief
@pytest.mark.field(f"{KEEPALIVE}.connection_idle_interval")
async def test_a_host_that_was_silent_is_asked_before_it_is_used() -> None:
    server = H2Server()
    keepalive = "connection_keepalive: {connection_idle_interval: 5s, timeout: 2s}"
    fields = speaking(f"explicit_http_config: {{http2_protocol_options: {{{keepalive}}}}}")
    async with proxy(server.serve, cluster_fields=fields) as rig:

        async def asked(pings: int) -> None:
            assert (await rig.ask(ASK)).startswith(b"HTTP/1.1 200 ")
            (peer,) = server.peers
            assert len([event for event in peer.events if isinstance(event, h2.events.PingReceived)]) == pings

        await asked(0)
        await asked(0)
        await trio.sleep(6)
        await asked(1)
        await trio.sleep(4)
        await asked(1)


@brief
@pytest.mark.field(f"{HTTP}.UseDownstreamHttpConfig.http_protocol_options")
async def test_options_of_http1_where_the_client_decides() -> None:
    options = "http_protocol_options: {enable_trailers: true}"
    fields = speaking(f"use_downstream_protocol_config: {{{options}}}")
    serve: Serve = answering(TRAILERS)
    async with proxy(serve, cluster_fields=fields, hcm="http_protocol_options: {enable_trailers: true}") as rig:
        assert b"a: b" in await rig.ask(ASK)
