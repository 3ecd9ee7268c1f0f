"""Whose is a connection? What the kernel says: a process has its descriptor, or nobody has accepted it yet.

A victim is stopped before it is killed, so that there is a moment at which the answer holds: what it has accepted is
lost with it, and nothing else may be.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.kit.process import wait_for

STOP_DEADLINE = 5.0


class Kill(NamedTuple):
    """`ports` are the clients' ports of the connections that process `pid` had when it was killed at `time`.

    `time` is `time.monotonic()`.
    """

    time: float
    pid: int
    ports: frozenset[int]


def kill(pids: Sequence[int], listening: Collection[int], *, also: Sequence[int] = ()) -> list[Kill]:
    """SIGKILL to `pids` at one moment; `listening` are the ports at which clients arrive. A pid that has gone is none.

    `also` are processes whose death will follow from it: they are stopped with the others, and left for others to kill.
    """
    everybody = [*pids, *also]
    stopped = [pid for pid in everybody if _send(pid, signal.SIGSTOP)]
    for pid in stopped:
        wait_for(lambda pid=pid: _stands(pid), deadline=STOP_DEADLINE, what=f"{pid} stands still")  # type: ignore[misc]
    now = time.monotonic()
    kills = [Kill(now, pid, connections(pid, listening)) for pid in stopped]
    for pid in pids:
        _send(pid, signal.SIGKILL)
    return kills


def connections(pid: int, listening: Collection[int]) -> frozenset[int]:
    """The clients' ports of the TCP connections that arrived at these ports and of which `pid` has a descriptor."""
    inodes = {target[len("socket:[") : -1] for target in _descriptors(pid) if target.startswith("socket:[")}
    found = set()
    for line in _lines(pid):
        fields = line.split()
        local, remote, inode = fields[1], fields[2], fields[9]
        if inode in inodes and _port(local) in listening and _port(remote):
            found.add(_port(remote))
    return frozenset(found)


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def _descriptors(pid: int) -> list[str]:
    found = []
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            found.append(os.readlink(entry.path))  # noqa: PTH115 - cheaper than a Path for each
    except (FileNotFoundError, ProcessLookupError):  # it ended, or closed this one
        pass
    return found


def _lines(pid: int) -> list[str]:
    """Of its own network, without the headings."""
    try:
        return Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    except (FileNotFoundError, ProcessLookupError, OSError):
        return []


def _send(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _stands(pid: int) -> bool:
    """Stopped, or gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] in "TZX"
