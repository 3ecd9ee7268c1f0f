"""Keys of session tickets (`TlsSessionTicketKeys`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.config.tls import TicketKeys

if TYPE_CHECKING:
    from master.config.compile.context import Context

_TLS = "envoy.extensions.transport_sockets.tls.v3"
FIELDS: dict[str, tuple[str, ...]] = {
    f"{_TLS}.TlsSessionTicketKeys": ("keys",),
}

_TICKET_KEY = 80  # bytes


def compile_ticket_keys(message: Any, context: Context) -> TicketKeys | None:
    """`TlsSessionTicketKeys`; None for what is reported."""
    here = context.at("keys")
    keys = tuple(here.data_source(source, index) for index, source in enumerate(message.keys))
    for index, key in enumerate(keys):
        if len(key) != _TICKET_KEY:
            here.error((index,), f"a session ticket key of {len(key)} bytes", f"{_TICKET_KEY} random bytes")
    return TicketKeys(keys) if all(len(key) == _TICKET_KEY for key in keys) else None
