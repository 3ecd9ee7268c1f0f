"""A host that hears first whose connection it is (`ProxyProtocolUpstreamTransport`)."""

from __future__ import annotations

import pytest
import trio

from tests.integration.test_fields import asked, proxy, request, virtual
from tests.unit.proxy.rig import until

KIND = "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport"
SOCKET = """transport_socket: {name: p, typed_config: {"@type": type.googleapis.com/%s, config: {version: %s},
  transport_socket: {name: raw, typed_config:
    {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}}"""
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Host:
    """`said` is all that came of each connection."""

    def __init__(self) -> None:
        self.said: list[bytes] = []

    async def serve(self, stream: trio.SocketStream) -> None:
        number = len(self.said)
        self.said.append(b"")
        async for data in stream:
            self.said[number] += data
            if self.said[number].endswith(b"\r\n\r\n"):
                await stream.send_all(OK)


@virtual
@pytest.mark.field(f"{KIND}.config", f"{KIND}.transport_socket", "envoy.config.core.v3.ProxyProtocolConfig.version")
async def test_each_client_has_a_connection_of_its_own() -> None:
    host = Host()
    async with proxy(host.serve, cluster_fields=SOCKET % (KIND, "V2")) as rig:
        ports = []
        for number in range(2):
            async with await asked(rig, request()) as client:
                ports.append(client.stream.socket.getsockname()[1])
                for _ in range(2):
                    await client.response()
                    await client.send(request())
            assert len(host.said) == number + 1
    for port, said in zip(ports, host.said, strict=True):
        assert said[:12] == b"\r\n\r\n\0\r\nQUIT\n"
        assert said[24:26] == port.to_bytes(2, "big")
        assert said[28:].startswith(b"GET / HTTP/1.1\r\n")


@virtual
@pytest.mark.parametrize(
    ("version", "told"), [("V1", b"PROXY TCP4 127.0.0.1 "), ("V2", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0GET /health")]
)
async def test_a_health_check_is_nobody_s(version: str, told: bytes) -> None:
    host = Host()
    checks = "health_checks: [{timeout: 1s, interval: 5s, unhealthy_threshold: 1, healthy_threshold: 1,"
    checks += "http_health_check: {path: /health}}]"
    async with proxy(host.serve, cluster_fields=f"{SOCKET % (KIND, version)}, {checks}"):
        await until(lambda: bool(host.said) and b"/health" in host.said[0])
    assert host.said[0].startswith(told)
