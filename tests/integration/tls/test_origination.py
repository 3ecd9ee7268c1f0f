"""TLS to upstreams: names, trust, certificates of our own, sessions, and what is said when it fails."""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.test_fields import cluster, one_listener
from tests.integration.tls.terminating import TLS, authority, certificate, inline, server
from tests.kit.certificates import Pair
from tests.kit.config import bootstrap, findings
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import GET, Rig, serving
from tests.unit.upstream.rig import origin

VALIDATION = f"{TLS}.CertificateValidationContext"
CLUSTER = "envoy.config.cluster.v3.Cluster"


class Host:
    """An origin that speaks TLS and writes down what clients asked for."""

    def __init__(self, directory: Path, pair: Pair, *, asks: bool = False) -> None:
        path = directory / "origin.pem"
        path.write_text(pair.chain + pair.key)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(path)
        self.context.sni_callback = lambda sock, name, _: self.names.append(name)
        self.context.set_alpn_protocols(["http/1.1"])
        if asks:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(cadata=authority().pem)
        self.names: list[str | None] = []
        self.clients: list[bytes | None] = []
        self.applications: list[str | None] = []
        self.resumed: list[bool] = []

    async def serve(self, stream: trio.SocketStream) -> None:
        secure = trio.SSLStream(stream, self.context, server_side=True, https_compatible=True)
        await secure.do_handshake()
        self.clients.append(secure.getpeercert(binary_form=True))
        self.applications.append(secure.selected_alpn_protocol())
        self.resumed.append(bool(secure.session_reused))
        while request := bytes(await secure.receive_some()):
            closes = b"last" in request
            end = b"connection: close\r\n" if closes else b""
            await secure.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n%b\r\nok" % end)
            if closes:
                await secure.aclose()
                return


def speaking(common: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    typed = {"@type": f"type.googleapis.com/{TLS}.UpstreamTlsContext", "common_tls_context": common or {}, **fields}
    return {"name": "tls", "typed_config": typed}


def trusting(**validation: Any) -> dict[str, Any]:
    return {"validation_context": {"trusted_ca": inline(authority().pem), **validation}}


@contextlib.asynccontextmanager
async def proxy(host: Host, transport_socket: dict[str, Any]) -> AsyncIterator[Rig]:
    async with origin(host.serve) as upstream:
        fields = f"transport_socket: {json.dumps(transport_socket)}"
        text = bootstrap(clusters=cluster(upstream.address, fields=fields))
        async with serving(one_listener(text)) as rig:
            yield rig


async def ask(rig: Rig, *requests: bytes) -> bytes:
    client = await rig.connect()
    answer = b""
    with trio.fail_after(5):
        for request in requests or (GET,):
            await client.send(request)
            head, body = await client.response()
            answer = head + body
    return answer


@run_trio
@pytest.mark.field(f"{CLUSTER}.transport_socket", f"{TLS}.UpstreamTlsContext.sni")
async def test_requests_over_one_connection(tmp_path: Path) -> None:
    host = Host(tmp_path, server())
    async with proxy(host, speaking(sni="a.test")) as rig:
        assert (await ask(rig, GET, GET, GET)).startswith(b"HTTP/1.1 200 OK\r\n")
        assert host.names == ["a.test"]
        found = {name: rig.stats.value(f"cluster.origin.{name}") for name in ("ssl.handshake", "upstream_cx_total")}
        assert found == {"ssl.handshake": 1, "upstream_cx_total": 1}
        assert rig.stats.value("cluster.origin.ssl.sigalgs.ecdsa_secp256r1_sha256") == 1


@run_trio
@pytest.mark.field(f"{TLS}.UpstreamTlsContext.common_tls_context", f"{TLS}.CommonTlsContext.validation_context")
@pytest.mark.parametrize(
    ("validation", "fault", "counted"),
    [
        ({}, "", ""),
        ({"trusted_ca": "another"}, "unable to get local issuer certificate", "fail_verify_error"),
        (
            {"match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "else.test"}}]},
            "SAN matcher, certificate SANs are [a.test, *.b.test]",
            "fail_verify_san",
        ),
    ],
)
async def test_who_is_trusted(tmp_path: Path, validation: dict[str, Any], fault: str, counted: str) -> None:
    if validation.get("trusted_ca") == "another":
        validation = {"trusted_ca": inline(authority("another root").pem)}
    elsewhere = {**trusting(trusted_ca=inline(authority("another root").pem))}
    host = Host(tmp_path, server())
    async with proxy(host, speaking(trusting(**validation))) as rig:
        answer = await ask(rig)
        if not fault:
            assert answer.startswith(b"HTTP/1.1 200")
        else:
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert rig.stats.value(f"cluster.origin.ssl.{counted}") == 1
            assert rig.stats.value("cluster.origin.ssl.connection_error") == 0
            assert fault in rig.records[0].attempts[0].error
    async with proxy(host, speaking(elsewhere)) as rig:
        assert (await ask(rig)).startswith(b"HTTP/1.1 503 "), "a stranger, whatever else is asked"


@run_trio
async def test_a_certificate_of_our_own(tmp_path: Path) -> None:
    alice = authority().issue("alice.test", name="alice")
    host = Host(tmp_path, server(), asks=True)
    common = {"tls_certificates": [certificate(alice)], "alpn_protocols": ["http/1.1"]}
    async with proxy(host, speaking(common)) as rig:
        assert (await ask(rig)).startswith(b"HTTP/1.1 200")
        assert host.clients == [alice.der]
        assert host.applications == ["http/1.1"]


@run_trio
@pytest.mark.field(f"{TLS}.UpstreamTlsContext.max_session_keys")
async def test_sessions_are_resumed_unless_none_may_be_kept(tmp_path: Path) -> None:
    last = GET.replace(b"GET /", b"GET /last")
    host = Host(tmp_path, server())
    async with proxy(host, speaking(sni="a.test")) as rig:
        for _ in range(2):
            await ask(rig, last)
        assert host.resumed == [False, True]
        assert rig.stats.value("cluster.origin.ssl.session_reused") == 1
    host = Host(tmp_path, server())
    async with proxy(host, speaking(sni="a.test", max_session_keys=0)) as rig:
        for _ in range(2):
            await ask(rig, last)
        assert host.resumed == [False, False]


@run_trio
async def test_a_host_that_speaks_no_tls() -> None:
    async def plain(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with origin(plain) as upstream:
        text = bootstrap(clusters=cluster(upstream.address, fields=f"transport_socket: {json.dumps(speaking())}"))
        async with serving(one_listener(text)) as rig:
            assert (await ask(rig)).startswith(b"HTTP/1.1 503 ")
            assert rig.stats.value("cluster.origin.ssl.connection_error") == 1
            assert "WRONG_VERSION_NUMBER" in rig.records[0].attempts[0].error


@run_trio
async def test_the_connect_timeout_is_for_the_handshake_too() -> None:
    async def silent(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with origin(silent) as upstream:
        fields = f"connect_timeout: 0.1s, transport_socket: {json.dumps(speaking())}"
        async with serving(one_listener(bootstrap(clusters=cluster(upstream.address, fields=fields)))) as rig:
            assert b"connection timeout" in await ask(rig)
            assert rig.stats.value("cluster.origin.upstream_cx_connect_timeout") == 1


def test_faults() -> None:
    def messages(transport_socket: dict[str, Any]) -> str:
        from proxy.config.common import SocketAddress

        fields = f"transport_socket: {json.dumps(transport_socket)}"
        found = findings(bootstrap(clusters=cluster(SocketAddress("127.0.0.1", 9), fields=fields)))
        return " ".join(finding.message for finding in found)

    pair = certificate(server())
    assert "one certificate" in messages(speaking({"tls_certificates": [pair, pair]}))
    assert "there is no PEM certificate" in messages(speaking(trusting(trusted_ca=inline("x"))))
    assert "not supported" in messages(speaking(allow_renegotiation=True))
