"""When a worker looks through all that it has for garbage in cycles.

Python does so once a quarter of what it knows is new: in the middle of whoever asks for a thousand streams, which then
waits, as everybody does, until all of these have been looked at (75 ms). Reference counts free nearly all of ours, so
there is time until few are being served. What is young is looked at as ever.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

import trio

_LOOK = 1.0  # seconds
_NEVER = 1_000_000_000
_QUIET = 50
"""Requests in hand with whose objects a full collection takes a few ms."""

_WORTH_IT = 10
"""Collections of the middle generation (each has let some 7,000 objects through at most) before a full one: Python's
own threshold."""

_TOO_MANY = 100
"""And when a full one does not wait any longer: 700,000 objects."""


def due(passed: int, requests: int) -> bool:
    """Whether to look through everything: after `passed` collections of the middle generation, with so many `requests`
    in hand.
    """
    return passed >= _TOO_MANY or (passed >= _WORTH_IT and requests <= _QUIET)


async def collect(requests: Callable[[], int]) -> None:
    """For ever, in place of Python's own full collections; `requests` says how many are in hand."""
    young, middle, full = gc.get_threshold()
    gc.set_threshold(young, middle, _NEVER)
    try:
        while True:
            await trio.sleep(_LOOK)
            if due(gc.get_count()[2], requests()):
                gc.collect()
    finally:
        gc.set_threshold(young, middle, full)
