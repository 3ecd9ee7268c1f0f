"""OCSP responses for tests, and clients that ask for them (OpenSSL by ctypes, as Python's `ssl` cannot)."""

from __future__ import annotations

import ctypes
import datetime
import ssl

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from proxy.net.tls import libssl
from proxy.net.tls.socket import TlsSocket
from tests.kit.certificates import DAY, Pair

_ASK, _GET_RESPONSE, _OCSP = 65, 70, 1  # SSL_CTRL_SET_TLSEXT_STATUS_REQ_TYPE, …_GET_…_OCSP_RESP, TLSEXT_STATUSTYPE_ocsp


def response(pair: Pair, issuer: Pair, *, days: float | None = 1) -> bytes:
    """`issuer` says that `pair` is good for so many days; None: it does not say how long."""
    now = datetime.datetime.now(datetime.UTC)
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=pair.certificate,
        issuer=issuer.certificate,
        algorithm=hashes.SHA1(),
        cert_status=ocsp.OCSPCertStatus.GOOD,
        this_update=now - 2 * DAY,
        next_update=None if days is None else now + days * DAY,
        revocation_time=None,
        revocation_reason=None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, issuer.certificate)
    return builder.sign(issuer.private, hashes.SHA256()).public_bytes(Encoding.DER)


def unsuccessful() -> bytes:
    """What a responder says that has no answer."""
    built = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.UNAUTHORIZED)
    return built.public_bytes(Encoding.DER)


def asking(context: ssl.SSLContext) -> ssl.SSLContext:
    """`context`, whose connections ask for a response."""
    functions = libssl.functions(
        ("SSL_CTX_ctrl", ctypes.c_long, ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p)
    )
    assert functions.SSL_CTX_ctrl(libssl.pointer_of(context), _ASK, _OCSP, None)
    context.sslsocket_class = TlsSocket
    return context


def received(sock: ssl.SSLSocket) -> bytes:
    """The response that came with the server's certificate; b"" if none did."""
    assert isinstance(sock, TlsSocket)
    functions = libssl.functions(
        ("SSL_ctrl", ctypes.c_long, ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p)
    )
    found = ctypes.c_void_p()
    size = functions.SSL_ctrl(libssl.identity(sock.engine), _GET_RESPONSE, 0, ctypes.byref(found))
    return ctypes.string_at(found, size) if size > 0 and found.value else b""


def serial_of(response: bytes) -> int:
    """Of the certificate that it is about."""
    return ocsp.load_der_ocsp_response(response).serial_number
