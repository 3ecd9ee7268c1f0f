"""Where a proxy keeps its lock, pid file and admin socket. Apart, so that `proxyctl run` loads no HTTP client."""

from __future__ import annotations

import os
from pathlib import Path

ENV_RUNTIME_DIR = "TRIREME_RUNTIME_DIR"


def default_runtime_dir() -> str:
    """The directory, unless `--runtime-dir` says otherwise."""
    if given := os.environ.get(ENV_RUNTIME_DIR):
        return given
    if os.geteuid() == 0:
        return "/run/trireme"
    if session := os.environ.get("XDG_RUNTIME_DIR"):
        return str(Path(session) / "trireme")
    return f"/tmp/trireme-{os.getuid()}"
