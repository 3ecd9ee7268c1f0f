"""The binding is that of the library that `ssl` uses, and what it refuses is an error and no crash."""

from __future__ import annotations

import ssl

import pytest

from proxy.net.tls import libssl


def server() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


def test_contexts_are_laid_out_as_we_believe() -> None:
    libssl.check()


@pytest.mark.parametrize(
    ("call", "good", "bad"),
    [
        (libssl.set_groups, "X25519:P-256", "P-1"),
        (libssl.set_signature_algorithms, "rsa_pss_rsae_sha256:ecdsa_secp256r1_sha256", "rot13"),
        (libssl.set_tls13_ciphers, "TLS_AES_256_GCM_SHA384", "TLS_NULL"),
    ],
)
def test_names(call: object, good: str, bad: str) -> None:
    assert callable(call)
    call(server(), good)
    with pytest.raises(ValueError, match="OpenSSL does not know"):
        call(server(), bad)


def test_a_ticket_key_has_its_length() -> None:
    libssl.set_ticket_key(server(), bytes(80))
    with pytest.raises(ValueError, match="80 bytes"):
        libssl.set_ticket_key(server(), bytes(79))
