"""The request target: its four forms (RFC 9112 section 3.2) and whom it names."""

from __future__ import annotations

import re

from proxy.http.codec import CodecError
from proxy.http.h1_strict import AUTHORITY, bad_request

# RFC 3986 3: scheme "://" authority path-abempty [ "?" query ]; the fragment never belongs in a request.
_ABSOLUTE = re.compile(rb"([A-Za-z][A-Za-z0-9+\-.]*)://([^/?]*)(.*)")


def parse_target(method: bytes, target: bytes, host: bytes) -> tuple[bytes, bytes, bytes]:
    """(scheme, authority, path) of a request; the scheme is empty unless the target is in absolute form.

    RFC 9112 3.2.2: with an absolute-form target "a proxy MUST ignore the received Host header field".
    """
    if b"#" in target:
        # Routing would look at one path and the upstream at another (CVE-2021-32779).
        raise CodecError("path_normalization_failed", status=400)
    if method == b"CONNECT":
        return b"", _connect_authority(target), b""
    if target.startswith(b"/"):
        return b"", _authority(host), target
    if target == b"*":
        if method != b"OPTIONS":
            raise bad_request("http1.invalid_url")
        return b"", _authority(host), target
    return _absolute(target)


def absolute(scheme: bytes | None, authority: bytes, path: bytes) -> bytes:
    """The target in absolute form (RFC 9112 section 3.2.2), for a proxy. `scheme` is what the client's hop spoke."""
    if path == b"*":  # 3.2.4: "a proxy that receives an OPTIONS request with an absolute-form" of an empty path
        path = b""
    return b"%b://%b%b" % (b"https" if scheme == b"https" else b"http", authority, path)


def _absolute(target: bytes) -> tuple[bytes, bytes, bytes]:
    parts = _ABSOLUTE.fullmatch(target)
    if not parts:
        raise bad_request()
    scheme, authority, path = parts[1].lower(), parts[2], parts[3]
    if scheme not in (b"http", b"https"):
        raise bad_request("http1.invalid_scheme")
    if not AUTHORITY.fullmatch(authority):
        raise bad_request("http1.invalid_url")
    # RFC 9110 4.2.3: "an empty path component is equivalent to an absolute path of '/'".
    return scheme, authority, path if path.startswith(b"/") else b"/" + path


def _connect_authority(target: bytes) -> bytes:
    """RFC 9112 3.2.3: authority-form = uri-host ":" port; "a server MUST reject" an empty or invalid port."""
    _, _, port = target.rpartition(b":")
    if not AUTHORITY.fullmatch(target) or not port.isdigit() or not 0 < int(port) < 65536:
        raise bad_request("http1.invalid_url")
    return target


def _authority(host: bytes) -> bytes:
    if not AUTHORITY.fullmatch(host):
        raise bad_request("http.invalid_authority")
    return host
