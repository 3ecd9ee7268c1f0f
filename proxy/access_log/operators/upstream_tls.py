"""What was agreed on with an upstream that speaks TLS, and both certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.access_log.operator import Build
from proxy.access_log.operators.tls_values import ESCAPES, TlsValues, local, peer
from proxy.http.stream_info import StreamInfo

if TYPE_CHECKING:
    from proxy.net.tls.session import TlsSession


def _session(info: StreamInfo) -> TlsSession | None:
    return info.upstream_connection.tls if info.upstream_connection is not None else None


_upstream = TlsValues(_session)
_NAMES = ("DNS", "URI", "IP")

OPERATORS: dict[str, Build] = {
    "UPSTREAM_TLS_VERSION": _upstream.text(lambda tls: tls.version),
    "UPSTREAM_TLS_CIPHER": _upstream.text(lambda tls: tls.cipher),
    "UPSTREAM_TLS_GROUP": _upstream.text(lambda tls: tls.group),
    "UPSTREAM_TLS_SESSION_ID": _upstream.text(lambda tls: tls.id.hex()),
    "UPSTREAM_SERVER_NAME": _upstream.text(lambda tls: tls.server_name),
    "UPSTREAM_PEER_SUBJECT": _upstream.fact(peer, lambda facts: facts.subject),
    "UPSTREAM_PEER_ISSUER": _upstream.fact(peer, lambda facts: facts.issuer),
    "UPSTREAM_PEER_CERT": _upstream.fact(peer, lambda facts: facts.pem.translate(ESCAPES)),
    "UPSTREAM_PEER_CERT_V_START": _upstream.moment(lambda facts: facts.begins),
    "UPSTREAM_PEER_CERT_V_END": _upstream.moment(lambda facts: facts.expires),
    **_upstream.sans("UPSTREAM_PEER", peer, _NAMES),
    **_upstream.sans("UPSTREAM_LOCAL", local, _NAMES),
}
