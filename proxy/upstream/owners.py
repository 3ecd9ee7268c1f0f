"""Whose work it is to look after a host or a cluster: everything is done by one worker, for all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import xxhash


class Owners(Protocol):
    """Asked before each piece of work, as workers come and go."""

    def mine(self, key: str) -> bool:
        """Whether the thing called `key` is this worker's to look after now."""
        ...


class Alone:
    """`Owners` where there is one worker."""

    def mine(self, key: str) -> bool:
        """It is."""
        return True


def owner(key: str, workers: Iterable[int]) -> int | None:
    """Which of `workers` looks after `key`: rendezvous hashing, so that one who goes leaves the others what they had,
    and what was its own is spread over all. None if there is nobody.
    """
    name = key.encode()
    return max(workers, key=lambda worker: (xxhash.xxh64_intdigest(name, worker), worker), default=None)
