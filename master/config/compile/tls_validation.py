"""Whom to trust (`CertificateValidationContext`)."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from master.config.compile.route_match import compile_string_matcher
from proxy.config.tls import SanMatcher, SanType, Validation

if TYPE_CHECKING:
    from master.config.compile.context import Context

_TLS = "envoy.extensions.transport_sockets.tls.v3"
FIELDS: dict[str, tuple[str, ...]] = {
    f"{_TLS}.CertificateValidationContext": (
        "trusted_ca",
        "verify_certificate_spki",
        "verify_certificate_hash",
        "match_typed_subject_alt_names",
        "crl",
        "only_verify_leaf_cert_crl",
        "allow_expired_certificate",
        "trust_chain_verification",
        "max_verify_depth",
        "watched_directory",
    ),
    f"{_TLS}.SubjectAltNameMatcher": (
        "san_type=EMAIL",
        "san_type=DNS",
        "san_type=URI",
        "san_type=IP_ADDRESS",
        "matcher",
    ),
}

_SAN_TYPES: dict[int, SanType] = {1: "EMAIL", 2: "DNS", 3: "URI", 4: "IP_ADDRESS"}

WITHOUT_TRUST = {
    "crl": "without trusted_ca no chain is looked at, so no list is looked up",
    "match_typed_subject_alt_names": "anybody can make a certificate of any name, and nothing says who may",
    "allow_expired_certificate": "without trusted_ca nobody looks at the time of a certificate",
}
"""Why a field means nothing where there is no trusted_ca (`Validation.without_trust`)."""


def compile_validation(message: Any, context: Context) -> Validation:
    """A `CertificateValidationContext`, or a part of one."""
    return Validation(
        trusted_ca=context.data_source(message.trusted_ca, "trusted_ca"),
        path=message.trusted_ca.filename or "<inline>",
        sans=tuple(
            SanMatcher(
                _SAN_TYPES[matcher.san_type],
                compile_string_matcher(matcher.matcher, context.at("match_typed_subject_alt_names", index, "matcher")),
            )
            for index, matcher in enumerate(message.match_typed_subject_alt_names)
            if matcher.san_type in _SAN_TYPES
        ),
        spki=tuple(
            _digest(text, context, ("verify_certificate_spki", index), _from_base64)
            for index, text in enumerate(message.verify_certificate_spki)
        ),
        hashes=tuple(
            _digest(text, context, ("verify_certificate_hash", index), _from_hex)
            for index, text in enumerate(message.verify_certificate_hash)
        ),
        crl=context.data_source(message.crl, "crl"),
        only_verify_leaf_cert_crl=message.only_verify_leaf_cert_crl,
        allow_expired_certificate=message.allow_expired_certificate,
        accept_untrusted=message.trust_chain_verification == 1,
        max_verify_depth=message.max_verify_depth.value if message.HasField("max_verify_depth") else None,
    )


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _from_hex(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _digest(text: str, context: Context, path: tuple[str | int, ...], decode: Any) -> bytes:
    try:
        digest = bytes(decode(text))
    except (ValueError, binascii.Error):
        digest = b""
    if len(digest) != 32:
        written = "hexadecimal" if decode is _from_hex else "base64"
        context.error(path, f"{text!r} is no SHA-256 digest", f"32 bytes in {written}")
    return digest
