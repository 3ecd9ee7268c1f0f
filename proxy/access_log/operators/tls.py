"""What was agreed on with a client that speaks TLS, and both certificates."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from proxy.access_log.operator import Build, Value, plain
from proxy.access_log.operators.tls_values import ESCAPES, TlsValues, in_one_line, local, peer
from proxy.http.stream_info import StreamInfo

if TYPE_CHECKING:
    from proxy.net.client_hello import ClientHello
    from proxy.net.tls.certificate import CertificateFacts
    from proxy.net.tls.session import TlsSession


def _session(info: StreamInfo) -> TlsSession | None:
    return info.connection.tls if info.connection is not None else None


_downstream = TlsValues(_session)
_OF_NO_HOST = re.compile(r"[^A-Za-z0-9.-]")
_NAMES = ("DNS", "URI", "EMAIL", "IP")


def _issuer(tls: TlsSession) -> CertificateFacts | None:
    return tls.issuer


def _hello(get: Callable[[ClientHello], str]) -> Build:
    """Of the client's first message, if a listener filter has looked at it."""

    def getter(info: StreamInfo) -> Value:
        hello = info.connection.hello if info.connection is not None else None
        return None if hello is None else get(hello).encode("latin-1", "replace") or None

    return plain(getter)


def _server_name(info: StreamInfo) -> Value:
    """One that no host can have is marked (`StringUtil::sanitizeInvalidHostname`): clients may ask for anything."""
    name = info.connection.server_name if info.connection is not None else ""
    possible = _OF_NO_HOST.sub("_", name)
    return (name if possible == name else f"invalid:{possible}").encode() or None


def _failure(info: StreamInfo) -> Value:
    """Why the client did not get in; without spaces, as Envoy writes it, and of whole connections alone."""
    connection = info.connection
    if connection is None or info is not connection.info:
        return None
    words = connection.tls.failure if connection.tls is not None else connection.not_tls
    return in_one_line(words).replace(" ", "_").encode() or None


OPERATORS: dict[str, Build] = {
    "DOWNSTREAM_TLS_VERSION": _downstream.text(lambda tls: tls.version),
    "DOWNSTREAM_TLS_CIPHER": _downstream.text(lambda tls: tls.cipher),
    "DOWNSTREAM_TLS_GROUP": _downstream.text(lambda tls: tls.group),
    "DOWNSTREAM_TLS_SESSION_ID": _downstream.text(lambda tls: tls.id.hex()),
    "DOWNSTREAM_TRANSPORT_FAILURE_REASON": plain(_failure),
    "REQUESTED_SERVER_NAME": plain(_server_name),
    "TLS_JA3_FINGERPRINT": _hello(lambda hello: hello.ja3),
    "TLS_JA4_FINGERPRINT": _hello(lambda hello: hello.ja4),
    "DOWNSTREAM_PEER_SUBJECT": _downstream.fact(peer, lambda facts: facts.subject),
    "DOWNSTREAM_PEER_ISSUER": _downstream.fact(peer, lambda facts: facts.issuer),
    "DOWNSTREAM_PEER_SERIAL": _downstream.fact(peer, lambda facts: facts.serial),
    "DOWNSTREAM_PEER_FINGERPRINT_256": _downstream.fact(peer, lambda facts: facts.sha256.hex()),
    "DOWNSTREAM_PEER_FINGERPRINT_1": _downstream.fact(peer, lambda facts: facts.sha1.hex()),
    "DOWNSTREAM_PEER_ISSUER_SERIAL": _downstream.fact(_issuer, lambda facts: facts.serial),
    "DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256": _downstream.fact(_issuer, lambda facts: facts.sha256.hex()),
    "DOWNSTREAM_PEER_OTHERNAME_SAN": _downstream.fact(peer, lambda facts: ",".join(facts.other_names)),
    "DOWNSTREAM_LOCAL_OTHERNAME_SAN": _downstream.fact(local, lambda facts: ",".join(facts.other_names)),
    "DOWNSTREAM_PEER_CERT": _downstream.fact(peer, lambda facts: facts.pem.translate(ESCAPES)),
    "DOWNSTREAM_PEER_CERT_V_START": _downstream.moment(lambda facts: facts.begins),
    "DOWNSTREAM_PEER_CERT_V_END": _downstream.moment(lambda facts: facts.expires),
    "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256": _downstream.chain(lambda facts: facts.sha256.hex()),
    "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1": _downstream.chain(lambda facts: facts.sha1.hex()),
    "DOWNSTREAM_PEER_CHAIN_SERIALS": _downstream.chain(lambda facts: facts.serial),
    "DOWNSTREAM_LOCAL_SUBJECT": _downstream.fact(local, lambda facts: facts.subject),
    **_downstream.sans("DOWNSTREAM_PEER", peer, _NAMES),
    **_downstream.sans("DOWNSTREAM_LOCAL", local, _NAMES),
}
