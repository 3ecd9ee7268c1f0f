"""What a WebSocket's handshake has in HTTP/1.1 alone: a key, and the proof that it was read (RFC 6455 section 4).

In HTTP/2 the handshake has neither (RFC 8441 section 5), so whoever passes it on to HTTP/1.1 makes up the key, and
looks at the answer itself.
"""

from __future__ import annotations

import base64
import hashlib
import os

KEY = b"sec-websocket-key"
ACCEPT = b"sec-websocket-accept"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def new_key() -> bytes:
    return base64.b64encode(os.urandom(16))


def answer_to(key: bytes) -> bytes:
    """What a server says that has understood the handshake with this key."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
