"""What a forked process sheds before it runs: descriptors, signal handlers, privileges, random state (DESIGN §1)."""

from __future__ import annotations

import ctypes
import faulthandler
import grp
import os
import pwd
import random
import signal
from collections.abc import Iterable

STANDARD = (0, 1, 2)
_PR_SET_NO_NEW_PRIVS = 38


def after_fork(inherited: dict[str, int], mask: set[int], *, user: str, group: str) -> None:
    """Close every descriptor that is not in `inherited`, reset signals, drop to `user`; then unblock signals.

    Signals stay ignored that a terminal or systemd sends to the whole group: the supervisor tells its children what
    to do. SIGABRT prints every thread's stack and ends the process (the hang watch uses it).
    """
    signal.set_wakeup_fd(-1)  # else a signal to this process would wake the parent
    close_all_but((*STANDARD, *inherited.values()))
    drop_privileges(user, group)
    random.seed()
    faulthandler.enable()
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def close_all_but(keep: Iterable[int]) -> None:
    """Close every descriptor except `keep`."""
    start = 0
    for fd in sorted(set(keep)):
        if start < fd:  # CPython 3.11's closerange(0, 0) is close_range(0, UINT_MAX)
            os.closerange(start, fd)
        start = fd + 1
    os.closerange(start, os.sysconf("SC_OPEN_MAX"))


def drop_privileges(user: str, group: str) -> None:
    """Become `user` and `group` (names or numbers; "" leaves them) for ever: all of real, effective and saved ids."""
    if not user and not group:
        return
    uid, gid, name = _resolve(user, group)
    if gid is not None:
        if name is not None:
            os.initgroups(name, gid)
        else:
            os.setgroups([gid])
        os.setresgid(gid, gid, gid)
    if uid is not None:
        os.setresuid(uid, uid, uid)
        if os.getresuid() != (uid, uid, uid):
            raise PermissionError(f"could not become user {user}")
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _resolve(user: str, group: str) -> tuple[int | None, int | None, str | None]:
    uid: int | None = None
    gid: int | None = None
    name: str | None = None
    if user:
        try:
            entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
            uid, gid, name = entry.pw_uid, entry.pw_gid, entry.pw_name
        except KeyError:
            if not user.isdigit():
                raise
            uid = int(user)
    if group:
        gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    return uid, gid, name
