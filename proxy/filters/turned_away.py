"""What the flight recorder keeps of a client that never came to a filter: it did not agree on TLS, or no filter chain
is for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from proxy.config.listener import Listener
from proxy.errors import ProxyError
from proxy.filters.context import FilterContext
from proxy.flight_recorder import Record, now, text
from proxy.limits import TLS_HANDSHAKE_TIMEOUT
from proxy.net.connection import Connection

if TYPE_CHECKING:
    from proxy.net.tls.certificate import CertificateFacts
    from proxy.net.tls.refusal import Refusal

Limits = dict[str, float]

_OF_INSPECTION = ("listener_filter_timeout", "client_hello_too_large", "tls_not_tls")


class TurnedAway:
    """One per listener and filter chain; costs nothing until somebody is turned away."""

    def __init__(self, context: FilterContext) -> None:
        self._recorder = context.recorder
        self._listener = context.listener_prefix.removeprefix("listener.").removesuffix(".")

    def by_tls(self, connection: Connection, timeout: float, refusal: Refusal) -> None:
        """Nothing comes of the handshake, for which there were `timeout` seconds, 0 for the default."""
        tls = connection.tls
        assert tls is not None
        limits = {}
        if refusal.detail == "tls_handshake_timeout":
            limits = {"FilterChain.transport_socket_connect_timeout": timeout or TLS_HANDSHAKE_TIMEOUT}
        shown = [line for line in (refusal.words, tls.peer and _certificate(tls.peer)) if line]
        self._add(connection, "TLS", refusal.detail, "\n".join(shown), tls.bytes_received, limits)

    def by_inspection(self, connection: Connection, error: ProxyError, listener: Listener) -> None:
        """The listener filter could not, or would not, wait for what the client asks for. Who has gone is nobody."""
        limits: Limits = {}
        if error.detail == "listener_filter_timeout":
            limits = {"Listener.listener_filters_timeout": listener.listener_filters_timeout}
        elif error.detail == "client_hello_too_large" and listener.tls_inspector is not None:
            limits = {"TlsInspector.max_client_hello_size": listener.tls_inspector.max_client_hello_size}
        if error.detail in _OF_INSPECTION:
            self._add(connection, "TCP", error.detail, limits=limits)

    def by_matching(self, connection: Connection) -> None:
        """No filter chain is for what the client asks, or for where it comes from."""
        hello = connection.hello
        asked = f"the client offers {', '.join(hello.applications)}" if hello is not None and hello.applications else ""
        protocol = "TCP" if hello is None else "TLS"
        self._add(connection, protocol, "filter_chain_not_found", connection.not_tls or asked)

    def _add(
        self,
        connection: Connection,
        protocol: str,
        detail: str,
        cause: str = "",
        received: int = 0,
        limits: Limits = {},  # noqa: B006 - only read
    ) -> None:
        self._recorder.add(
            Record(
                now(),
                "failed",
                self._recorder.worker,
                authority=text(connection.server_name.encode("latin-1", "backslashreplace")),
                protocol=protocol,
                downstream=str(connection.remote or ""),
                listener=self._listener,
                detail=detail,
                cause=cause,
                total_ms=round((trio.current_time() - connection.opened_at) * 1000, 3),
                bytes_received=received,
                limits=limits,
            )
        )


def _certificate(facts: CertificateFacts) -> str:
    """The certificate that a client has shown, for whoever issues such."""
    try:
        names = ", ".join(name for _, name in facts.sans) or "no alternative names"
        until = facts.expires.strftime("%Y-%m-%d %H:%M")
        return f"the client's certificate: {facts.subject} ({names}), issued by {facts.issuer}, valid until {until} UTC"
    except ValueError:
        return "the client's certificate cannot be read"
