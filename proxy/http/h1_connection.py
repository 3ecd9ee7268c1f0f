"""The fields that steer one HTTP/1 connection: Connection, Upgrade, Expect (RFC 9110 sections 7.6.1, 7.8, 10.1.1)."""

from __future__ import annotations

from collections.abc import Callable

from proxy.http.headers import Headers


def tokens(headers: Headers, name: bytes) -> list[bytes]:
    """The lower-case members of a comma-separated list field, over all its lines."""
    values = headers.get_all(name)
    return values and [
        token for value in values for token in (part.strip(b" \t").lower() for part in value.split(b",")) if token
    ]


def closes(headers: Headers, version: bytes) -> bool:
    """Whether this message's sender ends the connection after it (RFC 9112 9.3).

    HTTP/1.0 always does for us: its keep-alive cannot pass through proxies safely (RFC 9112 C.2.2). Envoy honours
    the non-standard Proxy-Connection too.
    """
    return version == b"1.0" or b"close" in tokens(headers, b"connection") + tokens(headers, b"proxy-connection")


def expects_continue(headers: Headers) -> bool:
    """Whether the client waits for a 100. Another expectation is the upstream's to judge."""
    value = headers.joined(b"expect")
    return value is not None and value.lower() == b"100-continue"


def take_upgrade(headers: Headers, ignores: Callable[[bytes], bool] | None = None) -> str:
    """The protocol that the request asks to change to (lower case), or "". What `ignores` says true of, as it came, is
    passed over.

    An offer of h2c is removed, with its HTTP2-Settings: an upstream that took it up would speak HTTP/2 past every
    check of this proxy. Envoy drops it as well.
    """
    if b"upgrade" not in tokens(headers, b"connection"):
        return ""
    offered = [part.strip(b" \t") for value in headers.get_all(b"upgrade") for part in value.split(b",")]
    wanted = [protocol for protocol in offered if protocol and not (ignores is not None and ignores(protocol))]
    kept = [protocol for protocol in map(bytes.lower, wanted) if protocol != b"h2c"]
    if len(kept) < len(offered):
        removed = {b"http2-settings"} if kept else {b"http2-settings", b"upgrade"}
        headers.remove(b"http2-settings")
        _replace(headers, b"upgrade", kept)
        _replace(headers, b"connection", [token for token in tokens(headers, b"connection") if token not in removed])
    return b",".join(kept).decode("latin-1")


def _replace(headers: Headers, name: bytes, members: list[bytes]) -> None:
    if members:
        headers.set(name, b", ".join(members))
    else:
        headers.remove(name)
