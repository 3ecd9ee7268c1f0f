"""What goes wrong between the router and an upstream, as `ProxyError`s with Envoy's texts (features §13 rule 28)."""

from __future__ import annotations

import errno
from typing import Literal

from proxy.errors import Flag, ProxyError, Retryable
from proxy.upstream.connect import ConnectFailed

Reason = Literal[
    "local connection failure",
    "remote connection failure",
    "connection timeout",
    "connection termination",
    "remote reset",
    "remote refused stream reset",
    "protocol error",
    "overflow",
]

_FLAGS: dict[Reason, Flag] = {
    "local connection failure": Flag.UPSTREAM_CONNECTION_FAILURE,
    "remote connection failure": Flag.UPSTREAM_CONNECTION_FAILURE,
    "connection timeout": Flag.UPSTREAM_CONNECTION_FAILURE,
    "connection termination": Flag.UPSTREAM_CONNECTION_TERMINATION,
    "remote reset": Flag.UPSTREAM_REMOTE_RESET,
    "remote refused stream reset": Flag.UPSTREAM_REMOTE_RESET,
    "protocol error": Flag.UPSTREAM_PROTOCOL_ERROR,
    "overflow": Flag.UPSTREAM_OVERFLOW,
}
# A request that never reached an upstream can always be tried again. One that met a connection which the peer was
# just closing can be, too, if that connection had served before (RFC 9112 section 9.3.1).
_RETRYABLE: dict[Reason, Retryable] = {
    "local connection failure": "always",
    "remote connection failure": "always",
    "connection timeout": "always",
    "connection termination": "reused",
    "remote reset": "never",
    "remote refused stream reset": "always",
    "protocol error": "never",
    "overflow": "never",
}


_OUR_OWN = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""We had no descriptor, memory or port left: the host was never asked."""


def reset(reason: Reason, *, transport_failure: str = "", response_started: bool = False) -> ProxyError:
    """The upstream request ended without a complete response.

    `transport_failure` is what the socket said (`delayed connect error: Connection refused`); it is part of the
    detail, not of the body. After `response_started` no local reply is possible and nothing may be retried.
    """
    causes = f"{reason}|{transport_failure}" if transport_failure else reason
    phase = "after" if response_started else "before"
    return ProxyError(
        f"upstream_reset_{phase}_response_started{{{causes.replace(' ', '_')}}}",
        side="internal" if reason == "overflow" else "upstream",
        status=502 if reason == "protocol error" else 503,
        body=f"upstream connect error or disconnect/reset before headers. reset reason: {reason}",
        flag=_FLAGS[reason],
        retryable="never" if response_started else _RETRYABLE[reason],
        headers=((b"x-envoy-overloaded", b"true"),) if reason == "overflow" else (),
        transport_failure=transport_failure,
    )


def tell_as_retried(error: ProxyError) -> None:
    """`error` ended the last of several attempts: its text says so."""
    if isinstance(error.body, str):
        error.body = error.body.replace("headers. reset reason:", "headers. retried and the latest reset reason:")


def connect_failed(failed: ConnectFailed) -> ProxyError:
    """No connection to the host."""
    if failed.timed_out:
        return reset("connection timeout")
    reason: Reason = "local connection failure" if failed.local else "remote connection failure"
    error = reset(reason, transport_failure=failed.cause)
    if failed.local or failed.errno in _OUR_OWN:
        error.side = "internal"
    return error


def no_healthy_upstream() -> ProxyError:
    """The balancer has no host to offer."""
    return ProxyError(
        "no_healthy_upstream",
        side="upstream",
        status=503,
        body="no healthy upstream",
        flag=Flag.NO_HEALTHY_UPSTREAM,
    )
