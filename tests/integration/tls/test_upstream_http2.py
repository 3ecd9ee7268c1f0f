"""HTTP/2 to upstreams over TLS: what is offered by ALPN, and what the host's choice leads to."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from proxy.config.common import SocketAddress
from tests.integration.test_fields import cluster, one_listener
from tests.integration.test_http2_fields import OPTIONS
from tests.integration.test_upstream_http2_fields import ASK, HTTP, settings, speaking
from tests.integration.tls.terminating import server
from tests.integration.tls.test_origination import Host, trusting
from tests.integration.tls.test_origination import speaking as tls
from tests.kit.config import bootstrap, findings
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import Rig, serving
from tests.unit.upstream.h2_rig import H2Server
from tests.unit.upstream.rig import answering, origin

AUTO = "auto_config: {http_protocol_options: {enable_trailers: true}, http2_protocol_options: {hpack_table_size: 100}}"
TRAILERS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\na: b\r\n\r\n"


class Either(Host):
    """A host that speaks what it has agreed on; `chooses` is what it offers to."""

    def __init__(self, directory: Path, *chooses: str) -> None:
        super().__init__(directory, server())
        self.context.set_alpn_protocols(list(chooses))
        self.http2 = H2Server()

    async def serve(self, stream: trio.SocketStream) -> None:
        secure = trio.SSLStream(stream, self.context, server_side=True, https_compatible=True)
        await secure.do_handshake()
        self.applications.append(secure.selected_alpn_protocol())
        with contextlib.suppress(trio.BrokenResourceError):
            serve = self.http2.serve if self.applications[-1] == "h2" else answering(TRAILERS)
            await serve(secure)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def proxy(host: Host, protocol: str) -> AsyncIterator[Rig]:
    async with origin(host.serve) as upstream:
        fields = f"transport_socket: {json.dumps(tls(trusting()))}, {speaking(protocol)}"
        text = bootstrap(
            hcm="http_protocol_options: {enable_trailers: true}", clusters=cluster(upstream.address, fields=fields)
        )
        async with serving(one_listener(text)) as rig:
            yield rig


def opened(rig: Rig) -> list[int]:
    """Connections of HTTP/1 and 2, all of them, and those that are open."""
    names = ("cx_http1_total", "cx_http2_total", "cx_total", "cx_active")
    return [rig.stats.value(f"cluster.origin.upstream_{name}") for name in names]


@run_trio
async def test_a_cluster_of_http2_offers_nothing_else(tmp_path: Path) -> None:
    host = Either(tmp_path, "http/1.1", "h2")
    async with proxy(host, "explicit_http_config: {http2_protocol_options: {}}") as rig:
        assert (await rig.ask(ASK)).startswith(b"HTTP/1.1 200 ")
        assert host.applications == ["h2"]


@run_trio
@pytest.mark.field(
    f"{HTTP}.auto_config", f"{HTTP}.AutoHttpConfig.http2_protocol_options", f"{OPTIONS}.hpack_table_size"
)
async def test_a_host_that_speaks_http2(tmp_path: Path) -> None:
    host = Either(tmp_path, "h2", "http/1.1")
    async with proxy(host, AUTO) as rig:
        for _ in range(2):
            assert (await rig.ask(ASK)).startswith(b"HTTP/1.1 200 ")
        assert opened(rig) == [0, 1, 1, 1]
        assert settings(host.http2)[1] == 100


@run_trio
@pytest.mark.field(f"{HTTP}.AutoHttpConfig.http_protocol_options")
async def test_a_host_that_speaks_http1(tmp_path: Path) -> None:
    """Those who waited for the one connection that was opened for all of them open their own."""
    host = Either(tmp_path, "http/1.1")
    async with proxy(host, AUTO) as rig:

        async def ask() -> None:
            answer = await rig.ask(ASK)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"a: b" in answer

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask)
        http1, http2, total, active = opened(rig)
        assert 1 <= http1 == total == active <= 3
        assert http2 == 0
        assert set(host.applications) == {"http/1.1"}
        await ask()
        assert opened(rig)[2] == total, "an idle one was used"


@run_trio
async def test_a_host_that_knows_no_alpn(tmp_path: Path) -> None:
    host = Either(tmp_path)
    async with proxy(host, AUTO) as rig:
        assert (await rig.ask(ASK)).startswith(b"HTTP/1.1 200 ")
        assert opened(rig) == [1, 0, 1, 1]


def test_without_tls_nothing_can_be_chosen() -> None:
    (finding,) = findings(bootstrap(clusters=cluster(SocketAddress("127.0.0.1", 9), fields=speaking(AUTO))))
    assert "only TLS can tell" in finding.message
