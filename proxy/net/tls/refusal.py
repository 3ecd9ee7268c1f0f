"""Why a handshake came to nothing: by a detail that can be looked up, and in Envoy's words
(`%DOWNSTREAM_TRANSPORT_FAILURE_REASON%`, without BoringSSL's numbers).
"""

from __future__ import annotations

import os
import ssl
from typing import NamedTuple


class Refusal(NamedTuple):
    """`detail` has its row in `master/explain/details.py`; `words` are Envoy's, "" where it has none. `counted`: it is
    a `connection_error`, and not one of those that have a counter of their own.
    """

    detail: str
    words: str = ""
    counted: bool = False


GONE = Refusal("tls_client_gone")
TIMEOUT = Refusal("tls_handshake_timeout")
OVERFLOW = Refusal("tls_handshake_overflow")

_NO_CERTIFICATE = "PEER_DID_NOT_RETURN_A_CERTIFICATE"
_NO_CERTIFICATE_WORDS = "peer did not provide required client certificate"

_UNTRUSTED, _WITHOUT_CRL = "tls_client_certificate_untrusted", "tls_client_certificate_without_crl"
_CERTIFICATES = {
    **dict.fromkeys((2, 18, 19, 20, 21, 24), _UNTRUSTED),
    **dict.fromkeys((3, 11, 12), _WITHOUT_CRL),
    9: "tls_client_certificate_not_yet_valid",
    10: "tls_client_certificate_expired",
    23: "tls_client_certificate_revoked",
}
"""What is wrong with a client's certificate, by OpenSSL's `X509_V_ERR_*`."""

_OTHERWISE = {"name": "tls_client_certificate_name", "pin": "tls_client_certificate_pin"}
"""What is no matter of the chain, by the verifier's name for it."""

_REASONS = {
    "UNSUPPORTED_PROTOCOL": "tls_no_shared_version",
    "VERSION_TOO_LOW": "tls_no_shared_version",
    "NO_PROTOCOLS_AVAILABLE": "tls_no_shared_version",
    "NO_SHARED_CIPHER": "tls_no_shared_cipher",
    "NO_SUITABLE_KEY_SHARE": "tls_no_shared_group",
    "NO_SUITABLE_GROUPS": "tls_no_shared_group",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "tls_no_shared_signature",
    "NO_SHARED_SIGNATURE_ALGORITHMS": "tls_no_shared_signature",
    "HTTP_REQUEST": "tls_plain_http",
    "HTTPS_PROXY_REQUEST": "tls_plain_http",
    "WRONG_VERSION_NUMBER": "tls_not_tls",
    "CLIENTHELLO_TLSEXT": "tls_no_ocsp_response",
}
DETAILS = frozenset({*_CERTIFICATES.values(), *_OTHERWISE.values(), *_REASONS.values()})
"""Those that are made of what the library and the verifier say."""

_NAMES = {
    "NO_SUITABLE_KEY_SHARE": "NO_SHARED_GROUP",
    "NO_SUITABLE_GROUPS": "NO_SHARED_GROUP",
    "TLSV1_BAD_CERTIFICATE_HASH_VALUE": "TLSV1_ALERT_BAD_CERTIFICATE_HASH_VALUE",
    "TLSV1_BAD_CERTIFICATE_STATUS_RESPONSE": "TLSV1_ALERT_BAD_CERTIFICATE_STATUS_RESPONSE",
    "TLSV1_CERTIFICATE_UNOBTAINABLE": "TLSV1_ALERT_CERTIFICATE_UNOBTAINABLE",
    "TLSV1_UNRECOGNIZED_NAME": "TLSV1_ALERT_UNRECOGNIZED_NAME",
    "TLSV1_UNSUPPORTED_EXTENSION": "TLSV1_ALERT_UNSUPPORTED_EXTENSION",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "TLSV1_ALERT_CERTIFICATE_REQUIRED",
}
"""BoringSSL's, where it has another one."""


NOTHING_IN_COMMON = "SSLV3_ALERT_HANDSHAKE_FAILURE"
"""A server's alert: as its first word, that it can do nothing of what it was offered."""


def words(name: str, reason: str = "") -> str:
    """Envoy's for an error of the library's, and what a verifier had to say."""
    more = f":{reason}" if reason else ""
    return f"TLS_error:|SSL routines:OPENSSL_internal:{_NAMES.get(name, name)}{more}:TLS_error_end"


def system_words(error: OSError) -> str:
    """Envoy's for an error of the socket's."""
    return f"TLS_error:|system library:OPENSSL_internal:{os.strerror(error.errno or 0)}:TLS_error_end"


def of_error(error: OSError, reason: str = "", code: int = 0, what: str = "") -> Refusal:
    """Of a step that has failed. `reason`, `code` and `what` are the verifier's: what it had to say of the client's
    certificate, OpenSSL's number for it, and its own name for what is no matter of the chain.
    """
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return GONE
    if reason:
        detail = _OTHERWISE.get(what) or _CERTIFICATES.get(code, "tls_client_certificate_invalid")
        return Refusal(detail, words("CERTIFICATE_VERIFY_FAILED", reason))
    name = getattr(error, "reason", None) or "UNKNOWN"
    if name == _NO_CERTIFICATE:
        return Refusal("tls_no_client_certificate", words(name, _NO_CERTIFICATE_WORDS))
    if "_ALERT_" in name:
        return Refusal("tls_alert_from_client", words(name), counted=True)
    return Refusal(_REASONS.get(name, "tls_protocol_error"), words(name), counted=True)
