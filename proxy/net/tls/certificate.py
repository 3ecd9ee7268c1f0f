"""What a certificate says, in Envoy's words. Facts are read when they are asked for."""

from __future__ import annotations

import functools
import hashlib
import re
import ssl
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

_SHORT_NAMES = {
    NameOID.EMAIL_ADDRESS: "emailAddress",
    NameOID.SERIAL_NUMBER: "serialNumber",
    NameOID.GIVEN_NAME: "GN",
    NameOID.SURNAME: "SN",
    NameOID.TITLE: "title",
    NameOID.PSEUDONYM: "pseudonym",
    NameOID.DN_QUALIFIER: "dnQualifier",
    NameOID.GENERATION_QUALIFIER: "generationQualifier",
    NameOID.INITIALS: "initials",
}
"""BoringSSL's, where `cryptography` writes numbers."""

_NOT_PLAIN = re.compile(r"[^\x20-\x7e]")


class CertificateFacts:
    """A certificate by its DER encoding. Raises `ValueError` where it is none."""

    def __init__(self, der: bytes) -> None:
        self.der = der
        try:
            self._certificate = x509.load_der_x509_certificate(der)
        except x509.InvalidVersion as error:
            raise ValueError(str(error)) from None

    @property
    def subject(self) -> str:
        """As RFC 2253 writes it: the last name first."""
        return _rfc2253(self._certificate.subject)

    @property
    def issuer(self) -> str:
        """As RFC 2253 writes it."""
        return _rfc2253(self._certificate.issuer)

    @property
    def common_name(self) -> str:
        """The subject's; "" if it has none."""
        names = self._certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[0].value) if names else ""

    @property
    def serial(self) -> str:
        """In hexadecimal, lower case."""
        digits = f"{self._certificate.serial_number:x}"
        return digits if len(digits) % 2 == 0 else f"0{digits}"

    @property
    def serial_number(self) -> int:
        return self._certificate.serial_number

    @property
    def must_staple(self) -> bool:
        """Whether an OCSP response must come with it (RFC 7633)."""
        try:
            features = self._certificate.extensions.get_extension_for_class(x509.TLSFeature).value
        except (x509.ExtensionNotFound, ValueError):
            return False
        return x509.TLSFeatureType.status_request in features

    @property
    def key_kind(self) -> str:
        """Of the public key: RSA, EC, or "" for another."""
        key = self._certificate.public_key()
        if isinstance(key, rsa.RSAPublicKey):
            return "RSA"
        return "EC" if isinstance(key, ec.EllipticCurvePublicKey) else ""

    @property
    def key_bits(self) -> int:
        """The size of an RSA or EC key; 0 for another."""
        key = self._certificate.public_key()
        return key.key_size if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) else 0

    @property
    def begins(self) -> datetime:
        return self._certificate.not_valid_before_utc

    @property
    def expires(self) -> datetime:
        return self._certificate.not_valid_after_utc

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.der).digest()

    @property
    def sha1(self) -> bytes:
        return hashlib.sha1(self.der, usedforsecurity=False).digest()

    @property
    def spki(self) -> bytes:
        """SHA-256 of the public key with its algorithm (`verify_certificate_spki`)."""
        key = self._certificate.public_key()
        return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()

    @property
    def may_sign(self) -> bool:
        """Whether its key may be used for signatures, as all handshakes but RSA's own key exchange need them."""
        try:
            return self._certificate.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
        except (x509.ExtensionNotFound, ValueError):
            return True

    @property
    def pem(self) -> str:
        return ssl.DER_cert_to_PEM_cert(self.der)

    @functools.cached_property
    def sans(self) -> tuple[tuple[str, str], ...]:
        """Subject alternative names, in the certificate's order: their kind (EMAIL, DNS, URI, IP_ADDRESS) and value."""
        try:
            names = self._certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (x509.ExtensionNotFound, ValueError):
            return ()
        return tuple(found for found in map(_san, names) if found is not None)

    @functools.cached_property
    def other_names(self) -> tuple[str, ...]:
        """Alternative names of kinds that have no name of their own (`otherName`), as far as they are text."""
        try:
            names = self._certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (x509.ExtensionNotFound, ValueError):
            return ()
        found = (_text(name.value) for name in names if isinstance(name, x509.OtherName))
        return tuple(text for text in found if text is not None)

    def names(self, kind: str) -> list[str]:
        """The subject alternative names of one kind."""
        return [value for its, value in self.sans if its == kind]


def _rfc2253(name: x509.Name) -> str:
    """The last name first, also of several in one. What is not printable ASCII becomes `\\XX`, by byte: nobody's name
    ends a line of a header or a log.
    """
    parts = (
        "+".join(attribute.rfc4514_string(_SHORT_NAMES) for attribute in reversed(list(several)))
        for several in reversed(name.rdns)
    )
    return _NOT_PLAIN.sub(lambda found: "".join(f"\\{byte:02X}" for byte in found[0].encode()), ",".join(parts))


def _san(name: x509.GeneralName) -> tuple[str, str] | None:
    match name:
        case x509.DNSName():
            return "DNS", name.value
        case x509.UniformResourceIdentifier():
            return "URI", name.value
        case x509.RFC822Name():
            return "EMAIL", name.value
        case x509.IPAddress():
            return "IP_ADDRESS", str(name.value)
    return None


_TEXTS = {
    0x0C: "utf-8",
    0x12: "ascii",
    0x13: "ascii",
    0x16: "ascii",
    0x1A: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
"""Encodings of ASN.1's strings, by their tag."""


def _text(der: bytes) -> str | None:
    """The string that is encoded so (shorter than 128 bytes); None for anything else."""
    if len(der) < 2 or der[1] != len(der) - 2 or der[1] >= 0x80 or der[0] not in _TEXTS:
        return None
    try:
        return der[2:].decode(_TEXTS[der[0]])
    except UnicodeDecodeError:
        return None


def matches_dns(wanted: str, pattern: str) -> bool:
    """Whether the host `wanted` is named by a certificate's `pattern`, of which the first label may be `*`
    (`Utility::dnsNameMatch`).
    """
    wanted, pattern = wanted.lower(), pattern.lower()
    if wanted == pattern:
        return True
    if not pattern.startswith("*.") or pattern.count("*") > 1:
        return False
    label, _, rest = wanted.partition(".")
    return bool(label) and rest != "" and rest == pattern[2:]
