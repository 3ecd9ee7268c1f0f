"""How the supervisor starts Python: this generation's code, and never the current directory's."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_SUPERVISORS = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_CODE_ROOT = str(Path(__file__).resolve().parent.parent.parent)


def command(module: str, *arguments: str) -> list[str]:
    """`python -P -m module arguments`: -P keeps the current directory off `sys.path`."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment(**extra: str) -> dict[str, str]:
    """Our environment, with the directory that our own packages were imported from in front of PYTHONPATH."""
    inherited = os.environ.get("PYTHONPATH", "")
    paths = [_CODE_ROOT, *(path for path in inherited.split(os.pathsep) if path and path != _CODE_ROOT)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **extra}


def child_environment(**extra: str) -> dict[str, str]:
    """`environment` without what systemd tells the supervisor alone."""
    return {name: value for name, value in environment(**extra).items() if name not in _SUPERVISORS}
