"""What checks are spoken over: HTTP/2, TLS, and the transport socket that is meant for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from proxy.config.cluster import SocketMatch
from proxy.config.common import SocketAddress
from proxy.config.health_check import HttpCheck, TcpCheck
from proxy.config.tls import UpstreamTls
from proxy.upstream.health.checkers.http import HttpChecker
from proxy.upstream.health.checkers.tcp import TcpChecker
from proxy.upstream.health.verdicts import Failure, Result
from tests.kit.certificates import Authority
from tests.kit.h2_origin import H2Origin
from tests.kit.tls_origin import TlsOrigin
from tests.kit.trio import run_trio
from tests.unit.upstream.health.rig import TargetRig

WELL = Result(status=200)


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SocketAddress]:
    authority = Authority()
    directory: Path = tmp_path_factory.mktemp("origin")
    with TlsOrigin(directory, {"": authority.issue("DNS:a.test")}, authority) as running:
        yield SocketAddress("127.0.0.1", running.port)


async def check(kind: HttpCheck, address: SocketAddress, **rig: Any) -> Result:
    checker = HttpChecker(TargetRig(kind, address, **rig).target)
    try:
        return await checker.check()
    finally:
        checker.close()


@pytest.mark.parametrize(
    ("configured", "asked", "agreed"),
    [
        ((), (), b"null"),
        (("http/1.1",), (), b'"http/1.1"'),
        (("http/1.1",), ("other",), b'"other"'),
        ((), ("other",), b'"other"'),
    ],
)
@run_trio
async def test_the_protocols_that_a_check_offers(
    origin: SocketAddress, configured: tuple[str, ...], asked: tuple[str, ...], agreed: bytes
) -> None:
    kind = HttpCheck("/", receive=(b'"alpn": ' + agreed,))
    found = await check(kind, origin, cluster={"tls": UpstreamTls(alpn=configured)}, checks={"alpn": asked})
    assert found == WELL


MATCHES = (SocketMatch("secure", (("tls", '"yes"'),), UpstreamTls()),)


@pytest.mark.parametrize(
    ("criteria", "metadata", "result"),
    [
        ("", (), Result(Failure.NETWORK)),
        ('{"tls":"yes"}', (), WELL),
        ("", (("envoy.transport_socket_match", '{"tls":"yes"}'),), WELL),
        ('{"tls":"no"}', (("envoy.transport_socket_match", '{"tls":"yes"}'),), Result(Failure.NETWORK)),
    ],
)
@run_trio
async def test_the_transport_socket_that_is_meant_for_checks(
    origin: SocketAddress, criteria: str, metadata: Any, result: Result
) -> None:
    found = await check(
        HttpCheck("/"),
        origin,
        cluster={"socket_matches": MATCHES},
        checks={"socket_match": criteria},
        metadata=metadata,
    )
    assert found == result


@run_trio
async def test_a_handshake_is_a_connection(origin: SocketAddress) -> None:
    checker = TcpChecker(TargetRig(TcpCheck(), origin, cluster={"tls": UpstreamTls()}).target)
    assert await checker.check() == Result()


@run_trio
async def test_http2() -> None:
    with H2Origin() as running:
        address = SocketAddress("127.0.0.1", running.port)
        for path, result in {"/": WELL, "/?status=503": Result(Failure.ACTIVE, status=503)}.items():
            for reuses in (True, False):
                rig = TargetRig(HttpCheck(path, http2=True), address, reuse_connection=reuses)
                async with trio.open_nursery() as nursery:
                    await nursery.start(rig.background.run)
                    checker = HttpChecker(rig.target)
                    assert [await checker.check() for _ in range(2)] == [result] * 2
                    checker.close()
                    assert not {name for name in rig.counted() if "upstream" in name}
                    nursery.cancel_scope.cancel()
