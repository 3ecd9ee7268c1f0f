"""Has our code on disk changed since this generation started? (An upgrade in place, seen before a late import.)"""

from __future__ import annotations

import hashlib
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("shm", "proxy", "workers", "master")


def fingerprint(root: Path = _ROOT) -> str:
    """A digest of the path, size and modification time of each first-party source file."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            status = path.stat()
            digest.update(f"{path.relative_to(root)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
