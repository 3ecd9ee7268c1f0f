"""`ProxyError` → response. The only place where one becomes the other (style rule 12)."""

from __future__ import annotations

from proxy.errors import ProxyError
from proxy.http.headers import Headers


def render(error: ProxyError) -> tuple[Headers, bytes]:
    """Headers and body of the reply to `error`, in Envoy's order (features §13 rule 28). The caller leaves the body
    out for HEAD; an empty one has no `content-type`.
    """
    body = error.body.encode() if isinstance(error.body, str) else error.body
    headers = Headers(error.headers)
    if body:
        headers.add(b"content-length", b"%d" % len(body))
        headers.add(b"content-type", b"text/plain")
    return headers, body
