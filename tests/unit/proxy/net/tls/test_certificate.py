"""Facts of certificates, and which names a pattern stands for."""

from __future__ import annotations

import hashlib

import pytest

from proxy.net.tls.certificate import CertificateFacts, matches_dns
from tests.kit.certificates import Authority


def test_what_a_key_is_for() -> None:
    root = Authority("root")
    assert [CertificateFacts(root.issue("a", signs=signs).der).may_sign for signs in (True, False)] == [True, False]


def test_facts() -> None:
    pair = Authority("root").issue("a.test", "spiffe://x/y", "me@a.test", "10.0.0.1", "::1", name="leaf")
    facts = CertificateFacts(pair.der)
    assert (facts.subject, facts.issuer, facts.common_name) == ("CN=leaf", "CN=root", "leaf")
    assert int(facts.serial, 16) == pair.certificate.serial_number
    assert len(facts.serial) % 2 == 0
    assert facts.sha256 == hashlib.sha256(pair.der).digest()
    assert facts.sans == (
        ("DNS", "a.test"),
        ("URI", "spiffe://x/y"),
        ("EMAIL", "me@a.test"),
        ("IP_ADDRESS", "10.0.0.1"),
        ("IP_ADDRESS", "::1"),
    )
    assert facts.names("DNS") == ["a.test"]
    assert facts.begins < facts.expires
    assert (facts.key_kind, facts.key_bits) == ("EC", 256)


def test_without_names() -> None:
    assert CertificateFacts(Authority().issue().der).sans == ()


@pytest.mark.parametrize("junk", [b"", b"junk", b"\x30\x03\x02\x01\x05"])
def test_junk_is_no_certificate(junk: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        CertificateFacts(junk)


@pytest.mark.parametrize(
    ("wanted", "pattern", "matches"),
    [
        ("a.test", "a.test", True),
        ("A.test", "a.TEST", True),
        ("x.a.test", "*.a.test", True),
        ("y.x.a.test", "*.a.test", False),
        ("a.test", "*.a.test", False),
        ("a.test", "*", False),
        ("x.a.test", "x*.a.test", False),
        ("x.a.test", "*.*.test", False),
        ("", "*.test", False),
        (".test", "*.test", False),
    ],
)
def test_patterns(wanted: str, pattern: str, *, matches: bool) -> None:
    assert matches_dns(wanted, pattern) is matches
