"""Certificates for tests: an authority that issues what a test asks for. EC keys, as RSA keys take their time."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_ENCRYPTS = x509.KeyUsage(
    digital_signature=False, content_commitment=False, key_encipherment=True, data_encipherment=False,
    key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
)  # fmt: skip
DAY = datetime.timedelta(days=1)


class Pair(NamedTuple):
    """A certificate and its key."""

    certificate: x509.Certificate
    private: Key

    @property
    def chain(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def fingerprint(self) -> str:
        """Of the certificate, SHA-256 in hexadecimal."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def key(self) -> str:
        return self.encrypted("")

    def encrypted(self, password: str) -> str:
        """The key, PKCS 8; in clear with an empty `password`."""
        how = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        return self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how).decode()


class Authority:
    """A root that issues certificates."""

    def __init__(self, name: str = "test root") -> None:
        self.pair = _issue(name, None, (), authority=True)
        self.pem = self.pair.chain

    def issue(
        self,
        *sans: str,
        name: str = "leaf",
        days: float = 30,
        begins: float = -60,
        rsa_bits: int = 0,
        authority: bool = False,
        must_staple: bool = False,
        signs: bool = True,
    ) -> Pair:
        """A certificate for these names: DNS names, IP addresses, URIs (with `://`), mail addresses (with `@`),
        user principal names (with `upn:`).

        It is good from `begins` to `days`, in days from now. Without `signs` its key is for encryption alone.
        """
        return _issue(
            name,
            self.pair,
            sans,
            days=days,
            begins=begins,
            rsa_bits=rsa_bits,
            authority=authority,
            must_staple=must_staple,
            signs=signs,
        )

    def revoke(self, *pairs: Pair) -> str:
        """The PEM list of revoked certificates."""
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.pair.certificate.subject)
        builder = builder.last_update(now - DAY).next_update(now + DAY)
        for pair in pairs:
            serial = x509.RevokedCertificateBuilder().serial_number(pair.certificate.serial_number)
            builder = builder.add_revoked_certificate(serial.revocation_date(now - DAY).build())
        return builder.sign(self.pair.private, hashes.SHA256()).public_bytes(Encoding.PEM).decode()

    def client(self, pair: Pair | None = None, *, path: str = "", alpn: Sequence[str] = ()) -> ssl.SSLContext:
        """A client's context that trusts this authority and presents `pair`, by way of a file `path`."""
        context = ssl.create_default_context(cadata=self.pem)
        if pair is not None:
            with open(path, "w") as file:  # noqa: PTH123 - `ssl` takes files alone
                file.write(pair.chain + pair.key)
            context.load_cert_chain(path)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context


def _issue(
    name: str,
    issuer: Pair | None,
    sans: Sequence[str],
    *,
    days: float = 30,
    begins: float = -60,
    rsa_bits: int = 0,
    authority: bool = False,
    must_staple: bool = False,
    signs: bool = True,
) -> Pair:
    key: Key = rsa.generate_private_key(65537, rsa_bits) if rsa_bits else ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins * DAY)
        .not_valid_after(now + days * DAY)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if sans:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(map(_san, sans))), critical=False)
    if must_staple:
        builder = builder.add_extension(x509.TLSFeature([x509.TLSFeatureType.status_request]), critical=False)
    if not signs:
        builder = builder.add_extension(_ENCRYPTS, critical=True)
    signer = key if issuer is None else issuer.private
    return Pair(builder.sign(signer, hashes.SHA256()), key)


def _san(text: str) -> x509.GeneralName:
    if text.startswith("upn:"):  # an otherName, as Microsoft's user principal names are
        value = text.removeprefix("upn:").encode()
        return x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), bytes([0x0C, len(value)]) + value)
    if "://" in text:
        return x509.UniformResourceIdentifier(text)
    if "@" in text:
        return x509.RFC822Name(text)
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
