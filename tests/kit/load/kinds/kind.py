"""What a kind of load is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tests.kit.client import Connection, Response


@dataclass(frozen=True)
class Ask:
    """What may be chosen of a request: its target, and the status that is good."""

    target: str
    status: int


class Wrong(Exception):
    """A response came whole and is not the right one; the text is the cause."""


class Kind(Protocol):
    """One connection's requests, one after the other. Each of a load's connections has an object of its own."""

    def perform(self, connection: Connection) -> bool:
        """One request and its response. True if the connection may be used again.

        Raises `Wrong`, and what `Connection` raises; either way the connection is given up.
        """
        ...


def check(response: Response, status: int, body: bytes | None = None) -> None:
    """Raises `Wrong` unless the response has this status and, where it is given, this body."""
    if response.status != status:
        raise Wrong(f"status {response.status}")
    if body is not None and response.body != body:
        raise Wrong("wrong body")


def stays(response: Response) -> bool:
    """The peer will take another request on this connection."""
    return "close" not in response.values("connection")
