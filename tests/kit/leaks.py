"""Nothing is left behind: file descriptors, threads and child processes are the same after as before."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.kit.process import wait_for


def open_fds() -> dict[int, str]:
    """The file descriptors of this process with what they refer to."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the descriptor of the listing itself
            found[int(name)] = str(Path(f"/proc/self/fd/{name}").readlink())
    return found


def children() -> set[int]:
    """Process ids of all descendants of this process."""
    return {child.pid for child in psutil.Process().children(recursive=True)}


@contextlib.contextmanager
def no_leaks(*, deadline: float = 5.0) -> Iterator[None]:
    """Fails if the block leaves a file descriptor, a thread or a child process behind for longer than `deadline` s."""
    fds, threads, processes = open_fds(), set(threading.enumerate()), children()
    yield
    gc.collect()

    def left() -> dict[str, object]:
        new_fds = {fd: what for fd, what in open_fds().items() if fds.get(fd) != what}
        new_threads = [thread.name for thread in threading.enumerate() if thread not in threads]
        found = {"file descriptors": new_fds, "threads": new_threads, "processes": children() - processes}
        return {kind: things for kind, things in found.items() if things}

    with contextlib.suppress(AssertionError):  # the one below says what is left
        wait_for(lambda: not left(), deadline=deadline, what="nothing left")
    if found := left():
        raise AssertionError(f"left behind: {found}")
