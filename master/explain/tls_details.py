"""Why a client did not come in: TLS, and the choice of a filter chain. Rows of `details.DETAILS`."""

from __future__ import annotations

from master.explain.detail import Detail

DETAILS: dict[str, Detail] = {
    "tls_no_client_certificate": Detail(
        "the client showed no certificate, and nobody comes in here without one", "client",
        "give the client its certificate (`curl --cert`), or take `require_client_certificate` and the names or hashes "
        "out of the listener's TLS context",
    ),
    "tls_client_certificate_untrusted": Detail(
        "no authority that is trusted here has issued the client's certificate", "client",
        "is its issuer (in the cause) in `trusted_ca`? Does the client send the certificates in between?",
    ),
    "tls_client_certificate_expired": Detail(
        "the client's certificate, or one above it, has expired", "client",
        "a new certificate for the client, whom `allow_expired_certificate` lets in meanwhile. Is this machine's clock "
        "right?",
    ),
    "tls_client_certificate_not_yet_valid": Detail(
        "the client's certificate, or one above it, is not valid yet", "client",
        "which clock is wrong, this machine's or the issuer's?",
    ),
    "tls_client_certificate_revoked": Detail(
        "the client's certificate has been revoked: it is on the list in `crl`", "client",
        "a new certificate for the client; if this is a mistake, the list is the issuer's to mend",
    ),
    "tls_client_certificate_without_crl": Detail(
        "there is no list of revoked certificates of the authority that issued the client's, or none of today", "us",
        "`crl` needs a current list of every authority in the chain (`openssl crl -noout -nextupdate -issuer`); "
        "`only_verify_leaf_cert_crl` asks for that of the last one alone",
    ),
    "tls_client_certificate_name": Detail(
        "the client's certificate is trusted, but none of its names is one that may come in", "client",
        "compare its names (in the cause) with `match_typed_subject_alt_names`",
    ),
    "tls_client_certificate_pin": Detail(
        "the client's certificate is none of those that are pinned here", "client",
        "when a client's certificate changes, `verify_certificate_hash` and `verify_certificate_spki` want the new one",
    ),
    "tls_client_certificate_invalid": Detail(
        "the client's certificate cannot be used: the cause has the library's words", "client",
        "`openssl verify -purpose sslclient -CAfile CA CERTIFICATE` says the same of the file",
    ),
    "tls_alert_from_client": Detail(
        "the client ended the handshake and said why (the ALERT in the cause): mostly it does not trust the "
        "certificate that it was shown, or expects another name", "us",
        "UNKNOWN_CA or BAD_CERTIFICATE: does `certificate_chain` have the certificates between ours and the client's "
        "root? `openssl s_client -connect HOST:PORT -servername NAME` shows what clients see",
    ),
    "tls_no_shared_version": Detail(
        "the client and the listener have no version of TLS in common", "client",
        "`tls_minimum_protocol_version` and `tls_maximum_protocol_version` (TLS 1.2 to 1.3 by default)",
    ),
    "tls_no_shared_cipher": Detail(
        "the client and the listener have no cipher in common", "client",
        "`tls_params.cipher_suites`; with a client that knows RSA or ECDSA alone: a certificate with such a key",
    ),
    "tls_no_shared_group": Detail(
        "the client and the listener have no curve in common to exchange keys with", "client",
        "`tls_params.ecdh_curves` (X25519 and P-256 by default)",
    ),
    "tls_no_shared_signature": Detail(
        "the client takes no signature that our certificate's key can make", "client",
        "`tls_params.signature_algorithms`, or a certificate with another kind of key",
    ),
    "tls_no_ocsp_response": Detail(
        "there is no OCSP response that is still good, and `ocsp_staple_policy` lets nobody in without one", "us",
        "renew `ocsp_staple`; `ssl.ocsp_staple_failed` counts whom it has cost",
    ),
    "tls_plain_http": Detail(
        "the client spoke plain HTTP to a port where TLS is spoken", "client",
        "`https://` in its URL; a listener on port 80 may redirect there (`https_redirect`)",
    ),
    "tls_not_tls": Detail(
        "what the client sent is not TLS", "client",
        "does it speak another protocol, or is there a load balancer before it that begins with a PROXY header?",
    ),
    "tls_protocol_error": Detail(
        "the client broke the protocol in its handshake: the cause has the library's words", "client",
        "`openssl s_client` against the same port shows whether other clients can",
    ),
    "tls_client_gone": Detail(
        "the client closed the connection in the middle of the handshake", "client",
        "did it give up waiting, or does it not trust our certificate and not say so?",
    ),
    "tls_handshake_timeout": Detail(
        "the client had not completed its handshake when the time was up", "client",
        "a client that connects and says nothing: a health check of the port, or one that speaks a protocol where the "
        "server begins", ("FilterChain.transport_socket_connect_timeout",),
    ),
    "tls_handshake_overflow": Detail(
        "more than 1,024 handshakes were waiting in this worker, and this one had waited longest", "client",
        "an attack, or clients that all come back at once; `proxyctl ps` shows how busy the workers are",
    ),
    "client_hello_too_large": Detail(
        "the client's first TLS message is longer than may be", "client",
        "which client is that? Browsers need some 2 KiB", ("TlsInspector.max_client_hello_size",),
    ),
    "listener_filter_timeout": Detail(
        "the client had not sent enough to tell which filter chain is for it when the time was up", "client",
        "a client that waits for the server to begin: `continue_on_listener_filters_timeout` takes it as plain text",
        ("Listener.listener_filters_timeout",),
    ),
}  # fmt: skip
