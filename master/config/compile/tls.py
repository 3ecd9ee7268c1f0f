"""TLS contexts (`extensions.transport_sockets.tls.v3`). Files are read here, once: by whoever compiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from master.config import any_types
from master.config.compile.tls_certificate import compile_certificate, refuse_watching
from master.config.compile.tls_ticket_keys import compile_ticket_keys
from master.config.compile.tls_validation import WITHOUT_TRUST, compile_validation
from master.config.walk import unpack
from proxy.config.secrets import combine
from proxy.config.tls import (
    Certificate,
    DownstreamTls,
    SecretKeys,
    StaplePolicy,
    TicketKeys,
    TlsParameters,
    UpstreamTls,
    Validation,
    Version,
)
from proxy.net.tls.client import ClientTls
from proxy.net.tls.context import TlsConfigError
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
}

_VERSIONS: dict[int, Version] = {0: "", 1: "TLSv1_0", 2: "TLSv1_1", 3: "TLSv1_2", 4: "TLSv1_3"}
_STAPLE_POLICIES: dict[int, StaplePolicy] = {0: "LENIENT_STAPLING", 1: "STRICT_STAPLING", 2: "MUST_STAPLE"}


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
