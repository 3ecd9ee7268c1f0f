"""Compiled clusters of type ORIGINAL_DST. Data only."""

from __future__ import annotations

import msgspec


class OriginalDst(msgspec.Struct, frozen=True):
    """`Cluster.OriginalDstLbConfig`: what goes before the address that a client has connected to. A header (`header`,
    lower case, b"" for none), dynamic metadata (`metadata`: namespace and path); `port` (0: as it is) is that of all.
    A destination that nobody has asked for within `cleanup_interval` seconds, and that has no connection, is forgotten.
    """

    header: bytes = b""
    metadata: tuple[str, ...] = ()
    port: int = 0
    cleanup_interval: float = 5.0
