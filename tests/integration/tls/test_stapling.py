"""OCSP responses that come with the certificate: who gets one, and who may not come in without."""

from __future__ import annotations

import base64
import json
import socket
import ssl
from typing import Any

import pytest
import trio

from proxy.config.common import SocketAddress
from proxy.net.tls.socket import TlsSocket
from tests.integration.test_fields import cluster
from tests.integration.tls.terminating import GET, TLS, authority, certificate, context, server, terminating
from tests.integration.tls.test_termination import faults
from tests.kit import ocsp
from tests.kit.certificates import Pair
from tests.kit.config import bootstrap, findings
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import Rig

POLICY = f"{TLS}.DownstreamTlsContext.ocsp_staple_policy"


def good(pair: Pair) -> bytes:
    return ocsp.response(pair, authority().pair)


def expired(pair: Pair) -> bytes:
    return ocsp.response(pair, authority().pair, days=-1)


def without_end(pair: Pair) -> bytes:
    return ocsp.response(pair, authority().pair, days=None)


def must_staple() -> Pair:
    return authority().issue("a.test", must_staple=True)


def stapling(response: bytes, policy: str = "", pair: Pair | None = None) -> dict[str, Any]:
    """A transport socket with this response, b"" for none."""
    found = certificate(pair or server())
    if response:
        found["ocsp_staple"] = {"inline_bytes": base64.b64encode(response).decode()}
    fields = {"ocsp_staple_policy": policy} if policy else {}
    return context(common={"tls_certificates": [found]}, **fields)


def visit(address: tuple[str, int], client: ssl.SSLContext) -> tuple[bytes, bytes]:
    """The server's certificate and the response that came with it. Raises `ssl.SSLError` if the client does not come
    in.
    """
    with (
        socket.create_connection(address, timeout=5) as sock,
        client.wrap_socket(sock, server_hostname="a.test") as secure,
    ):
        secure.sendall(GET)
        assert secure.recv(100).startswith(b"HTTP/1.1 200")
        response = ocsp.received(secure) if isinstance(secure, TlsSocket) else b""
        return secure.getpeercert(binary_form=True) or b"", response


async def staple(rig: Rig, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, *, asks: bool = True) -> bytes:
    """The response that a client gets."""
    client = authority().client()
    client.maximum_version = version
    _, response = await trio.to_thread.run_sync(visit, rig.address, ocsp.asking(client) if asks else client)
    return response


def counted(rig: Rig) -> dict[str, int]:
    prefix = "listener.127.0.0.1_0.ssl.ocsp_staple_"
    words = {name.removeprefix(prefix): word.value for name, word in rig.stats.words.items() if name.startswith(prefix)}
    return {name: value for name, value in words.items() if value}


@pytest.mark.field(f"{TLS}.TlsCertificate.ocsp_staple")
@run_trio
async def test_whoever_asks_gets_one() -> None:
    response = good(server())
    async with terminating(stapling(response)) as rig:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            assert await staple(rig, version) == response
        await staple(rig, asks=False)
        assert counted(rig) == {"requests": 2, "responses": 2}


@run_trio
async def test_each_certificate_has_its_own() -> None:
    pairs = (server(), authority().issue("a.test", rsa_bits=2048))
    transport_socket = context()
    transport_socket["typed_config"]["common_tls_context"]["tls_certificates"] = [
        {**certificate(pair), "ocsp_staple": {"inline_bytes": base64.b64encode(good(pair)).decode()}} for pair in pairs
    ]

    async with terminating(transport_socket) as rig:
        for cipher in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"):
            client = authority().client()
            client.maximum_version = ssl.TLSVersion.TLSv1_2
            client.set_ciphers(cipher)
            der, response = await trio.to_thread.run_sync(visit, rig.address, ocsp.asking(client))
            (pair,) = [each for each in pairs if each.der == der]
            assert ocsp.serial_of(response) == pair.certificate.serial_number


@run_trio
async def test_an_old_response_is_left_out() -> None:
    for response in (b"", expired(server()), without_end(server())):
        async with terminating(stapling(response, "LENIENT_STAPLING")) as rig:
            assert await staple(rig) == b""
            assert counted(rig) == {"requests": 1, "omitted": 1}


@pytest.mark.parametrize(
    ("policy", "pair"),
    [
        pytest.param("STRICT_STAPLING", server, marks=pytest.mark.field(POLICY)),
        pytest.param("MUST_STAPLE", server, marks=pytest.mark.field(POLICY)),
        pytest.param("", must_staple),
    ],
)
@run_trio
async def test_an_old_response_keeps_out_whoever_asks(policy: str, pair: Any) -> None:
    chosen = pair()
    async with terminating(stapling(expired(chosen), policy, chosen)) as rig:
        with pytest.raises(OSError, match="alert"):
            await staple(rig)
        await staple(rig, asks=False)
        await rig.quiet()
        assert counted(rig) == {"requests": 1, "failed": 1}
        assert [record.detail for record in rig.records] == ["tls_no_ocsp_response"]


@run_trio
async def test_strict_is_about_old_ones_alone() -> None:
    async with terminating(stapling(b"", "STRICT_STAPLING")) as rig:
        assert await staple(rig) == b""


@pytest.mark.parametrize(
    ("response", "policy", "pair", "words"),
    [
        (b"", "MUST_STAPLE", server, "there is no OCSP response"),
        (b"", "", must_staple, "the certificate says that an OCSP response must come with it (RFC 7633)"),
        (b"junk", "", server, "this is no OCSP response (DER)"),
        ("unsuccessful", "", server, "the OCSP responder had no answer: UNAUTHORIZED"),
        ("another's", "", server, "the OCSP response is for another certificate"),
    ],
)
def test_what_cannot_be_stapled(response: Any, policy: str, pair: Any, words: str) -> None:
    if isinstance(response, str):
        response = ocsp.unsuccessful() if response == "unsuccessful" else good(authority().issue("b.test"))
    found = faults(stapling(response, policy, pair()))
    assert list(found) == ["0.ocsp_staple"]
    assert words in found["0.ocsp_staple"]


def test_a_client_has_nobody_to_give_one_to() -> None:
    found = stapling(good(server()))["typed_config"]["common_tls_context"]
    upstream = {"@type": f"type.googleapis.com/{TLS}.UpstreamTlsContext", "common_tls_context": found}
    fields = f"transport_socket: {json.dumps({'name': 'tls', 'typed_config': upstream})}"
    text = bootstrap(clusters=cluster(SocketAddress("127.0.0.1", 9), fields=fields))
    assert [finding.message for finding in findings(text)] == ["no server asks its clients for an OCSP response"]
