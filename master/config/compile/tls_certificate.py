"""Certificates with their keys (`TlsCertificate`): PEM or PKCS #12, checked as pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from master.config.compile.pkcs12 import chain_and_key
from proxy.config.tls import Certificate, TlsParameters
from proxy.net.tls.certificate import CertificateFacts
from proxy.net.tls.context import TlsConfigError, load_certificate, new_context
from proxy.net.tls.server import facts_of

if TYPE_CHECKING:
    from master.config.compile.context import Context

_TLS = "envoy.extensions.transport_sockets.tls.v3"
FIELDS: dict[str, tuple[str, ...]] = {
    f"{_TLS}.TlsCertificate": (
        "certificate_chain",
        "private_key",
        "pkcs12",
        "password",
        "watched_directory",
        "ocsp_staple",
    ),
}

_LEAST_RSA_BITS = 2048
_CURVES_OF_KEYS = (256, 384, 521)


def compile_certificate(message: Any, context: Context) -> Certificate | None:
    """A `TlsCertificate` that a server can present; None for one that is reported."""
    if message.HasField("pkcs12"):
        certificate = _from_pkcs12(message, context)
        usable = not context.incomplete() and not context.faulty() and _check_pair(certificate, context)
        return certificate if usable else None
    certificate = Certificate(
        chain=context.data_source(message.certificate_chain, "certificate_chain"),
        key=context.data_source(message.private_key, "private_key"),
        password=context.data_source(message.password, "password"),
        path=message.certificate_chain.filename or "<inline>",
        ocsp=context.data_source(message.ocsp_staple, "ocsp_staple"),
    )
    return certificate if not context.incomplete() and _check_pair(certificate, context) else None


def _from_pkcs12(message: Any, context: Context) -> Certificate:
    """What cannot be read is reported."""
    for field in ("certificate_chain", "private_key"):
        if message.HasField(field):
            context.error((field,), "pkcs12 has chain and key already", f"no {field}")
    bundle = context.data_source(message.pkcs12, "pkcs12")
    password = context.data_source(message.password, "password")
    chain = key = b""
    if bundle:
        try:
            chain, key = chain_and_key(bundle, password)
        except TlsConfigError as error:
            context.error(("pkcs12",), str(error), "a certificate with its key, and the right password")
    return Certificate(
        chain=chain,
        key=key,
        path=message.pkcs12.filename or "<inline>",
        ocsp=context.data_source(message.ocsp_staple, "ocsp_staple"),
    )


def refuse_watching(message: Any, context: Context) -> None:
    """Report a `watched_directory` that nobody would look at: the message is not from a file of secrets."""
    if message.HasField("watched_directory"):
        context.error(
            ("watched_directory",),
            "only secrets that come from a file are read again when a directory changes",
            "a secret with an sds_config of path_config_source",
        )


def _check_pair(certificate: Certificate, context: Context) -> bool:
    """Report a pair that nobody can use, at its place. What could not be read has been reported."""
    if not certificate.chain or not certificate.key:
        if not context.faulty():
            missing = "private_key" if certificate.chain else "certificate_chain"
            context.error((), f"the certificate has no {missing}", missing)
        return False
    try:
        facts = facts_of(certificate)
        if too_weak := _weakness(facts):
            context.error(("certificate_chain",), *too_weak)
            return False
        load_certificate(new_context(server=True, parameters=TlsParameters()), certificate)
    except TlsConfigError as error:
        context.error(("private_key" if error.field == "key" else "certificate_chain",), str(error))
        return False
    return True


def _weakness(facts: CertificateFacts) -> tuple[str, str] | None:
    """What is wrong with a public key, and what is expected; as in Envoy."""
    if facts.key_kind == "RSA" and facts.key_bits < _LEAST_RSA_BITS:
        return f"an RSA key of {facts.key_bits} bits is too small", f"{_LEAST_RSA_BITS} bits or more"
    if facts.key_kind == "EC" and facts.key_bits not in _CURVES_OF_KEYS:
        return "this curve is not supported", "P-256, P-384 or P-521"
    return None
