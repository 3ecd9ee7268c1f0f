"""What is tried out: a running proxy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from tests.kit.load import Outcome


class Unavailable(Exception):
    """This version of the subject has no such operation; the text says what is missing."""


class Subject(Protocol):
    """A running one, before an origin of its own."""

    @property
    def places(self) -> Mapping[str, tuple[str, int]]:
        """Its listeners by name: `web` and `tcp`, and others to which an operation may send clients."""
        ...

    @property
    def within(self) -> Sequence[str]:
        """The command that runs a program in its network."""
        ...

    @property
    def patience(self) -> float:
        """Seconds after which a client that has heard nothing gives up."""
        ...

    def explain(self, outcome: Outcome) -> list[str]:
        """What it has on record about the connection of a failed request."""
        ...

    def alive(self) -> bool: ...

    def close(self) -> None: ...
