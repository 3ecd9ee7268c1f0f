"""The runtime directory: is an instance running in it, or did one die there?"""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

import psutil

from master.doctor.finding import Finding
from master.supervisor.runtime_dir import trusted

CHECK = "runtime directory"


def check(directory: str) -> Finding:
    """What the next `proxyctl run` meets in `directory`."""
    path = Path(trusted(directory))
    try:
        status = path.lstat()
    except FileNotFoundError:
        return _absent(path)
    except OSError as error:
        return Finding(CHECK, "fault", f"{path}: {error.strerror}", "choose another with --runtime-dir")
    if not stat.S_ISDIR(status.st_mode):
        return Finding(CHECK, "fault", f"{path} is no directory", "remove it, or choose another with --runtime-dir")
    if _locked(path / "lock"):
        return Finding(CHECK, "ok", f"{path} is in use by the proxy with pid {holder(directory) or 'unknown'}")
    if status.st_uid != os.geteuid():
        text = f"{path} belongs to user {status.st_uid}, this is user {os.geteuid()}"
        return Finding(CHECK, "fault", text, "run as that user, or choose another with --runtime-dir")
    if (path / "supervisor.pid").exists():
        return Finding(
            CHECK, "warning", f"{path} was left behind by a proxy that was killed",
            "nothing to do: the next `proxyctl run` takes it over; the system's log may say who killed it (dmesg)",
        )  # fmt: skip
    return Finding(CHECK, "ok", f"{path} is free")


def holder(directory: str) -> int | None:
    """The supervisor that holds `directory`, None if nobody does."""
    path = Path(directory)
    try:
        return int((path / "supervisor.pid").read_text(encoding="ascii")) if _locked(path / "lock") else None
    except (OSError, ValueError):
        return None


def family(supervisor: int | None) -> set[int]:
    """The supervisor and everything that it started."""
    if supervisor is None:
        return set()
    try:
        return {supervisor, *(child.pid for child in psutil.Process(supervisor).children(recursive=True))}
    except psutil.NoSuchProcess:
        return set()


def _absent(path: Path) -> Finding:
    parent = next(parent for parent in path.absolute().parents if parent.exists())
    if os.access(parent, os.W_OK | os.X_OK):
        return Finding(CHECK, "ok", f"{path} will be made")
    remedy = "make it for this user (RuntimeDirectory=trireme in a systemd unit), or choose another with --runtime-dir"
    return Finding(CHECK, "fault", f"{path} does not exist, and {parent} is not writable for this user", remedy)


def _locked(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
