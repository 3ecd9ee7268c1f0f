"""What a session state extension does."""

from __future__ import annotations

import base64
import binascii
from typing import Protocol

from proxy.http.headers import Headers
from proxy.http.request import Request


class SessionState(Protocol):
    """Built with its `Config`. Addresses are Envoy's: `127.0.0.1:80`."""

    def read(self, request: Request) -> str | None:
        """The address of the host that the session of `request` is at; "" if it says none, None if it has none."""
        ...

    def write(self, address: str, headers: Headers) -> None:
        """Let the client know of the host, in the `headers` of a response."""
        ...


def decoded(text: bytes) -> bytes:
    """What stands in base64; empty for what is none."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""
