"""Who holds a drain: the connections that those wait for who wait for its end."""

from __future__ import annotations

import time
from typing import Any

from master.cli.client import AdminClient, AdminError
from proxy.sessions import words

NAMED = 3
INTERVAL = 2.0
"""Seconds between two questions."""


def named(client: AdminClient, *, listener: str = "", generation: int | None = None) -> list[str]:
    """The oldest connections of a listener, or of a generation, in words; empty while nobody can be asked."""
    query = {"listener": listener, "limit": str(NAMED)}
    if generation is not None:
        query["generation"] = str(generation)
    try:
        found: list[dict[str, Any]] = client.get("/sessions", query).json()["sessions"]
    except AdminError:
        return []
    return [words(session) for session in found]


class Pace:
    """Says when it is time to ask (again)."""

    def __init__(self) -> None:
        self.wait()

    def wait(self) -> None:
        """Something was shown: nothing more for a while."""
        self._next = time.monotonic() + INTERVAL

    def due(self) -> bool:
        """Once in a while."""
        if time.monotonic() < self._next:
            return False
        self.wait()
        return True
