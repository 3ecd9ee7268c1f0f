"""What processes used, from /proc: CPU time and memory."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from bench.figures import Unfit

_TICK = 1 / os.sysconf("SC_CLK_TCK")


class Cpu(NamedTuple):
    """Seconds since the start of the process, of all of its threads, those that ended included."""

    user: float
    system: float


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        raise Unfit(f"process {pid} of the proxy ended during the measurement") from None


def cpu(pids: Iterable[int]) -> Cpu:
    """The sum over `pids`; raises Unfit if one of them is gone, since its time would be missing."""
    # The command stands in parentheses and may itself contain spaces; utime and stime are fields 14 and 15.
    rows = [_read(pid, "stat").rpartition(")")[2].split() for pid in pids]
    return Cpu(sum(int(row[11]) for row in rows) * _TICK, sum(int(row[12]) for row in rows) * _TICK)


def memory(pids: Iterable[int]) -> int:
    """Bytes: the proportional set size (shared pages count once, over those who share them), summed."""
    total = 0
    for pid in pids:
        for line in _read(pid, "smaps_rollup").splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total
