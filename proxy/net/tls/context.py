"""`ssl.SSLContext`s of compiled TLS contexts: what both directions have in common."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterator, Sequence

from proxy.config.tls import Certificate, TlsParameters, Validation, Version
from proxy.net.tls import libssl
from proxy.net.tls.socket import TlsSocket

CIPHERS = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:\
ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
"""Envoy's default, up to TLS 1.2."""

TLS13_CIPHERS = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
"""BoringSSL's order, which no configuration changes."""

CURVES = "X25519:P-256"
"""Envoy's default."""

_VERSIONS = {
    "TLSv1_0": ssl.TLSVersion.TLSv1,
    "TLSv1_1": ssl.TLSVersion.TLSv1_1,
    "TLSv1_2": ssl.TLSVersion.TLSv1_2,
    "TLSv1_3": ssl.TLSVersion.TLSv1_3,
}
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME


class TlsConfigError(ValueError):
    """A context cannot be made. `field` is at fault: "certificate", "key", "trusted_ca", "crl", "cipher_suites",
    "ecdh_curves", "signature_algorithms", "versions", "ocsp_staple".
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def new_context(*, server: bool, parameters: TlsParameters, alpn: Sequence[str] = ()) -> ssl.SSLContext:
    """A context without certificates, which verifies nothing. Raises `TlsConfigError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = TlsSocket
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _set_versions(context, parameters.minimum or "TLSv1_2", parameters.maximum or ("TLSv1_3" if server else "TLSv1_2"))
    try:
        context.set_ciphers(parameters.ciphers or CIPHERS)
    except ssl.SSLError:
        raise TlsConfigError("cipher_suites", f"OpenSSL knows no cipher of {parameters.ciphers!r}") from None
    libssl.set_tls13_ciphers(context, TLS13_CIPHERS)
    with _field("ecdh_curves"):
        libssl.set_groups(context, parameters.curves or CURVES)
    if parameters.signature_algorithms:
        with _field("signature_algorithms"):
            libssl.set_signature_algorithms(context, parameters.signature_algorithms)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    libssl.read_ahead(context)
    return context


def _set_versions(context: ssl.SSLContext, minimum: Version, maximum: Version) -> None:
    if _VERSIONS[minimum] > _VERSIONS[maximum]:
        raise TlsConfigError("versions", f"the lowest version {minimum} is above the highest one {maximum}")
    with contextlib.ExitStack() as stack:
        if _VERSIONS[minimum] < ssl.TLSVersion.TLSv1_2:
            stack.enter_context(_without_warnings())
        context.minimum_version = _VERSIONS[minimum]
        context.maximum_version = _VERSIONS[maximum]


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Python's warning that TLS 1.0 and 1.1 are old: the operator has asked for them by name."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@contextlib.contextmanager
def _field(name: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise TlsConfigError(name, str(error)) from None


def load_certificate(context: ssl.SSLContext, certificate: Certificate) -> None:
    """Present this pair. Raises `TlsConfigError`.

    Python loads keys from files alone: here from one that has no name, so that a key is never on a disk.
    """
    if not certificate.key:
        raise TlsConfigError("key", "the certificate has no private key")
    try:
        with _nameless(certificate.chain) as chain, _nameless(certificate.key) as key:
            context.load_cert_chain(chain, key, password=lambda: certificate.password)  # OpenSSL asks no terminal
    except ssl.SSLError as error:
        reason = error.reason or "there is no whole PEM private key in it"  # `ssl` has no words for that
        raise TlsConfigError("certificate" if reason in _OF_CHAIN else "key", _WORDS.get(reason, reason)) from None
    except ValueError as error:
        raise TlsConfigError("key", str(error)) from None


_OF_CHAIN = ("NO_START_LINE", "EE_KEY_TOO_SMALL", "CA_MD_TOO_WEAK")
_WORDS = {
    "KEY_VALUES_MISMATCH": "the private key is not that of the certificate",
    "NO_START_LINE": "there is no PEM certificate",
    "BAD_DECRYPT": "the private key cannot be decrypted: the password is wrong",
    "BAD_PASSWORD_READ": "the private key is encrypted, and there is no password",
    "EE_KEY_TOO_SMALL": "the certificate's key is too small",
}


def load_trust(context: ssl.SSLContext, validation: Validation, *, server: bool) -> None:
    """Trust `trusted_ca`, and distrust what `crl` lists. Raises `TlsConfigError`."""
    flags = int(context.verify_flags)
    if validation.trusted_ca:
        with _nameless(validation.trusted_ca) as path:
            _load(context, path, "trusted_ca")
            if server:
                libssl.name_client_authorities(context, path)
        flags |= int(ssl.VERIFY_X509_PARTIAL_CHAIN)
        if validation.allow_expired_certificate:
            flags |= _NO_CHECK_TIME
    if validation.crl:
        with _nameless(validation.crl) as path:
            _load(context, path, "crl")
    if validation.crl or b"BEGIN X509 CRL" in validation.trusted_ca:
        leaf_only = validation.only_verify_leaf_cert_crl
        flags |= int(ssl.VERIFY_CRL_CHECK_LEAF if leaf_only else ssl.VERIFY_CRL_CHECK_CHAIN)
    context.verify_flags = ssl.VerifyFlags(flags)
    if validation.max_verify_depth is not None:
        libssl.set_verify_depth(context, validation.max_verify_depth)


def _load(context: ssl.SSLContext, path: str, field: str) -> None:
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        what = "CRL" if field == "crl" else "certificate"
        why = f" ({error.reason})" if error.reason else ""
        raise TlsConfigError(field, f"there is no PEM {what} in it{why}") from None


@contextlib.contextmanager
def _nameless(content: bytes) -> Iterator[str]:
    """The path of a file in memory that has this content, and that nobody else can open."""
    number = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        os.fchmod(number, 0o600)
        with open(number, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{number}"
    finally:
        os.close(number)
