"""The requests that the scenarios send, byte for byte, and the route table's shape that they must find their way in."""

from __future__ import annotations

HOSTS = 100
ROUTES_PER_HOST = 10
HOST = "service-57.bench"
RECORDED_HOST = "recorded.bench"  # the same path through the proxy, to an origin that says what it received
ROUTE = "/r7"  # the eighth of its virtual host's routes

NUMBER = "0af7651916cd43dd8448eb211c80319c"
"""A trace's id, in whose place the load generator puts another one with each request."""

TRACED = ("User-Agent: bench", "Accept: */*", f"traceparent: 00-{NUMBER}-00f067aa0ba902b7-01")

TEN = (
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Accept-Language: en-GB,en;q=0.5",
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: same-origin",
    "Upgrade-Insecure-Requests: 1",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
)
"""With `Host`, ten."""

FORTY = (
    *TEN,
    "Cache-Control: no-cache",
    "Pragma: no-cache",
    "DNT: 1",
    "Priority: u=0, i",
    "Referer: https://service-57.bench/catalogue?page=3",
    'Sec-CH-UA: "Chromium";v="140", "Not=A?Brand";v="24"',
    "Sec-CH-UA-Mobile: ?0",
    'Sec-CH-UA-Platform: "Linux"',
    "Sec-Fetch-User: ?1",
    "Sec-GPC: 1",
    *(f"X-Application-Header-{number}: value-{number}-of-an-application-that-likes-headers" for number in range(20)),
)
"""With `Host`, forty."""


def get(name: str, lines: tuple[str, ...] = ("User-Agent: bench", "Accept: */*")) -> bytes:
    """`GET` of the origin's resource `name` with these header lines."""
    return _request(f"GET {ROUTE}/{name} HTTP/1.1", lines)


def post(name: str, size: int) -> bytes:
    """`POST` of `size` bytes with a content-length."""
    lines = ("Content-Type: application/octet-stream", f"Content-Length: {size}")
    return _request(f"POST {ROUTE}/{name} HTTP/1.1", lines, bytes(size))


def post_chunked(name: str, size: int, chunk: int = 16 * 1024) -> bytes:
    """`POST` of `size` bytes in chunks of `chunk`."""
    lines = ("Content-Type: application/octet-stream", "Transfer-Encoding: chunked")
    body = b"".join(b"%x\r\n%b\r\n" % (chunk, bytes(chunk)) for _ in range(size // chunk)) + b"0\r\n\r\n"
    return _request(f"POST {ROUTE}/{name} HTTP/1.1", lines, body)


def _request(first: str, lines: tuple[str, ...], body: bytes = b"") -> bytes:
    return "\r\n".join((first, f"Host: {HOST}", *lines, "", "")).encode("ascii") + body
