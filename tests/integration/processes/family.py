"""Who is who among the processes of a running proxy, from their titles."""

from __future__ import annotations

from pathlib import Path

import psutil

from tests.kit.process import wait_for
from tests.kit.proxy import Proxy


def titled(proxy: Proxy, start: str) -> list[psutil.Process]:
    """Living processes whose title begins with `trireme: <start>`."""
    found = []
    for process in proxy.members():
        try:
            if process.cmdline()[:1] and " ".join(process.cmdline()).startswith(f"trireme: {start}"):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def one(proxy: Proxy, start: str) -> psutil.Process:
    (process,) = titled(proxy, start)
    return process


def workers(proxy: Proxy) -> list[psutil.Process]:
    return titled(proxy, "worker")


def wait_for_workers(proxy: Proxy, count: int, *, but: frozenset[int] = frozenset()) -> None:
    """Until exactly `count` worker processes exist, none with a pid in `but`, and all of them serve."""

    def serving() -> bool:
        pids = {process.pid for process in workers(proxy)}
        return len(pids) == count and not but & pids and proxy.stats().get("server.concurrency") == count

    wait_for(serving, deadline=30, what=f"{count} workers serve")


def with_patch(directory: Path, code: str) -> dict[str, str]:
    """An environment in which every Python process runs `code` at its start: how a test makes a process misbehave."""
    (directory / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": str(directory)}
