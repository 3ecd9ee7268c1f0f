"""TLS contexts (`extensions.transport_sockets.tls.v3`). Files are read here, once: by whoever compiles."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from master.config import any_types
from master.config.compile.pkcs12 import chain_and_key
from master.config.compile.route_match import compile_string_matcher
from master.config.walk import unpack
from proxy.config.secrets import combine
from proxy.config.tls import (
    Certificate,
    DownstreamTls,
    SanMatcher,
    SanType,
    SecretKeys,
    StaplePolicy,
    TicketKeys,
    TlsParameters,
    UpstreamTls,
    Validation,
    Version,
)
from proxy.net.tls.certificate import CertificateFacts
from proxy.net.tls.client import ClientTls
from proxy.net.tls.context import TlsConfigError, load_certificate, new_context
from proxy.net.tls.ocsp import Staple
from proxy.net.tls.server import ServerTls, facts_of
from proxy.net.tls.stats import TlsStats
from proxy.stats import MemoryStats

if TYPE_CHECKING:
    from master.config.compile.context import Context

_TLS = "envoy.extensions.transport_sockets.tls.v3"
_RAW = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.core.v3.TransportSocket": ("typed_config",),
    _RAW: (),
    f"{_TLS}.DownstreamTlsContext": (
        "common_tls_context",
        "require_client_certificate",
        "session_ticket_keys",
        "session_ticket_keys_sds_secret_config",
        "disable_stateless_session_resumption",
        "disable_stateful_session_resumption",
        "session_timeout",
        "full_scan_certs_on_sni_mismatch",
        "ocsp_staple_policy",
        "prefer_client_ciphers",
    ),
    f"{_TLS}.UpstreamTlsContext": (
        "common_tls_context",
        "sni",
        "max_session_keys",
        "auto_host_sni",
        "auto_sni_san_validation",
    ),
    f"{_TLS}.CommonTlsContext": (
        "tls_params",
        "tls_certificates",
        "tls_certificate_sds_secret_configs",
        "validation_context",
        "validation_context_sds_secret_config",
        "combined_validation_context",
        "alpn_protocols",
    ),
    f"{_TLS}.CommonTlsContext.CombinedCertificateValidationContext": (
        "default_validation_context",
        "validation_context_sds_secret_config",
    ),
    f"{_TLS}.TlsParameters": (
        "tls_minimum_protocol_version",
        "tls_maximum_protocol_version",
        "cipher_suites",
        "ecdh_curves",
        "signature_algorithms",
    ),
    f"{_TLS}.TlsCertificate": (
        "certificate_chain",
        "private_key",
        "pkcs12",
        "password",
        "watched_directory",
        "ocsp_staple",
    ),
    f"{_TLS}.TlsSessionTicketKeys": ("keys",),
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

_VERSIONS: dict[int, Version] = {0: "", 1: "TLSv1_0", 2: "TLSv1_1", 3: "TLSv1_2", 4: "TLSv1_3"}
_STAPLE_POLICIES: dict[int, StaplePolicy] = {0: "LENIENT_STAPLING", 1: "STRICT_STAPLING", 2: "MUST_STAPLE"}
_SAN_TYPES: dict[int, SanType] = {1: "EMAIL", 2: "DNS", 3: "URI", 4: "IP_ADDRESS"}
DEFAULTS = TlsParameters()
_TICKET_KEY = 80  # bytes
_LEAST_RSA_BITS = 2048
_CURVES_OF_KEYS = (256, 384, 521)


def compile_downstream(message: Any, context: Context, names: tuple[str, ...] = ()) -> DownstreamTls | None:
    """The `TransportSocket` of a filter chain for these server names; `context` stands for it. None for plain text."""
    found = _typed(message, f"{_TLS}.DownstreamTlsContext", context)
    if found is None:
        return None
    here = context.at("typed_config")
    common = found.common_tls_context
    certificates, validation, secrets = _common(common, here.at("common_tls_context"))
    ticket_keys, ticket_keys_secret = _ticket_keys(found, here)
    tls = DownstreamTls(
        certificates=certificates,
        validation=validation,
        parameters=_parameters(common.tls_params),
        alpn=tuple(common.alpn_protocols),
        require_client_certificate=found.require_client_certificate.value,
        ticket_keys=ticket_keys,
        tickets=not found.disable_stateless_session_resumption,
        session_ids=not found.disable_stateful_session_resumption,
        session_timeout=int(here.duration(found.session_timeout, "session_timeout"))
        if found.HasField("session_timeout")
        else None,
        prefer_client_ciphers=found.prefer_client_ciphers,
        staple_policy=_STAPLE_POLICIES[found.ocsp_staple_policy],
        full_scan=found.full_scan_certs_on_sni_mismatch.value,
        secrets=msgspec.structs.replace(secrets, ticket_keys=ticket_keys_secret),
    )
    if here.incomplete() or here.at("common_tls_context").incomplete():
        return tls
    if not tls.certificates and not here.faulty("common_tls_context"):
        here.error(("common_tls_context", "tls_certificates"), "a server needs a certificate", "at least one")
    elif tls.require_client_certificate and (validation is None or not validation.asks):
        here.error(
            ("require_client_certificate",),
            "there is nothing that a client's certificate could be held against, so everybody would come in",
            "a validation_context with trusted_ca, names or hashes",
        )
    elif _check_staples(tls.certificates, tls.staple_policy, common, here.at("common_tls_context")) and not here.faulty(
        "common_tls_context"
    ):
        _report(here.at("common_tls_context"), lambda: ServerTls(tls, TlsStats(MemoryStats(), ""), names))
    return tls


def compile_upstream(message: Any, context: Context) -> UpstreamTls | None:
    """The `TransportSocket` of a cluster; `context` stands for it. None for plain text."""
    found = _typed(message, f"{_TLS}.UpstreamTlsContext", context)
    if found is None:
        return None
    here = context.at("typed_config")
    common, place = found.common_tls_context, here.at("common_tls_context")
    certificates, validation, secrets = _common(common, place)
    tls = UpstreamTls(
        certificates=certificates,
        validation=validation,
        parameters=_parameters(common.tls_params),
        alpn=tuple(common.alpn_protocols),
        sni=found.sni,
        max_session_keys=found.max_session_keys.value if found.HasField("max_session_keys") else 1,
        auto_host_sni=found.auto_host_sni,
        auto_sni_san_validation=found.auto_sni_san_validation,
        secrets=secrets,
    )
    if tls.auto_sni_san_validation and (tls.validation is None or not tls.validation.trusted_ca):
        here.error(
            ("auto_sni_san_validation",),
            "anybody can make a certificate of that name, and nothing says who may",
            "a validation_context with trusted_ca",
        )
    if len(tls.certificates) > 1:
        several = "tls_certificates" if common.tls_certificates else "tls_certificate_sds_secret_configs"
        place.error((several, 1), "a client has one certificate", "one certificate")
    elif _check_staples(tls.certificates, None, common, place) and not place.faulty():
        _report(place, lambda: ClientTls(tls, TlsStats(MemoryStats(), "")))
    return tls


def _typed(message: Any, kind: str, context: Context) -> Any:
    """The message of `typed_config`, if it is one of this kind; None for plain text, and for what is reported."""
    if not message.HasField("typed_config"):
        if not context.incomplete():
            context.error((), "the transport socket has no typed_config", "typed_config", kind="missing_type")
        return None
    found = unpack(message.typed_config)
    type_url = any_types.split_url(message.typed_config.type_url) or ""
    if type_url == kind:
        return found
    if found is not None and type_url != _RAW and context.at("typed_config").path not in context.unsupported:
        context.error(("typed_config",), f"no transport socket here has the type {type_url}", kind, kind="reference")
    return None


def _common(common: Any, context: Context) -> tuple[tuple[Certificate, ...], Validation | None, SecretKeys]:
    """What may be in secrets, and which of it is. What could not be compiled has been reported, and is left out."""
    certificates, keys = [], []
    for index, message in enumerate(common.tls_certificates):
        here = context.at("tls_certificates", index)
        refuse_watching(message, here)
        certificates.append(compile_certificate(message, here))
        keys.append("")
    for index, wanted in enumerate(common.tls_certificate_sds_secret_configs):
        here = context.at("tls_certificate_sds_secret_configs", index)
        certificate, key = context.secrets.find(wanted, Certificate, here)
        certificates.append(certificate)
        keys.append(key)
    if common.tls_certificates and common.tls_certificate_sds_secret_configs:
        context.error(
            ("tls_certificate_sds_secret_configs",), "tls_certificates are there already", "certificates of one kind"
        )
    validation, key, default = _validation(common, context)
    return (
        tuple(certificate for certificate in certificates if certificate is not None),
        validation,
        SecretKeys(certificates=tuple(keys) if any(keys) else (), validation=key, default=default),
    )


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


def _parameters(message: Any) -> TlsParameters:
    """BoringSSL's groups of equal preference, `[A|B]`, are taken in order."""
    ciphers = ":".join(message.cipher_suites).replace("[", "").replace("]", "").replace("|", ":")
    return TlsParameters(
        minimum=_VERSIONS[message.tls_minimum_protocol_version],
        maximum=_VERSIONS[message.tls_maximum_protocol_version],
        ciphers=ciphers,
        curves=":".join(message.ecdh_curves),
        signature_algorithms=":".join(message.signature_algorithms),
    )


WITHOUT_TRUST = {
    "crl": "without trusted_ca no chain is looked at, so no list is looked up",
    "match_typed_subject_alt_names": "anybody can make a certificate of any name, and nothing says who may",
    "allow_expired_certificate": "without trusted_ca nobody looks at the time of a certificate",
}
"""Why a field means nothing where there is no trusted_ca (`Validation.without_trust`)."""


def _validation(common: Any, context: Context) -> tuple[Validation | None, str, Validation | None]:
    """What counts, the key of the secret that it is from, and what stands beside that."""
    kind = common.WhichOneof("validation_context_type")
    key, default, validation = "", None, None
    here = context if kind is None else context.at(kind)
    if kind == "validation_context":
        refuse_watching(common.validation_context, here)
        validation = compile_validation(common.validation_context, here)
    elif kind == "validation_context_sds_secret_config":
        validation, key = context.secrets.find(common.validation_context_sds_secret_config, Validation, here)
    elif kind == "combined_validation_context":
        combined = common.combined_validation_context
        refuse_watching(combined.default_validation_context, here.at("default_validation_context"))
        default = compile_validation(combined.default_validation_context, here.at("default_validation_context"))
        wanted = "validation_context_sds_secret_config"
        found, key = context.secrets.find(combined.validation_context_sds_secret_config, Validation, here.at(wanted))
        validation = None if found is None else combine(default, found)
    if validation is not None and not here.faulty() and not here.incomplete():
        for field in validation.without_trust:
            place = (field,) if kind == "validation_context" else ()
            here.error(place, WITHOUT_TRUST[field], "trusted_ca")
    return validation, key, default


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


def _ticket_keys(message: Any, context: Context) -> tuple[TicketKeys | None, str]:
    """The keys, and that of the secret that they are from."""
    kind = message.WhichOneof("session_ticket_keys_type")
    if kind == "session_ticket_keys":
        return compile_ticket_keys(message.session_ticket_keys, context.at(kind)), ""
    if kind == "session_ticket_keys_sds_secret_config":
        found: tuple[TicketKeys | None, str] = context.secrets.find(
            getattr(message, kind), TicketKeys, context.at(kind)
        )
        return found
    return None, ""


def compile_ticket_keys(message: Any, context: Context) -> TicketKeys | None:
    """`TlsSessionTicketKeys`; None for what is reported."""
    here = context.at("keys")
    keys = tuple(here.data_source(source, index) for index, source in enumerate(message.keys))
    for index, key in enumerate(keys):
        if len(key) != _TICKET_KEY:
            here.error((index,), f"a session ticket key of {len(key)} bytes", f"{_TICKET_KEY} random bytes")
    return TicketKeys(keys) if all(len(key) == _TICKET_KEY for key in keys) else None


_PLACES: dict[str, tuple[str, ...]] = {
    "trusted_ca": ("validation_context", "trusted_ca"),
    "crl": ("validation_context", "crl"),
    "cipher_suites": ("tls_params", "cipher_suites"),
    "ecdh_curves": ("tls_params", "ecdh_curves"),
    "signature_algorithms": ("tls_params", "signature_algorithms"),
    "versions": ("tls_params", "tls_minimum_protocol_version"),
}


def _report(common: Context, make: Callable[[], object]) -> None:
    """Report what keeps a context from being made, at its place."""
    try:
        make()
    except TlsConfigError as error:
        common.error(_PLACES.get(error.field, ("tls_certificates",)), str(error))


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


def _check_staples(
    certificates: tuple[Certificate, ...], policy: StaplePolicy | None, common: Any, context: Context
) -> bool:
    """Report OCSP responses that cannot be stapled, or are missing; a server has a `policy`, a client None."""
    field = "tls_certificates" if common.tls_certificates else "tls_certificate_sds_secret_configs"
    for index, certificate in enumerate(certificates):
        try:
            if policy is not None:
                Staple(certificate, facts_of(certificate), policy)
            elif certificate.ocsp:
                raise TlsConfigError("ocsp_staple", "no server asks its clients for an OCSP response")
        except TlsConfigError as error:
            place = (field, index, "ocsp_staple") if common.tls_certificates else (field, index)
            context.error(place, str(error))
            return False
    return True


def _weakness(facts: CertificateFacts) -> tuple[str, str] | None:
    """What is wrong with a public key, and what is expected; as in Envoy."""
    if facts.key_kind == "RSA" and facts.key_bits < _LEAST_RSA_BITS:
        return f"an RSA key of {facts.key_bits} bits is too small", f"{_LEAST_RSA_BITS} bits or more"
    if facts.key_kind == "EC" and facts.key_bits not in _CURVES_OF_KEYS:
        return "this curve is not supported", "P-256, P-384 or P-521"
    return None
