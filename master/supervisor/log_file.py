"""`--log-path`: standard error of every process, opened (and reopened on USR1) by the supervisor alone."""

from __future__ import annotations

import os

STDERR = 2


def redirect(path: str) -> None:
    """Send this process's standard error to the end of the file at `path`; raises `OSError`, nothing changed."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    os.dup2(fd, STDERR)
    os.close(fd)
