"""What an exchange goes on as whose redirect the proxy follows itself."""

from __future__ import annotations

from typing import NamedTuple

from proxy.http.request import Request
from proxy.route.internal_redirect import Redirects


class Redirected(NamedTuple):
    """`request` with its whole `body` is what the next exchange begins with; `redirects` are those up to here."""

    request: Request
    body: bytes
    redirects: Redirects
