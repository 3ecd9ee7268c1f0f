"""What was agreed on with a client that speaks TLS, and both certificates."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from proxy.access_log.operator import Build, Getter, Value, plain
from proxy.access_log.operators.clock import TimeFormat
from proxy.http.stream_info import StreamInfo

if TYPE_CHECKING:
    from proxy.net.client_hello import ClientHello
    from proxy.net.tls.certificate import CertificateFacts
    from proxy.net.tls.session import TlsSession

_ESCAPES = str.maketrans({"\n": "%0A", " ": "%20", "+": "%2B", "/": "%2F", "=": "%3D"})
DEFAULT_TIME = "%Y-%m-%dT%H:%M:%S.000Z"

Certificate = Callable[["TlsSession"], "CertificateFacts | None"]


def _session(get: Callable[[TlsSession], str]) -> Build:
    def getter(info: StreamInfo) -> Value:
        tls = info.connection.tls if info.connection is not None else None
        return None if tls is None else get(tls).encode() or None

    return plain(getter)


def _fact(certificate: Certificate, get: Callable[[CertificateFacts], str]) -> Build:
    return _session(lambda tls: "" if (found := certificate(tls)) is None else get(found))


def _peer(tls: TlsSession) -> CertificateFacts | None:
    return tls.peer


def _local(tls: TlsSession) -> CertificateFacts | None:
    return tls.local


def _chain(get: Callable[[CertificateFacts], str]) -> Build:
    return _session(lambda tls: ",".join(map(get, tls.peer_chain)))


def _sans(certificate: Certificate, side: str) -> dict[str, Build]:
    def joined(kind: str, facts: CertificateFacts) -> str:
        return ",".join(facts.names(kind))

    kinds = (("DNS", "DNS"), ("URI", "URI"), ("EMAIL", "EMAIL"), ("IP", "IP_ADDRESS"))
    return {
        f"DOWNSTREAM_{side}_{name}_SAN": _fact(certificate, functools.partial(joined, kind)) for name, kind in kinds
    }


def _moment(get: Callable[[CertificateFacts], datetime]) -> Build:
    def build(parameter: str | None) -> Getter:
        time_format = TimeFormat(parameter or DEFAULT_TIME)

        def getter(info: StreamInfo) -> Value:
            tls = info.connection.tls if info.connection is not None else None
            if tls is None or tls.peer is None:
                return None
            return time_format(get(tls.peer).timestamp())

        return getter

    return build


def _hello(get: Callable[[ClientHello], str]) -> Build:
    """Of the client's first message, if a listener filter has looked at it."""

    def getter(info: StreamInfo) -> Value:
        hello = info.connection.hello if info.connection is not None else None
        return None if hello is None else get(hello).encode("latin-1", "replace") or None

    return plain(getter)


def _server_name(info: StreamInfo) -> Value:
    connection = info.connection
    if connection is None:
        return None
    if connection.tls is not None and connection.tls.server_name:
        return connection.tls.server_name.encode()
    return None if connection.hello is None else connection.hello.server_name.encode("latin-1", "replace") or None


def _failure(info: StreamInfo) -> Value:
    """Why the client did not get in; without spaces, as Envoy writes it, and of whole connections alone."""
    connection = info.connection
    if connection is None or info is not connection.info:
        return None
    words = connection.tls.failure if connection.tls is not None else connection.not_tls
    return words.replace(" ", "_").encode() or None


OPERATORS: dict[str, Build] = {
    "DOWNSTREAM_TLS_VERSION": _session(lambda tls: tls.version),
    "DOWNSTREAM_TLS_CIPHER": _session(lambda tls: tls.cipher),
    "DOWNSTREAM_TLS_GROUP": _session(lambda tls: tls.group),
    "DOWNSTREAM_TLS_SESSION_ID": _session(lambda tls: tls.id.hex()),
    "DOWNSTREAM_TRANSPORT_FAILURE_REASON": plain(_failure),
    "REQUESTED_SERVER_NAME": plain(_server_name),
    "TLS_JA3_FINGERPRINT": _hello(lambda hello: hello.ja3),
    "TLS_JA4_FINGERPRINT": _hello(lambda hello: hello.ja4),
    "DOWNSTREAM_PEER_SUBJECT": _fact(_peer, lambda facts: facts.subject),
    "DOWNSTREAM_PEER_ISSUER": _fact(_peer, lambda facts: facts.issuer),
    "DOWNSTREAM_PEER_SERIAL": _fact(_peer, lambda facts: facts.serial),
    "DOWNSTREAM_PEER_FINGERPRINT_256": _fact(_peer, lambda facts: facts.sha256.hex()),
    "DOWNSTREAM_PEER_FINGERPRINT_1": _fact(_peer, lambda facts: facts.sha1.hex()),
    "DOWNSTREAM_PEER_CERT": _fact(_peer, lambda facts: facts.pem.translate(_ESCAPES)),
    "DOWNSTREAM_PEER_CERT_V_START": _moment(lambda facts: facts.begins),
    "DOWNSTREAM_PEER_CERT_V_END": _moment(lambda facts: facts.expires),
    "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256": _chain(lambda facts: facts.sha256.hex()),
    "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1": _chain(lambda facts: facts.sha1.hex()),
    "DOWNSTREAM_PEER_CHAIN_SERIALS": _chain(lambda facts: facts.serial),
    "DOWNSTREAM_LOCAL_SUBJECT": _fact(_local, lambda facts: facts.subject),
    **_sans(_peer, "PEER"),
    **_sans(_local, "LOCAL"),
}
