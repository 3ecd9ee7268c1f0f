"""Session tickets that every worker of a generation can read, so that a client may resume at any of them.

The secret is drawn when this file is imported: by the template, before it forks. It is never written down, and ends
with its generation.
"""

from __future__ import annotations

import hashlib
import hmac
import os

_SECRET = os.urandom(32)


def ticket_key(identity: bytes) -> bytes:
    """80 bytes: the key of the contexts that have this `identity`. Another one's tickets are no use there."""
    expanded = b"".join(hmac.digest(_SECRET, identity + bytes([number]), hashlib.sha256) for number in range(3))
    return expanded[:80]
