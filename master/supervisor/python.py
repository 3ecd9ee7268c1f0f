"""How the supervisor starts Python: a generation's interpreter and code, and never the current directory's."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

_SUPERVISORS = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_OWN_ROOT = str(Path(__file__).resolve().parent.parent.parent)


@dataclass(frozen=True, slots=True)
class Code:
    """`executable` is the interpreter; `root` the directory that holds our packages, "" if it finds them by itself."""

    executable: str
    root: str

    def command(self, module: str, *arguments: str) -> list[str]:
        """`python -P -m module arguments`: -P keeps the current directory off `sys.path`."""
        return [self.executable, "-P", "-m", module, *arguments]

    def environment(self, **extra: str) -> dict[str, str]:
        """Our environment with `root` in front of PYTHONPATH, and without our own root if that is another one."""
        inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        paths = [path for path in inherited if path and path not in (self.root, _OWN_ROOT)]
        path = os.pathsep.join([self.root, *paths] if self.root else paths)
        environment = {**os.environ, **extra}
        environment.pop("PYTHONPATH", None)
        return {**environment, "PYTHONPATH": path} if path else environment

    def child_environment(self, **extra: str) -> dict[str, str]:
        """`environment` without what systemd tells the supervisor alone."""
        return {name: value for name, value in self.environment(**extra).items() if name not in _SUPERVISORS}


OWN = Code(sys.executable, _OWN_ROOT)


def at(path: str) -> Code:
    """The code that `--exec PATH` names: a virtual environment, its `bin/proxyctl`, or a Python interpreter.

    Raises `ValueError` if there is no interpreter.
    """
    if os.path.isdir(path):
        executable = os.path.join(path, "bin", "python")
    elif os.path.basename(path).startswith("python"):
        executable = path
    else:
        executable = os.path.join(os.path.dirname(path), "python")
    if not os.path.isabs(executable) or not os.access(executable, os.X_OK):
        raise ValueError(f"{path}: there is no Python that can be run at {executable}")
    return Code(executable, "")
