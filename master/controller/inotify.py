"""Directories into which files are moved (inotify(7)): how Kubernetes and careful people replace what others read."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import struct
from collections.abc import Iterable, Iterator

import trio

log = logging.getLogger("controller")

_MOVED_TO, _OVERFLOW, _ONLY_DIRECTORIES = 0x80, 0x4000, 0x01000000  # linux/inotify.h
_EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows
_NONBLOCK, _CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
_MAX_EVENTS = 64 * 1024  # bytes read at once

_libc = ctypes.CDLL(None, use_errno=True)


class DirectoryWatch:
    """`wait` ends when something has been moved into one of the directories. Where that cannot be had, it is logged
    once, and `wait` never ends: whoever needs more looks now and then.
    """

    def __init__(self) -> None:
        self._fd = _libc.inotify_init1(_NONBLOCK | _CLOEXEC)
        self._watched: dict[str, int] = {}
        self._complained = False
        if self._fd < 0:
            self._complain("inotify_init1", ctypes.get_errno())

    def follow(self, directories: Iterable[str]) -> None:
        """Watch exactly these from now on. One that is another one by now, at the same path, is watched anew."""
        if self._fd < 0:
            return
        wanted = {path: self._add(path) for path in directories}
        for number in set(self._watched.values()) - set(wanted.values()) - {-1}:
            _libc.inotify_rm_watch(self._fd, number)
        self._watched = wanted

    def _add(self, path: str) -> int:
        number = int(_libc.inotify_add_watch(self._fd, os.fsencode(path), _MOVED_TO | _ONLY_DIRECTORIES))
        if number < 0 and ctypes.get_errno() not in (errno.ENOENT, errno.ENOTDIR):
            self._complain(f"watching {path}", ctypes.get_errno())
        return number

    def _complain(self, what: str, number: int) -> None:
        if not self._complained:
            self._complained = True
            hint = "; raise fs.inotify.max_user_watches" if number == errno.ENOSPC else ""
            hint = "; raise fs.inotify.max_user_instances" if number == errno.EMFILE else hint
            log.warning("%s: %s%s; changes of files are found by looking now and then", what, os.strerror(number), hint)

    async def wait(self) -> None:
        if self._fd < 0:
            await trio.sleep_forever()
        while True:
            await trio.lowlevel.wait_readable(self._fd)
            seen = 0
            for mask in self._masks():
                seen |= mask
            if seen & (_MOVED_TO | _OVERFLOW):
                return

    def _masks(self) -> Iterator[int]:
        """Of the events that wait; all of them are taken."""
        with contextlib.suppress(BlockingIOError):
            while events := memoryview(os.read(self._fd, _MAX_EVENTS)):
                while events:
                    _, mask, _, length = _EVENT.unpack_from(events)
                    events = events[_EVENT.size + length :]
                    yield mask

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
