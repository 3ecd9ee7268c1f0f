"""Earliest deadline first: things of unequal weight in turn, as Envoy's `EdfScheduler`.

Something of weight w comes up every 1/w of virtual time, so in any window two things are served in proportion to their
weights, to within one turn each, and a heavy one's turns are spread rather than bunched.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Edf(Generic[T]):
    """`deadlines` are the first ones. Of equal deadlines the one whose last turn is longer ago comes first."""

    __slots__ = ("_queue", "_ties")

    def __init__(self, deadlines: Iterable[tuple[float, T]]) -> None:
        self._queue = [(deadline, index, item) for index, (deadline, item) in enumerate(deadlines)]
        self._ties = len(self._queue)
        heapq.heapify(self._queue)

    def __bool__(self) -> bool:
        return bool(self._queue)

    def turn(self, weight: Callable[[T], float]) -> T:
        """Whose deadline is due first; its next one follows from the `weight` that it has now. There must be one."""
        deadline, _, item = self._queue[0]
        self._ties += 1
        heapq.heapreplace(self._queue, (deadline + 1 / weight(item), self._ties, item))
        return item
