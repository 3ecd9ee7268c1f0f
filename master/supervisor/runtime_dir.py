"""The runtime directory: one instance's lock, pid file and admin socket."""

from __future__ import annotations

import fcntl
import os
import stat


class RuntimeDirError(Exception):
    """The directory cannot be used; the text says why and what to do."""


def trusted(path: str) -> str:
    """Where a link leads that root or we made (systemd makes one for a dynamic user); others are not followed."""
    try:
        status = os.lstat(path)
    except OSError:
        return path
    return os.path.realpath(path) if stat.S_ISLNK(status.st_mode) and status.st_uid in (0, os.geteuid()) else path


class RuntimeDir:
    """Holds the directory's lock for as long as the process lives (the kernel releases it on any death)."""

    def __init__(self, path: str, *, lock: int | None = None) -> None:
        """Take the directory; or, with the descriptor `lock` of its held lock, go on with it. `RuntimeDirError`."""
        path = trusted(path)
        self.path = path
        self.admin_socket = os.path.join(path, "admin.sock")
        self.pid_file = os.path.join(path, "supervisor.pid")
        self.unclean = False
        if lock is None:
            self._take(path)
        else:
            self.lock = lock

    def _take(self, path: str) -> None:
        try:
            os.makedirs(path, mode=0o755, exist_ok=True)
            status = os.stat(path, follow_symlinks=False)
        except OSError as error:
            raise RuntimeDirError(
                f"runtime directory {path}: {error.strerror}; choose another with --runtime-dir"
            ) from error
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            raise RuntimeDirError(
                f"runtime directory {path} is not a directory of user {os.geteuid()}; choose another with --runtime-dir"
            )
        self.lock = os.open(os.path.join(path, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeDirError(
                f"runtime directory {path} is in use by another instance ({self._holder()}); "
                "stop it with `proxyctl shutdown` or choose another with --runtime-dir"
            ) from None
        self.unclean = os.path.exists(self.pid_file)  # the last instance was killed; its children may still be ending
        with open(self.pid_file, "w", encoding="ascii") as file:
            file.write(f"{os.getpid()}\n")

    def _holder(self) -> str:
        try:
            with open(self.pid_file, encoding="ascii") as file:
                return f"pid {int(file.read(20))}"
        except (OSError, ValueError):
            return "pid unknown"

    def clean(self) -> None:
        """Remove what the instance left in the directory; the lock file stays (removing it would race)."""
        for path in (self.admin_socket, self.pid_file):
            try:
                os.unlink(path)
            except FileNotFoundError:
                continue
