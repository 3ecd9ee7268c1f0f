"""The standing order `drain`: which listeners drain since when, and when they close. Pure; CLOCK_MONOTONIC."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from master.supervisor.draining import Drained

Drains = Mapping[str, Drained]


def begun(
    drains: Drains,
    names: Collection[str],
    *,
    now: float,
    seconds: float,
    immediate: bool,
    graceful: bool,
    close: bool,
) -> dict[str, Drained]:
    """`drains` after `/drain_listeners`: these listeners drain from now on, and `close` when the drain's time is over,
    or at once unless `graceful`. One that drains already goes on doing so, and closes at the earlier moment.
    """
    changed = dict(drains)
    for name in names:
        old = drains.get(name) or Drained(began=now, seconds=seconds, immediate=immediate, closes=None)
        closes = old["closes"]
        if close:
            end = old["began"] + old["seconds"] if graceful else now
            closes = end if closes is None else min(closes, end)
        changed[name] = Drained(began=old["began"], seconds=old["seconds"], immediate=old["immediate"], closes=closes)
    return changed


def undone(drains: Drains, names: Collection[str]) -> dict[str, Drained]:
    """`drains` without those of `names`."""
    return {name: drain for name, drain in drains.items() if name not in names}
