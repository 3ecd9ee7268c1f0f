"""What a failed step of a handshake comes to, by the library's error and the verifier's verdict."""

from __future__ import annotations

import _ssl
import ssl

import pytest

from proxy.net.tls import refusal
from proxy.net.tls.refusal import GONE, Refusal, of_error


def failed(reason: str) -> ssl.SSLError:
    """OpenSSL's error of this name."""
    error = ssl.SSLError(ssl.SSL_ERROR_SSL, f"[SSL: {reason}]")
    error.reason = reason
    return error


def words(text: str) -> str:
    return f"TLS_error:|SSL routines:OPENSSL_internal:{text}:TLS_error_end"


@pytest.mark.parametrize(
    "error",
    [ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "EOF"), ssl.SSLZeroReturnError(), ConnectionResetError(), OSError(5, "EIO")],
)
def test_whoever_leaves_is_nobodys_error(error: OSError) -> None:
    assert of_error(error) is GONE
    assert not GONE.counted
    assert not GONE.words


@pytest.mark.parametrize(
    ("reason", "detail", "said"),
    [
        ("UNSUPPORTED_PROTOCOL", "tls_no_shared_version", "UNSUPPORTED_PROTOCOL"),
        ("NO_SHARED_CIPHER", "tls_no_shared_cipher", "NO_SHARED_CIPHER"),
        ("NO_SUITABLE_KEY_SHARE", "tls_no_shared_group", "NO_SHARED_GROUP"),
        ("HTTP_REQUEST", "tls_plain_http", "HTTP_REQUEST"),
        ("WRONG_VERSION_NUMBER", "tls_not_tls", "WRONG_VERSION_NUMBER"),
        ("TLSV1_ALERT_UNKNOWN_CA", "tls_alert_from_client", "TLSV1_ALERT_UNKNOWN_CA"),
        ("SOMETHING_NEW", "tls_protocol_error", "SOMETHING_NEW"),
    ],
)
def test_errors_of_the_library(reason: str, detail: str, said: str) -> None:
    assert of_error(failed(reason)) == Refusal(detail, words(said), counted=True)


def test_no_certificate_has_a_counter_of_its_own() -> None:
    found = of_error(failed("PEER_DID_NOT_RETURN_A_CERTIFICATE"))
    assert found.detail == "tls_no_client_certificate"
    assert found.words.endswith(":peer did not provide required client certificate:TLS_error_end")
    assert not found.counted


@pytest.mark.parametrize(
    ("code", "what", "detail"),
    [
        (20, "", "untrusted"),
        (18, "", "untrusted"),
        (10, "", "expired"),
        (9, "", "not_yet_valid"),
        (23, "", "revoked"),
        (3, "", "without_crl"),
        (50, "name", "name"),
        (50, "pin", "pin"),
        (26, "", "invalid"),
    ],
)
def test_what_the_verifier_says_counts_itself(code: int, what: str, detail: str) -> None:
    found = of_error(failed("CERTIFICATE_VERIFY_FAILED"), "verify cert failed: x", code, what)
    assert found == Refusal(
        f"tls_client_certificate_{detail}", words("CERTIFICATE_VERIFY_FAILED:verify cert failed: x"), counted=False
    )


def test_every_name_is_one_of_the_library() -> None:
    """A typo would go unnoticed."""
    assert refusal._REASONS.keys() <= set(_ssl.err_codes_to_names.values())
