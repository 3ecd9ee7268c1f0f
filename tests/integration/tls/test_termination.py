"""TLS that ends here: certificates, versions, ciphers, sessions, as a client sees them."""

from __future__ import annotations

import contextlib
import socket
import ssl
from pathlib import Path

import pytest
import trio

from proxy.config.common import SocketAddress
from tests.integration.tls.terminating import (
    GET,
    TLS,
    ask,
    authority,
    certificate,
    context,
    inline,
    secured,
    server,
    shake_hands,
    ssl_stats,
    terminating,
)
from tests.kit.certificates import Pair
from tests.kit.config import findings
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import Rig
from tests.unit.upstream.rig import OK

CHAIN = "envoy.config.listener.v3.FilterChain"
NOWHERE = SocketAddress("127.0.0.1", 9)


def faults(transport_socket: dict[str, object]) -> dict[str, str]:
    """What is wrong, by the last two parts of its place."""
    found = findings(secured(NOWHERE, transport_socket))
    return {".".join(map(str, finding.path[-2:])): finding.message for finding in found}


@pytest.mark.field(f"{CHAIN}.transport_socket", "envoy.config.core.v3.TransportSocket.typed_config")
@pytest.mark.field(f"{TLS}.DownstreamTlsContext.common_tls_context", f"{TLS}.CommonTlsContext.tls_certificates")
@pytest.mark.field(f"{TLS}.TlsCertificate.certificate_chain", f"{TLS}.TlsCertificate.private_key")
@run_trio
async def test_a_request_and_what_is_counted() -> None:
    async with terminating(context()) as rig:
        stream = await shake_hands(rig, authority().client())
        for _ in range(3):  # the express lane, and what it leaves behind in a record
            await stream.send_all(GET)
            assert bytes(await stream.receive_some()).startswith(b"HTTP/1.1 200 OK\r\n")
        assert rig.value("downstream_cx_ssl_active") == 1
        await stream.aclose()
        await rig.quiet()
        assert rig.value("downstream_cx_ssl_active") == 0
        assert rig.value("downstream_rq_2xx") == 3
        assert ssl_stats(rig) == {
            "handshake": 1,
            "no_certificate": 1,
            "versions.TLSv1.3": 1,
            "ciphers.TLS_AES_128_GCM_SHA256": 1,
            "curves.X25519": 1,
        }


@run_trio
async def test_a_body_larger_than_records_and_a_request_in_pieces() -> None:
    body = bytes(range(256)) * 2000

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await stream.receive_some()

    async with terminating(context(), serve) as rig:
        stream = await shake_hands(rig, authority().client())
        for piece in (GET[:5], GET[5:30], GET[30:]):
            await stream.send_all(piece)
            await trio.sleep(0.001)
        received = b""
        with trio.fail_after(5):
            while len(received.partition(b"\r\n\r\n")[2]) < len(body):
                received += await stream.receive_some()
        assert received.partition(b"\r\n\r\n")[2] == body


@run_trio
async def test_plain_text_to_a_tls_port_ends() -> None:
    async with terminating(context()) as rig:
        assert not (await rig.ask(GET)).startswith(b"HTTP")
        await rig.quiet()
        assert ssl_stats(rig) == {"connection_error": 1}


@run_trio
async def test_the_certificate_by_server_name() -> None:
    first, second = authority().issue("first.test"), authority().issue("*.second.test", "second.test")
    async with terminating(context(first, second)) as rig:
        for name, expected in (("first.test", first), ("second.test", second), ("X.second.test", second)):
            stream = await shake_hands(rig, authority().client(), name)
            assert stream.getpeercert(binary_form=True) == expected.der
        unverified = ssl.create_default_context()
        unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
        stream = await shake_hands(rig, unverified, "other.test")
        assert stream.getpeercert(binary_form=True) == first.der


@pytest.mark.field(f"{TLS}.DownstreamTlsContext.full_scan_certs_on_sni_mismatch")
@run_trio
async def test_full_scan_for_a_name_that_nobody_has() -> None:
    pairs = authority().issue("first.test", rsa_bits=2048), authority().issue("second.test")
    client = ssl.create_default_context()
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    async with terminating(context(*pairs, full_scan_certs_on_sni_mismatch=True)) as rig:
        stream = await shake_hands(rig, client, "other.test")
        assert stream.getpeercert(binary_form=True) == pairs[1].der


@pytest.mark.field(f"{TLS}.CommonTlsContext.alpn_protocols")
@run_trio
async def test_alpn() -> None:
    async with terminating(context(common={"alpn_protocols": ["h2", "http/1.1"]})) as rig:
        stream = await shake_hands(rig, authority().client(alpn=["http/1.1", "other"]))
        assert stream.selected_alpn_protocol() == "http/1.1"


@pytest.mark.field(f"{TLS}.CommonTlsContext.tls_params", f"{TLS}.TlsParameters.tls_minimum_protocol_version")
@run_trio
async def test_the_lowest_version() -> None:
    old = authority().client()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with terminating(context(common={"tls_params": {"tls_minimum_protocol_version": "TLSv1_3"}})) as rig:
        with pytest.raises(trio.BrokenResourceError):
            await shake_hands(rig, old)
        assert ssl_stats(rig) == {"connection_error": 1}


@pytest.mark.field(f"{TLS}.TlsParameters.tls_maximum_protocol_version", f"{TLS}.TlsParameters.cipher_suites")
@run_trio
async def test_the_highest_version_and_its_cipher() -> None:
    suites = ["[ECDHE-ECDSA-AES256-GCM-SHA384|ECDHE-ECDSA-CHACHA20-POLY1305]"]
    parameters = {"tls_maximum_protocol_version": "TLSv1_2", "cipher_suites": suites}
    async with terminating(context(common={"tls_params": parameters})) as rig:
        stream = await shake_hands(rig, authority().client())
        assert (stream.version(), stream.cipher()[0]) == ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384")


@pytest.mark.field(f"{TLS}.TlsParameters.ecdh_curves")
@run_trio
async def test_the_curve() -> None:
    async with terminating(context(common={"tls_params": {"ecdh_curves": ["P-384"]}})) as rig:
        await ask(rig, authority().client())
        assert ssl_stats(rig)["curves.P-384"] == 1


@pytest.mark.field(f"{TLS}.TlsParameters.signature_algorithms")
@run_trio
async def test_signature_algorithms_that_the_certificate_cannot_serve() -> None:
    only_rsa = {"signature_algorithms": ["rsa_pss_rsae_sha256"]}
    async with terminating(context(common={"tls_params": only_rsa})) as rig:
        with pytest.raises(trio.BrokenResourceError):
            await shake_hands(rig, authority().client())


@pytest.mark.field(f"{TLS}.TlsCertificate.password")
@run_trio
async def test_an_encrypted_key() -> None:
    pair = server()
    transport_socket = context()
    common = transport_socket["typed_config"]["common_tls_context"]
    common["tls_certificates"] = [
        certificate(pair, private_key=inline(pair.encrypted("sesame")), password=inline("sesame"))
    ]
    async with terminating(transport_socket) as rig:
        assert (await ask(rig, authority().client())).startswith(b"HTTP/1.1 200")


@pytest.mark.field(f"{CHAIN}.transport_socket_connect_timeout")
@run_trio
async def test_a_client_that_says_nothing() -> None:
    async with terminating(context(), chain="transport_socket_connect_timeout: 0.2s") as rig:
        silent = await rig.connect()
        with trio.fail_after(5):
            assert await silent.rest() == b""
        await rig.quiet()
        assert rig.stats.value("listener.127.0.0.1_0.downstream_cx_transport_socket_connect_timeout") == 1


@run_trio
async def test_a_session_is_resumed() -> None:
    async with terminating(context()) as rig:
        assert await resumes(rig, authority().client())
        assert ssl_stats(rig)["session_reused"] == 1


@pytest.mark.field(f"{TLS}.DownstreamTlsContext.disable_stateless_session_resumption")
@run_trio
async def test_no_tickets() -> None:
    async with terminating(context(disable_stateless_session_resumption=True)) as rig:
        assert not await resumes(rig, authority().client())


@pytest.mark.field(f"{TLS}.DownstreamTlsContext.disable_stateful_session_resumption")
@run_trio
async def test_no_session_ids() -> None:
    client = authority().client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.options |= ssl.OP_NO_TICKET
    async with terminating(context(disable_stateful_session_resumption=True)) as rig:
        assert not await resumes(rig, client)


@pytest.mark.field(f"{TLS}.DownstreamTlsContext.session_timeout")
@run_trio
async def test_how_long_a_ticket_is_good_for() -> None:
    async with terminating(context(session_timeout="77s")) as rig:
        session = await trio.to_thread.run_sync(read_once, rig.address, authority().client(), None)
        assert session.ticket_lifetime_hint == 77


@pytest.mark.field(f"{TLS}.DownstreamTlsContext.session_ticket_keys", f"{TLS}.TlsSessionTicketKeys.keys")
@run_trio
async def test_two_proxies_with_the_same_ticket_key(monkeypatch: pytest.MonkeyPatch) -> None:
    client, keys = authority().client(), {"keys": [inline("k" * 80)]}
    async with terminating(context(session_ticket_keys=keys)) as one:
        session = await trio.to_thread.run_sync(read_once, one.address, client, None)
    monkeypatch.setattr("proxy.net.tls.tickets._SECRET", b"another process's")
    async with terminating(context(session_ticket_keys=keys, session_timeout="2000s")) as two:
        await trio.to_thread.run_sync(read_once, two.address, client, session)
        assert ssl_stats(two).get("session_reused") == 1


@pytest.mark.field(f"{TLS}.DownstreamTlsContext.prefer_client_ciphers")
@run_trio
async def test_whose_cipher_comes_first() -> None:
    suites = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"]
    parameters = {"tls_maximum_protocol_version": "TLSv1_2", "cipher_suites": suites}
    client = authority().client()
    client.set_ciphers(":".join(reversed(suites)))
    async with terminating(context(common={"tls_params": parameters}, prefer_client_ciphers=True)) as rig:
        stream = await shake_hands(rig, client)
        assert stream.cipher()[0] == suites[1]


def read_once(address: tuple[str, int], client: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLSession:
    """One request; the session that may be resumed afterwards (TLS 1.3 sends it with the first data)."""
    with (
        socket.create_connection(address, timeout=5) as sock,
        client.wrap_socket(sock, server_hostname="a.test", session=session) as secure,
    ):
        secure.sendall(GET)
        assert secure.recv(65536).startswith(OK.split(b"\r\n")[0])
        remembered = secure.session
        assert remembered is not None
        with contextlib.suppress(OSError):
            secure.unwrap()  # else OpenSSL forgets a session that it keeps by its id
        return remembered


async def resumes(rig: Rig, client: ssl.SSLContext) -> bool:
    """Whether a second connection resumes the first one's session."""
    session = await trio.to_thread.run_sync(read_once, rig.address, client, None)
    before = ssl_stats(rig).get("session_reused", 0)
    await trio.to_thread.run_sync(read_once, rig.address, client, session)
    return ssl_stats(rig).get("session_reused", 0) > before


def test_what_cannot_serve_is_named() -> None:
    pair, other = server(), authority().issue("other.test")
    assert faults(mixed(pair, other)) == {"0.private_key": "the private key is not that of the certificate"}
    assert faults(context(authority().issue("x", rsa_bits=1024))) == {
        "0.certificate_chain": "an RSA key of 1024 bits is too small"
    }
    assert faults(context(common={"tls_params": {"cipher_suites": ["NOPE"]}})) == {
        "tls_params.cipher_suites": "OpenSSL knows no cipher of 'NOPE'"
    }
    assert "ecdh_curves" in str(faults(context(common={"tls_params": {"ecdh_curves": ["P-1"]}})))
    assert "everybody would come in" in str(faults(context(require_client_certificate=True)))
    assert "a session ticket key of 3 bytes" in str(faults(context(session_ticket_keys={"keys": [inline("abc")]})))


def mixed(pair: Pair, other: Pair) -> dict[str, object]:
    """The one's certificate with the other's key."""
    transport_socket = context()
    transport_socket["typed_config"]["common_tls_context"]["tls_certificates"] = [
        certificate(pair, private_key=inline(other.key))
    ]
    return transport_socket


def test_a_key_that_is_no_file_of_ours(tmp_path: Path) -> None:
    transport_socket = context()
    pair = transport_socket["typed_config"]["common_tls_context"]["tls_certificates"][0]
    pair["private_key"] = {"filename": str(tmp_path / "missing.pem")}
    assert list(faults(transport_socket)) == ["private_key.filename"]
