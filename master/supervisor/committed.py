"""The committed configuration as the supervisor sees it: a sealed memfd whose head is a JSON manifest.

The rest is MessagePack for the workers, which the supervisor hands on and never parses.
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass
from typing import Any

MAX_MANIFEST = 64 * 1024 * 1024
_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address (`host` set) or a Unix socket (`path` set; a leading `@` means the abstract namespace)."""

    host: str = ""
    port: int = 0
    path: str = ""
    mode: int = 0

    def __str__(self) -> str:
        if self.path:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Listener:
    name: str
    addresses: tuple[Address, ...]
    reuse_port: bool
    backlog: int
    takes_idle: bool  # connections that wait for a request mean the same in every generation that says so


@dataclass(frozen=True, slots=True)
class Difference:
    """`changes` are those of `proxy.changes.Change`. `needs_restart` names what differs and no reload can change.
    `secrets` are the outcomes of a rotation (`master.config.rotation.Outcome`).
    """

    changes: tuple[dict[str, Any], ...]
    same_source: bool
    needs_restart: tuple[str, ...]
    secrets: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Committed:
    """One committed configuration. `fd` is the sealed memfd."""

    fd: int
    version: int
    listeners: tuple[Listener, ...]
    admin: Address | None
    clusters: int
    hosts: int
    state_versions: tuple[int, ...]  # of the supervisor's state (state.py) that the code which compiled this reads
    difference: Difference | None = None  # to what was in effect when it was compiled, for a reload

    def hands_over(self, successor: Committed) -> list[str]:
        """The listeners whose idle connections the listener of the same name and addresses can go on with."""
        takers = {(listener.name, listener.addresses) for listener in successor.listeners if listener.takes_idle}
        return [one.name for one in self.listeners if one.takes_idle and (one.name, one.addresses) in takers]


def _address(data: dict[str, Any]) -> Address:
    return Address(**data)


def _difference(data: dict[str, Any]) -> Difference | None:
    if "changes" not in data:
        return None
    return Difference(
        tuple(data["changes"]), data["same_source"], tuple(data["needs_restart"]), tuple(data.get("secrets", ()))
    )


def read(fd: int) -> Committed:
    """The manifest of the memfd `fd`; raises `ValueError` if it is not one that preflight wrote."""
    head = os.pread(fd, _LENGTH.size, 0)
    if len(head) < _LENGTH.size:
        raise ValueError("the compiled configuration is empty")
    (length,) = _LENGTH.unpack(head)
    if length > MAX_MANIFEST:
        raise ValueError(f"manifest of {length} bytes")
    data = json.loads(os.pread(fd, length, _LENGTH.size))
    return Committed(
        fd=fd,
        version=data["version"],
        listeners=tuple(
            Listener(
                name=item["name"],
                addresses=tuple(_address(address) for address in item["addresses"]),
                reuse_port=item["reuse_port"],
                backlog=item["backlog"],
                takes_idle=item.get("takes_idle", False),
            )
            for item in data["listeners"]
        ),
        admin=_address(data["admin"]) if data["admin"] else None,
        clusters=data["clusters"],
        hosts=data["hosts"],
        state_versions=tuple(data.get("state_versions", ())),
        difference=_difference(data),
    )
