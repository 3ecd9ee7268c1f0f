"""Why a handshake with a host came to nothing, by the words of `%UPSTREAM_TRANSPORT_FAILURE_REASON%`. Rows of
`details.DETAILS`: they stand before the one for whatever else keeps a connection from being made.
"""

from __future__ import annotations

from master.explain.detail import Detail

_FAILED = "upstream_reset_before_response_started{remote_connection_failure|TLS_error:*%s*"
_SEE = "`openssl s_client -connect HOST:PORT -servername NAME -showcerts` shows what the host presents"

_UNTRUSTED = Detail(
    "no authority that is trusted for the cluster has issued the host's certificate", "upstream",
    f"is its issuer in `trusted_ca`? Does the host send the certificates in between? {_SEE}",
)  # fmt: skip

_WORDS: dict[str, Detail] = {
    "certificate_has_expired": Detail(
        "the host's certificate, or one above it, has expired", "upstream",
        "a new certificate for the host; `allow_expired_certificate` takes the old one meanwhile. Is the clock of this "
        "machine right?",
    ),
    "certificate_is_not_yet_valid": Detail(
        "the host's certificate, or one above it, is not valid yet", "upstream",
        "which clock is wrong, this machine's or the issuer's?",
    ),
    "provided_CRLs_failed:_certificate_revoked": Detail(
        "the host's certificate has been revoked: it is on the list in `crl`", "upstream",
        "a new certificate for the host; if this is a mistake, the list is the issuer's to mend",
    ),
    "provided_CRLs_failed": Detail(
        "there is no list of revoked certificates of the authority that issued the host's, or none of today", "us",
        "`crl` needs a current list of every authority in the chain (`openssl crl -noout -nextupdate -issuer`)",
    ),
    "verify_SAN_list": Detail(
        "the host's certificate is trusted, but not for the name that the client asked for", "upstream",
        "`auto_san_validation` wants the request's own host in the certificate; the cause has both. "
        "`override_auto_sni_header` can name another one",
    ),
    "SAN_matcher": Detail(
        "the host's certificate is trusted, but none of its names is one that is expected", "upstream",
        "compare its names (in the cause) with `match_typed_subject_alt_names`, or, with `auto_sni_san_validation`, "
        "with the server name that is asked for (`sni`)",
    ),
    "cert_hash_and_spki": Detail(
        "the host's certificate is none of those that are pinned for its cluster", "upstream",
        "when a host's certificate changes, `verify_certificate_hash` and `verify_certificate_spki` want the new one",
    ),
    **dict.fromkeys(("unable_to_get_", "unable_to_verify_", "self-signed_", "self_signed_"), _UNTRUSTED),
    "CERTIFICATE_VERIFY_FAILED": Detail(
        "the host's certificate cannot be used: the cause has the library's words", "upstream", _SEE
    ),
    "WRONG_VERSION_NUMBER": Detail(
        "what the host answered is not TLS: it speaks plain HTTP, or another protocol", "us",
        "is it the right port? A host without TLS wants a cluster without `transport_socket`, or a match of its own in "
        "`transport_socket_matches`",
    ),
    "HTTP_REQUEST": Detail("what the host answered is not TLS", "us", "is it the right port?"),
    "HANDSHAKE_FAILURE_ON_CLIENT_HELLO": Detail(
        "the host can do nothing of what it was offered: no cipher, curve or signature in common", "us",
        f"`tls_params` of the cluster: `cipher_suites`, `ecdh_curves`, versions; {_SEE}",
    ),
    "_ALERT_CERTIFICATE_REQUIRED": Detail(
        "the host wants a certificate of ours, and there is none", "us", "`tls_certificates` of the cluster"
    ),
    "_ALERT_UNKNOWN_CA": Detail(
        "the host does not trust the authority that issued the cluster's own certificate", "us",
        "do `tls_certificates` of the cluster have the certificates in between? Which authorities does the host trust?",
    ),
    "_ALERT_UNRECOGNIZED_NAME": Detail(
        "the host knows nobody by the server name that it was asked for", "us", "`sni`, or `auto_sni`, of the cluster"
    ),
    "_ALERT_PROTOCOL_VERSION": Detail(
        "the host and the cluster have no version of TLS in common", "us",
        "`tls_minimum_protocol_version` and `tls_maximum_protocol_version`: a cluster speaks up to TLS 1.2 by default",
    ),
    "_ALERT_NO_APPLICATION_PROTOCOL": Detail(
        "the host speaks none of the protocols that it was offered", "us", "`alpn_protocols` of the cluster"
    ),
    "_ALERT_": Detail(
        "the host ended the handshake and said why (the ALERT in the cause)", "upstream",
        "HANDSHAKE_FAILURE: no cipher or curve in common, or it wants a certificate of ours; BAD_CERTIFICATE: it does "
        "not like the one it got. The host's own log says more",
    ),
    "KEY_USAGE_BIT_INCORRECT": Detail(
        "the host's certificate has a key that is not for signatures (`keyUsage`), and has signed with it", "upstream",
        "a certificate with `digitalSignature`; ciphers of RSA's own key exchange (`AES128-GCM-SHA256`) do without",
    ),
    "UNSUPPORTED_PROTOCOL": Detail(
        "the host and the cluster have no version of TLS in common", "us",
        "`tls_minimum_protocol_version` and `tls_maximum_protocol_version`: a cluster speaks TLS 1.2 by default",
    ),
    "system_library": Detail(
        "the connection broke in the middle of the TLS handshake", "upstream",
        "the host's own log; something between that takes TLS for an attack looks like this, too",
    ),
    "": Detail("the TLS handshake with the host failed: the cause has the library's words", "upstream", _SEE),
}  # fmt: skip

DETAILS: dict[str, Detail] = {
    **{_FAILED % words: row for words, row in _WORDS.items()},
    "upstream_reset_before_response_started{remote_connection_failure|Failed_to_create_upstream_TLS*": Detail(
        "the client asked for a host whose name is too long for TLS (255 bytes)", "client",
    ),
}  # fmt: skip
