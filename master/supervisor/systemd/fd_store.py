"""Our listening sockets in systemd's fd store: it holds copies, so that their queues outlive a stop and a crash.

The name in the store says whose socket it is; the next supervisor finds it there among LISTEN_FDS.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple
from urllib.parse import quote

from shm.socket_name import SocketName

PREFIX = "trireme"
MAX_LABEL = 160  # characters; systemd takes names of up to 255, of ASCII without colons


class StoredName(NamedTuple):
    """`label` stands for the listener: its name quoted, and abridged with a digest if it is long."""

    label: str
    address: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody misses here

    def __str__(self) -> str:
        return f"{PREFIX}/{self.address}/{self.index}/{self.label}"

    @classmethod
    def of(cls, name: SocketName) -> StoredName:
        return cls(label(name.listener), name.address, name.index)

    @classmethod
    def parse(cls, text: str) -> StoredName | None:
        """The inverse of `str`; None for a name that we never gave."""
        parts = text.split("/", 3)
        if len(parts) != 4 or parts[0] != PREFIX:
            return None
        try:
            found = cls(parts[3], int(parts[1]), int(parts[2]))
        except ValueError:
            return None
        return found if str(found) == text else None


def label(listener: str) -> str:
    """Characters that systemd takes, different for different listeners."""
    quoted = quote(listener, safe="", errors="surrogatepass")
    if len(quoted) <= MAX_LABEL:
        return quoted
    return quoted[: MAX_LABEL - 33] + "~" + hashlib.sha256(quoted.encode()).hexdigest()[:32]
