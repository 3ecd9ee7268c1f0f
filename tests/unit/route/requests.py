"""Request heads for routing tests."""

from __future__ import annotations

from typing import Any

from proxy.http.events import RequestReceived
from proxy.http.headers import Headers
from proxy.http.request import Request


def request(
    path: str = "/",
    *,
    authority: str = "example.com",
    method: str = "GET",
    scheme: str = "http",
    headers: tuple[tuple[str, str], ...] = (),
) -> Request:
    """A request head without a body."""
    event = RequestReceived(
        stream_id=1,
        method=method.encode(),
        scheme=scheme.encode(),
        authority=authority.encode(),
        path=path.encode(),
        protocol="HTTP/1.1",
        headers=Headers((name.encode(), value.encode()) for name, value in headers),
        end_stream=True,
    )
    return Request(event)


class CountingBytes(bytes):
    """Counts how often a part of it is looked at: the steps of a search."""

    slices = 0

    def __getitem__(self, part: Any) -> Any:
        self.slices += 1
        return super().__getitem__(part)
