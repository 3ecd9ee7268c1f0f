"""`envoy.http.stateful_session.header`: the address in a header, in base64."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from proxy.config.context import CompileContext
from proxy.http.h1_strict import TOKEN
from proxy.http.headers import Headers
from proxy.http.request import Request
from proxy.http.session_states.session_state import decoded

PROTO = "envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState"
FIELDS: dict[str, tuple[str, ...]] = {PROTO: ("name",)}


class HeaderState:
    """The client has to send the header of a response back."""

    class Config(msgspec.Struct, frozen=True, gc=False):
        """`HeaderBasedSessionState`. `name` is lower case."""

        name: str

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles a `HeaderBasedSessionState`."""
        if not TOKEN.fullmatch(message.name.encode()):
            context.error(("name",), f"{message.name!r} is not a header name", "a token (RFC 9110 section 5.6.2)")
        return cls.Config(message.name.lower())

    def __init__(self, config: Config) -> None:
        self._name = config.name.encode()

    def read(self, request: Request) -> str | None:
        return decoded(request.headers.get(self._name) or b"").decode("latin-1")

    def write(self, address: str, headers: Headers) -> None:
        headers.set(self._name, base64.b64encode(address.encode()))
