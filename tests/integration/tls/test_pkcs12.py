"""Certificate, chain and key in one file of PKCS #12."""

from __future__ import annotations

import base64
import ssl
from typing import Any

import pytest
import trio
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, NoEncryption, pkcs12

from tests.integration.tls.terminating import TLS, authority, context, inline, server, shake_hands, terminating
from tests.integration.tls.test_termination import faults
from tests.kit.certificates import Pair
from tests.kit.trio import run_trio


def bundle(pair: Pair, password: str = "") -> dict[str, str]:
    how = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    root = authority().pair.certificate
    data = pkcs12.serialize_key_and_certificates(b"a", pair.private, pair.certificate, [root], how)
    return {"inline_bytes": base64.b64encode(data).decode()}


def holding(**fields: Any) -> dict[str, Any]:
    """A transport socket whose certificate has these fields."""
    return context(common={"tls_certificates": [fields]})


@pytest.mark.field(f"{TLS}.TlsCertificate.pkcs12")
@pytest.mark.parametrize("password", ["", "sesame"])
@run_trio
async def test_it_is_presented_with_its_chain(password: str) -> None:
    fields = {"pkcs12": bundle(server(), password), **({"password": inline(password)} if password else {})}
    async with terminating(holding(**fields)) as rig:
        stream = await shake_hands(rig, authority().client())
        assert stream.getpeercert(binary_form=True) == server().der
        sent = stream._ssl_object._sslobj.get_unverified_chain()
        roots = [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in sent[1:]]
        assert roots == [authority().pair.der]
        await trio.aclose_forcefully(stream)


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"password": inline("wrong")}, "0.pkcs12"),
        ({}, "0.pkcs12"),
        ({"password": inline("sesame"), "private_key": inline("x")}, "0.private_key"),
        ({"password": inline("sesame"), "certificate_chain": inline("x")}, "0.certificate_chain"),
    ],
)
def test_what_cannot_be_used(fields: dict[str, Any], place: str) -> None:
    assert list(faults(holding(pkcs12=bundle(server(), "sesame"), **fields))) == [place]


def test_junk_and_half_of_it() -> None:
    junk = {"inline_bytes": base64.b64encode(b"junk").decode()}
    assert "cannot be read" in faults(holding(pkcs12=junk))["0.pkcs12"]
    only_roots = pkcs12.serialize_key_and_certificates(None, None, None, [authority().pair.certificate], NoEncryption())
    found = faults(holding(pkcs12={"inline_bytes": base64.b64encode(only_roots).decode()}))
    assert found == {"0.pkcs12": "there is no certificate in it"}
