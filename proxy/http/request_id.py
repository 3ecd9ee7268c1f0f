"""`x-request-id`: who gives a request its id, and what its version nibble says (features §13 rule 26).

Envoy's `UuidRequestIdConfig`. Sampling is for tracing, which is what reads the nibble: 4 not traced, 9 sampled, a
traced because the client said so, b because the service did.
"""

from __future__ import annotations

import random
from typing import Any

import msgspec

from proxy.config.context import CompileContext
from proxy.config.identity import Identity

REQUEST_IDS: dict[str, str] = {
    "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig": "proxy.http.request_id:UuidRequestId",
}
FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig": ("pack_trace_reason",),
}

_LENGTH = 36
_REASON_AT = 14
_NOT_TRACED = b"4"


class UuidRequestId:
    """`envoy.request_id.uuid`, the only kind that there is, and what counts where none is configured."""

    class Config(msgspec.Struct, frozen=True, gc=False):
        """`UuidRequestIdConfig`."""

        packs_trace_reason: bool = True

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles a `UuidRequestIdConfig`."""
        return cls.Config(message.pack_trace_reason.value if message.HasField("pack_trace_reason") else True)


class Policy:
    """That of one connection manager. `marks_foreign`: an id from outside goes on, as one that is not traced."""

    __slots__ = ("_generate", "_preserve", "marks_foreign")

    def __init__(self, config: Identity) -> None:
        self._generate = config.generate_request_id
        self._preserve = config.preserve_external_request_id
        self.marks_foreign = (
            self._generate and self._preserve and config.packs_trace_reason and config.use_remote_address
        )

    def choose(self, theirs: bytes | None, *, at_edge: bool) -> bytes | None:
        """The id of a request that came with `theirs`; None: it keeps what it has. `at_edge`: it comes from outside,
        whose ids are not believed; one that is to be kept has at least no say about tracing.
        """
        if not self._generate:
            return None
        if not theirs or (at_edge and not self._preserve):
            return generate()
        if at_edge and self.marks_foreign and len(theirs) == _LENGTH:
            return theirs[:_REASON_AT] + _NOT_TRACED + theirs[_REASON_AT + 1 :]
        return None


def generate() -> bytes:
    """A random UUID, version 4."""
    bits = random.getrandbits(128)  # an identifier, not a secret
    bits = bits & ~(0xF << 76) & ~(0x3 << 62) | (0x4 << 76) | (0x2 << 62)
    text = b"%032x" % bits
    return b"%b-%b-%b-%b-%b" % (text[:8], text[8:12], text[12:16], text[16:20], text[20:])
