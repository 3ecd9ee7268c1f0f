"""Who may come in: client certificates against authorities, names, hashes and lists of the revoked."""

from __future__ import annotations

import base64
import functools
import hashlib
import ssl
from pathlib import Path
from typing import Any

import pytest
import trio
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from proxy.config.common import SocketAddress
from tests.integration.tls.terminating import (
    TLS,
    ask,
    authority,
    context,
    inline,
    secured,
    ssl_stats,
    terminating,
)
from tests.integration.tls.test_termination import read_once
from tests.kit.certificates import Pair
from tests.kit.config import findings
from tests.kit.trio import run_trio

VALIDATION = f"{TLS}.CertificateValidationContext"
SAN = f"{TLS}.SubjectAltNameMatcher"


@functools.cache
def alice() -> Pair:
    return authority().issue("alice.test", "spiffe://test/alice", "alice@test.example", "10.0.0.7", name="alice")


@functools.cache
def stranger() -> Pair:
    return authority("another root").issue("alice.test", name="stranger")


@functools.cache
def expired() -> Pair:
    return authority().issue("alice.test", name="expired", days=-1)


class Door:
    """A listener with a validation context, tried by one client after the other."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def client(self, pair: Pair | None) -> ssl.SSLContext:
        return authority().client(pair, path=str(self._directory / "client.pem"))

    async def admits(self, rig: Any, pair: Pair | None) -> bool:
        try:
            return (await ask(rig, self.client(pair))).startswith(b"HTTP/1.1 200")
        except trio.BrokenResourceError:
            return False


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


def validating(required: bool = False, **validation: Any) -> dict[str, Any]:
    """A transport socket that trusts our authority, unless told otherwise."""
    if "trusted_ca" not in validation:
        validation["trusted_ca"] = inline(authority().pem)
    if validation["trusted_ca"] is None:
        del validation["trusted_ca"]
    return context(common={"validation_context": validation}, require_client_certificate=required)


@run_trio
@pytest.mark.field(f"{VALIDATION}.trusted_ca", f"{TLS}.CommonTlsContext.validation_context")
async def test_whoever_shows_a_certificate_must_show_a_good_one(door: Door) -> None:
    async with terminating(validating()) as rig:
        assert await door.admits(rig, alice())
        assert await door.admits(rig, None)
        assert not await door.admits(rig, stranger())
        assert not await door.admits(rig, expired())
        await rig.quiet()
        found = ssl_stats(rig)
        assert {name: found.get(name, 0) for name in ("handshake", "no_certificate", "fail_verify_error")} == {
            "handshake": 2,
            "no_certificate": 1,
            "fail_verify_error": 2,
        }
        assert "connection_error" not in found
        assert found["sigalgs.ecdsa_secp256r1_sha256"] == 1


@run_trio
@pytest.mark.field(f"{TLS}.DownstreamTlsContext.require_client_certificate")
async def test_a_certificate_is_needed(door: Door) -> None:
    async with terminating(validating(required=True)) as rig:
        assert not await door.admits(rig, None)
        assert await door.admits(rig, alice())
        await rig.quiet()
        assert ssl_stats(rig)["fail_verify_no_cert"] == 1


@run_trio
@pytest.mark.field(f"{VALIDATION}.match_typed_subject_alt_names", f"{SAN}.matcher")
@pytest.mark.parametrize(
    ("kind", "matcher", "good"),
    [
        pytest.param("DNS", {"exact": "alice.test"}, True, marks=pytest.mark.field(f"{SAN}.san_type=DNS")),
        pytest.param("DNS", {"suffix": ".other"}, False),
        pytest.param("URI", {"prefix": "spiffe://test/"}, True, marks=pytest.mark.field(f"{SAN}.san_type=URI")),
        pytest.param("URI", {"exact": "alice.test"}, False),
        pytest.param("EMAIL", {"contains": "alice@"}, True, marks=pytest.mark.field(f"{SAN}.san_type=EMAIL")),
        pytest.param("IP_ADDRESS", {"exact": "10.0.0.7"}, True, marks=pytest.mark.field(f"{SAN}.san_type=IP_ADDRESS")),
        pytest.param("IP_ADDRESS", {"exact": "10.0.0.8"}, False),
    ],
)
async def test_names(door: Door, kind: str, matcher: dict[str, str], good: bool) -> None:
    names = [{"san_type": kind, "matcher": matcher}]
    async with terminating(validating(match_typed_subject_alt_names=names)) as rig:
        assert await door.admits(rig, alice()) is good
        assert not await door.admits(rig, None), "without a certificate nobody has a name"
        await rig.quiet()
        assert ssl_stats(rig).get("fail_verify_san", 0) == (0 if good else 1)


@run_trio
@pytest.mark.field(f"{VALIDATION}.verify_certificate_hash")
@pytest.mark.parametrize("separator", ["", ":"])
async def test_hashes(door: Door, separator: str) -> None:
    digest = hashlib.sha256(alice().der).hexdigest()
    text = separator.join(digest[i : i + 2] for i in range(0, 64, 2))
    async with terminating(validating(verify_certificate_hash=[text], trusted_ca=None)) as rig:
        assert await door.admits(rig, alice())
        assert not await door.admits(rig, stranger())
        await rig.quiet()
        assert ssl_stats(rig)["fail_verify_cert_hash"] == 1


@run_trio
@pytest.mark.field(f"{VALIDATION}.verify_certificate_spki")
async def test_public_keys(door: Door) -> None:
    key = stranger().private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pins = [base64.b64encode(hashlib.sha256(key).digest()).decode()]
    async with terminating(validating(verify_certificate_spki=pins, trusted_ca=None)) as rig:
        assert await door.admits(rig, stranger())
        assert not await door.admits(rig, alice())


@run_trio
@pytest.mark.field(f"{VALIDATION}.crl")
async def test_the_revoked(door: Door) -> None:
    other = authority().issue("bob.test", name="bob")
    async with terminating(validating(crl=inline(authority().revoke(other)))) as rig:
        assert await door.admits(rig, alice())
        assert not await door.admits(rig, other)
        await rig.quiet()
        assert ssl_stats(rig)["fail_verify_error"] == 1


@run_trio
@pytest.mark.field(f"{VALIDATION}.only_verify_leaf_cert_crl")
async def test_a_list_of_the_leafs_authority_alone(door: Door) -> None:
    """Without the field, the intermediate authority's own list is missing."""
    below = _Below()
    crl = inline(below.revoke())
    async with terminating(validating(crl=crl, only_verify_leaf_cert_crl=True)) as rig:
        assert await door.admits(rig, below.leaf)


@run_trio
@pytest.mark.field(f"{VALIDATION}.max_verify_depth")
async def test_how_long_a_chain_may_be(door: Door) -> None:
    async with terminating(validating(max_verify_depth=0)) as rig:
        assert await door.admits(rig, alice())
        assert not await door.admits(rig, _Below().leaf)


@run_trio
@pytest.mark.field(f"{VALIDATION}.allow_expired_certificate")
async def test_expired_ones_may_be_taken(door: Door) -> None:
    async with terminating(validating(allow_expired_certificate=True)) as rig:
        assert await door.admits(rig, expired())
        assert not await door.admits(rig, stranger())


@run_trio
@pytest.mark.field(f"{VALIDATION}.trust_chain_verification")
async def test_strangers_may_be_taken(door: Door) -> None:
    async with terminating(validating(trust_chain_verification="ACCEPT_UNTRUSTED")) as rig:
        assert await door.admits(rig, stranger())
        await rig.quiet()
        assert ssl_stats(rig)["fail_verify_error"] == 1


@run_trio
async def test_a_session_outlives_no_certificate(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a ticket remembers is looked at again: who has a bad certificate by now does not come in by it."""
    async with terminating(validating(required=True)) as rig:
        client = door.client(alice())
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        session = await trio.to_thread.run_sync(read_once, rig.address, client, None)
        session = await trio.to_thread.run_sync(read_once, rig.address, client, session)
        assert ssl_stats(rig)["session_reused"] == 1
        later = alice().certificate.not_valid_after_utc.replace(year=2099)
        monkeypatch.setattr("proxy.net.tls.verifier.datetime", _Later(later))
        with pytest.raises((OSError, AssertionError)):
            await trio.to_thread.run_sync(read_once, rig.address, client, session)
        await rig.quiet()
        assert ssl_stats(rig)["fail_verify_error"] == 1


class _Later:
    def __init__(self, at: Any) -> None:
        self._at = at

    def now(self, _: Any) -> Any:
        return self._at


class _Below:
    """A certificate of an intermediate authority, with the whole chain."""

    def __init__(self) -> None:
        from tests.kit.certificates import Authority

        middle = Authority.__new__(Authority)
        middle.pair = authority().issue(name="middle", authority=True)
        leaf = middle.issue("below.test")
        self.revoke = middle.revoke
        self.leaf = _Chain(leaf, middle.pair)


class _Chain:
    def __init__(self, leaf: Pair, issuer: Pair) -> None:
        self.chain, self.key = leaf.chain + issuer.chain, leaf.key


@pytest.mark.parametrize(
    ("validation", "fault"),
    [
        ({"trusted_ca": inline("nothing")}, "there is no PEM certificate in it"),
        ({"crl": inline("nothing")}, "there is no PEM CRL in it"),
        ({"verify_certificate_hash": ["00" * 32 + "0"], "trusted_ca": None}, "is no SHA-256 digest"),
        ({"verify_certificate_spki": ["AAAA" * 11], "trusted_ca": None}, "is no SHA-256 digest"),
        ({"crl": inline(""), "trusted_ca": None}, ""),
    ],
)
def test_what_cannot_be_validated_against_is_named(validation: dict[str, Any], fault: str) -> None:
    found = findings(secured(SocketAddress("127.0.0.1", 9), validating(**validation)))
    assert fault in " ".join(finding.message for finding in found)
    assert bool(found) is bool(fault)
