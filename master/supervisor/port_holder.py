"""Who listens on a port? From /proc, so that "address in use" can name the culprit."""

from __future__ import annotations

import contextlib
import os


def listening_inodes(port: int) -> set[str]:
    """Socket inodes that listen on TCP `port` on any address, IPv4 and IPv6 (`st` 0A is TCP_LISTEN)."""
    inodes: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table, encoding="ascii") as file:
                rows = [line.split() for line in file.readlines()[1:]]
        except OSError:
            continue
        for row in rows:
            if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port:
                inodes.add(row[9])
    return inodes


def holder(port: int) -> str:
    """`pid 123 (nginx)` for the process that listens on `port`, or a text that says it could not be seen."""
    wanted = {f"socket:[{inode}]" for inode in listening_inodes(port)}
    # systemd (pid 1) also holds what it has handed to a service, or keeps for one: it is named last.
    for pid in sorted(filter(str.isdigit, os.listdir("/proc")), key=int, reverse=True):
        if wanted & _links(pid):
            return f"pid {pid} ({_name(pid)})"
    return "a process of another user" if wanted else "an unknown process"


def _links(pid: str) -> set[str]:
    """What the descriptors of `pid` point to; empty where we may not look or it has ended."""
    links = set()
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                links.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    except OSError:
        return set()
    return links


def _name(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "ended"
