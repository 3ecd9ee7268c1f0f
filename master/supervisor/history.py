"""The configurations that were in effect, newest last: sealed memory files that outlive the controller and an exec."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

from master.supervisor.state import Fd

MAX_ENTRIES = 10


@dataclass(frozen=True, slots=True)
class Entry:
    """`fd` is the committed form. `at` is `time.time()` of the commit; `why` is what made it (`start`, `reload` …)."""

    version: int
    fd: int
    at: float
    why: str


class History:
    """The last entry is the one in effect."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    @property
    def version(self) -> int:
        """Of the configuration in effect; 0 before the first."""
        return self.entries[-1].version if self.entries else 0

    def push(self, fd: int, why: str) -> None:
        """The configuration in `fd`, which stays the caller's, is in effect from now on."""
        self.entries.append(Entry(self.version + 1, os.dup(fd), time.time(), why))
        while len(self.entries) > MAX_ENTRIES:
            os.close(self.entries.pop(0).fd)

    def renew(self, fd: int) -> None:
        """The same as `push` for what is the last entry with other secrets: it takes the entry's place."""
        last = self.entries.pop()
        os.close(last.fd)
        self.entries.append(Entry(last.version + 1, os.dup(fd), last.at, last.why))

    def find(self, version: int | None) -> Entry | str:
        """The entry to go back to, by default the one before the last; or why there is none."""
        known = [entry.version for entry in self.entries[:-1]]
        wanted = version if version is not None else (known[-1] if known else 0)
        if wanted == self.version:
            return f"version {wanted} is in effect"
        for entry in self.entries:
            if entry.version == wanted:
                return entry
        if not known:
            return "there is no earlier configuration"
        return f"version {wanted} is not kept; there are {', '.join(map(str, known))}"

    def described(self) -> list[dict[str, Any]]:
        """For the admin interface."""
        return [
            {"version": entry.version, "at": entry.at, "why": entry.why, "current": entry.version == self.version}
            for entry in self.entries
        ]

    def state(self) -> list[dict[str, Any]]:
        """For the successor over an exec (`state.py`)."""
        return [
            {"version": entry.version, "fd": Fd(entry.fd), "at": entry.at, "why": entry.why} for entry in self.entries
        ]

    def adopt(self, state: list[dict[str, Any]]) -> None:
        """The inverse of `state`."""
        self.entries = [Entry(item["version"], item["fd"], item["at"], item["why"]) for item in state]
