"""`ProxyError` → response. The only place where one becomes the other (style rule 12)."""

from __future__ import annotations

from proxy.errors import ProxyError
from proxy.http.headers import Headers
from proxy.http.stream_info import StreamInfo
from proxy.route.finish import EditHeaders


def render(error: ProxyError, info: StreamInfo, edit: EditHeaders | None = None) -> tuple[Headers, bytes]:
    """Headers and body of the reply to `error`, in Envoy's order (features §13 rule 28). The caller leaves the body
    out for HEAD; an empty one has no `content-type`. `edit` is the route's: it comes before the body's own headers,
    of which it may choose the type (rule 9).
    """
    body = error.body.encode() if isinstance(error.body, str) else error.body
    headers = Headers(error.headers)
    if edit is not None:
        info.response_headers = headers  # which it may tell
        edit(headers, info)
    if body:
        headers.set(b"content-length", b"%d" % len(body))
        if b"content-type" not in headers:
            headers.add(b"content-type", b"text/plain")
    return headers, body
