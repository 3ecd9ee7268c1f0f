"""How an inherited listening socket is called between supervisor and workers."""

from __future__ import annotations

from typing import NamedTuple

SHARED = -1  # the index of a socket that all workers accept on


class SocketName(NamedTuple):
    """`index` is the worker index whose reuseport socket it is, or `SHARED`; `address` its number in the listener."""

    listener: str
    address: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody misses here

    def __str__(self) -> str:
        return f"socket/{self.address}/{self.index}/{self.listener}"

    @classmethod
    def parse(cls, text: str) -> SocketName | None:
        """The inverse of `str`; None for the name of something else."""
        parts = text.split("/", 3)
        if len(parts) != 4 or parts[0] != "socket":
            return None
        return cls(parts[3], int(parts[1]), int(parts[2]))
