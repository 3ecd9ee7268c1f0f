"""What a hot restart was asked to be.

The path of other code is never taken from a message, since a controller that was broken into could name any: it comes
in a file that only the supervisor's user can have written.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from master.supervisor import python
from master.supervisor.python import Code

READY_TIMEOUT = 60.0  # seconds for the new generation's processes
EXEC_FILE = "restart-exec"  # in the runtime directory: {"exec": PATH}
_MAX_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Request:
    """`code` is None for the code that runs, from the disk as it is now; `canary` seconds, 0 for none."""

    code: Code | None = None
    ready_timeout: float = READY_TIMEOUT
    canary: float = 0.0


def read(message: dict[str, Any], directory: str) -> Request:
    """The request of a message, or of a signal (an empty one). Raises `ValueError` or `OSError` with the reason."""
    return Request(
        code=_take_code(directory),
        ready_timeout=float(message.get("ready_timeout") or READY_TIMEOUT),
        canary=float(message.get("canary") or 0.0),
    )


def _take_code(directory: str) -> Code | None:
    path = os.path.join(directory, EXEC_FILE)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(fd, "rb") as file:
        os.unlink(path)
        status = os.fstat(fd)
        if status.st_uid not in (os.geteuid(), 0) or status.st_mode & 0o022:
            raise ValueError(f"{path} was not written by the user of the supervisor alone")
        return python.at(json.loads(file.read(_MAX_BYTES))["exec"])
