"""Certificate, chain and key out of one file of PKCS #12."""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from proxy.net.tls.context import TlsConfigError


def chain_and_key(bundle: bytes, password: bytes) -> tuple[bytes, bytes]:
    """The PEM chain, leaf first, and the leaf's PEM key, in clear. Raises `TlsConfigError`."""
    try:
        found = load_pkcs12(bundle, password or None)
    except ValueError as error:
        raise TlsConfigError("pkcs12", f"the file cannot be read: {error}") from None
    if found.cert is None or found.key is None:
        raise TlsConfigError("pkcs12", f"there is no {'certificate' if found.cert is None else 'private key'} in it")
    certificates = [found.cert, *found.additional_certs]
    chain = b"".join(each.certificate.public_bytes(Encoding.PEM) for each in certificates)
    return chain, found.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
