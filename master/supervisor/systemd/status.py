"""The line that `systemctl status` shows: what is happening now. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

MAX_LISTENERS = 3


def starting(*, ready: int, workers: int, controller: bool) -> str:
    waiting = "" if controller else ", the controller is initialising"
    return f"starting: {ready} of {workers} workers ready{waiting}"


def serving(
    *,
    ready: int,
    workers: int,
    bound: Sequence[tuple[str, Sequence[str]]],
    closed: bool,
    old: Mapping[int, int],
) -> str:
    """`bound`: (listener, its addresses). `closed`: they take no connections any more. `old`: generations that still
    drain, with their connections.
    """
    who = f"{workers} worker{'s' if workers != 1 else ''}" if ready == workers else f"{ready} of {workers} workers"
    where = [f"{name} {' '.join(addresses)}" for name, addresses in bound[:MAX_LISTENERS]]
    if len(bound) > MAX_LISTENERS:
        where.append(f"{len(bound) - MAX_LISTENERS} more")
    drains = "".join(f"; generation {number} drains {_connections(count)}" for number, count in old.items())
    return f"serving with {who}: {'listeners closed' if closed else ', '.join(where) or 'no listeners'}{drains}"


def restarting(*, generation: int, phase: str) -> str:
    return f"hot restart into generation {generation}: {phase}"


def draining(*, connections: int, seconds_left: float) -> str:
    return f"draining: {_connections(connections)} left, for {max(0.0, seconds_left):.0f} s at most"


def _connections(count: int) -> str:
    return f"{count} connection{'s' if count != 1 else ''}"
