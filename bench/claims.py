"""Limits that several processes share, while all of them race for the last place: `python -m bench.claims`.

For limits of 1, 10 and 1,024 and eight processes that together want more than there is: how often a claim is granted
and refused; how often it is refused in vain, which is while at no moment of it all places were taken (two that claim
the last one at the same moment may both be refused); and how many places were taken at a time at most.
Between claims a process works as long as a request costs a worker at least.
"""

from __future__ import annotations

import bisect
import itertools
import os
import random
import struct
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from shm.table import TableWriter, create_table

LIMITS = (1, 10, 1024)
PROCESSES = 8
WORK = 60e-6
_SPAN = struct.Struct("4q")


class Outcome(NamedTuple):
    """Claims that were granted, refused, refused in vain; the most places that were taken at a time."""

    granted: int
    refused: int
    in_vain: int
    taken: int


class Span(NamedTuple):
    """A claim (ns): when it began and when the answer was there; if it was granted, when the place was about to be
    given back and when it had been, else 0.
    """

    begin: int
    answered: int
    releasing: int = 0
    end: int = 0


def race(limit: int, seconds: float, *, processes: int = PROCESSES, work: float = WORK) -> Outcome:
    """All of them, for so long, with `work` seconds between two claims."""
    fd = create_table("claims", rows=1, columns=1, gauges=(0,), writers=processes)
    writers = [TableWriter(fd, number) for number in range(processes)]  # all take part from the beginning
    begin = time.monotonic() + 0.05
    children = []
    for number, writer in enumerate(writers):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                spans = contend(writer, number, limit, begin, begin + seconds, processes=processes, work=work)
                with os.fdopen(writing, "wb") as pipe:
                    pipe.writelines(_SPAN.pack(*span) for span in spans)
            finally:
                os._exit(0)
        os.close(writing)
        children.append((child, reading))
    found: list[Span] = []
    for child, reading in children:
        with os.fdopen(reading, "rb") as pipe:
            found += map(Span._make, _SPAN.iter_unpack(pipe.read()))
        os.waitpid(child, 0)
    os.close(fd)
    return judge(limit, found)


def contend(
    table: TableWriter, seed: int, limit: int, begin: float, end: float, *, processes: int, work: float
) -> list[Span]:
    """Claim more than one's share, let go of some, and so on."""
    draw, spans = random.Random(seed), []
    most = limit // processes + max(2, limit // 64)
    held: deque[Span] = deque()
    _spin(begin)
    while time.monotonic() < end:
        before = time.monotonic_ns()
        granted = table.claim(0, 0, limit)
        claim = Span(before, time.monotonic_ns())
        if granted:
            held.append(claim)
        else:
            spans.append(claim)
        while len(held) >= most or (held and draw.random() < 0.3):
            spans.append(_release(table, held.popleft()))
        _spin(time.monotonic() + work)
    return [*spans, *(_release(table, claim) for claim in held)]


def _release(table: TableWriter, claim: Span) -> Span:
    before = time.monotonic_ns()
    table.release(0, 0)
    return Span(claim.begin, claim.answered, before, time.monotonic_ns())


def judge(limit: int, spans: Sequence[Span]) -> Outcome:
    """What all of them came to."""
    granted = [span for span in spans if span.end]
    refused = [span for span in spans if not span.end]
    moments, maybe_taken = _sums([(span.begin, span.end) for span in granted])
    in_vain = 0
    for span in refused:
        first, last = bisect.bisect_left(moments, span.begin), bisect.bisect_right(moments, span.answered)
        in_vain += max(maybe_taken[max(0, first - 1) : last], default=0) < limit
    _, taken = _sums([(span.answered, span.releasing) for span in granted])
    return Outcome(len(granted), len(refused), in_vain, max(taken, default=0))


def _sums(spans: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """How many there are at a time, from each moment at which that changes."""
    changes = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    return [moment for moment, _ in changes], list(itertools.accumulate(change for _, change in changes))


def _spin(until: float) -> None:
    while time.monotonic() < until:
        pass


def main(arguments: list[str]) -> None:
    seconds = float(arguments[0]) if arguments else 3.0
    print(f"{PROCESSES} processes on {os.cpu_count()} cores, {seconds:g} s each")
    print(f"{'limit':>6} {'granted':>10} {'refused':>10} {'in vain':>10} {'of claims':>10} {'taken at most':>14}")
    for limit in LIMITS:
        found = race(limit, seconds)
        share = 100 * found.in_vain / (found.granted + found.refused)
        print(
            f"{limit:>6} {found.granted:>10} {found.refused:>10} {found.in_vain:>10} {share:>8.3f} % {found.taken:>14}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
