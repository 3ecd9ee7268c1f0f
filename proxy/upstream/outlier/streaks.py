"""How often in a row a host has failed, over all workers, without a lock.

Failures in a row end with a success, in whichever worker. So a worker keeps, in one word of its own, how many successes
the host had had anywhere when it failed here last, and how often it has failed here since. Words of which the former is
still true belong to the streak that goes on now; the sum of their counts is its length. A success thus costs the worker
that had it one addition, which the rates need anyway, and only a failure looks at what others have written.

Bounds. Two workers whose host fails at the same moment may each miss the other's word, so that a streak is found one
failure later, or both see the last one, and it is found twice; whoever decides takes the second one for what it is,
since the host is ejected by then (or counts it once more, where it may not be).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from proxy.upstream.outlier.kinds import Kind
from proxy.upstream.tables import HostColumn, Table

_COUNT_BITS: Final = 24
_MAX_COUNT: Final = (1 << _COUNT_BITS) - 1
_MARKS: Final = (1 << 39) - 1


class Columns(NamedTuple):
    """Where a streak is: each worker's word, what ends it, how often it was found long enough, and how many of these
    have been dealt with. That it was found ends it, too.
    """

    streak: HostColumn
    ends: tuple[HostColumn, ...]
    detected: HostColumn
    handled: HostColumn


COLUMNS: Final = {
    Kind.CONSECUTIVE_5XX: Columns(
        HostColumn.STREAK_5XX,
        (HostColumn.OUTLIER_SUCCESS, HostColumn.DETECTED_5XX),
        HostColumn.DETECTED_5XX,
        HostColumn.HANDLED_5XX,
    ),
    Kind.CONSECUTIVE_GATEWAY_FAILURE: Columns(
        HostColumn.STREAK_GATEWAY_FAILURE,
        (HostColumn.OUTLIER_SUCCESS, HostColumn.OUTLIER_5XX, HostColumn.DETECTED_GATEWAY_FAILURE),
        HostColumn.DETECTED_GATEWAY_FAILURE,
        HostColumn.HANDLED_GATEWAY_FAILURE,
    ),
    Kind.CONSECUTIVE_LOCAL_ORIGIN_FAILURE: Columns(
        HostColumn.STREAK_LOCAL_FAILURE,
        (HostColumn.OUTLIER_LOCAL_SUCCESS, HostColumn.DETECTED_LOCAL_FAILURE),
        HostColumn.DETECTED_LOCAL_FAILURE,
        HostColumn.HANDLED_LOCAL_FAILURE,
    ),
}


def fail(hosts: Table, slot: int, columns: Columns) -> int:
    """The host in row `slot` has failed once more here; how often it now has in a row, over all workers."""
    mark = sum(hosts.total(slot, column) for column in columns.ends) & _MARKS
    before = hosts.get(slot, columns.streak)
    count = before & _MAX_COUNT if before >> _COUNT_BITS == mark else 0
    hosts.set(slot, columns.streak, mark << _COUNT_BITS | min(count + 1, _MAX_COUNT))
    words = hosts.words(slot, columns.streak)
    return sum(word & _MAX_COUNT for word in words if word >> _COUNT_BITS == mark)


def found(hosts: Table, slot: int, columns: Columns) -> None:
    """It was long enough. Another one begins."""
    hosts.add(slot, columns.detected, 1)


def waiting(hosts: Table, slot: int, columns: Columns) -> int:
    """How many that were long enough nobody has dealt with yet."""
    return hosts.total(slot, columns.detected) - hosts.total(slot, columns.handled)


def handle(hosts: Table, slot: int, columns: Columns) -> None:
    """One of these has been."""
    hosts.add(slot, columns.handled, 1)


def forget(hosts: Table, slot: int) -> None:
    """Nothing that has failed so far counts any more."""
    for columns in COLUMNS.values():
        hosts.add(slot, columns.handled, 1)
        hosts.add(slot, columns.detected, 1)
