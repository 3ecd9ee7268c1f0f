"""Can `--user` run our code at all? Asked before anything starts: a virtual environment in a private home cannot."""

from __future__ import annotations

import grp
import os
import pwd
import sys
from pathlib import Path

_CODE = Path(__file__).resolve()


class IdentityError(Exception):
    """`--user` or `--group` cannot be used; the text says why and what to do."""


def check(user: str, group: str) -> None:
    """Raise `IdentityError` for an unknown user or group, or one that may not read Python or our code."""
    try:
        if user and not user.isdigit():
            pwd.getpwnam(user)
        if group and not group.isdigit():
            grp.getgrnam(group)
    except KeyError as error:
        raise IdentityError(f"--user/--group: {error.args[0]}") from error
    if user and not _may_read(user):
        raise IdentityError(
            f"--user {user}: this user may not run {os.path.realpath(sys.executable)} or read {_CODE.parents[2]}; "
            "install the proxy where that user may read it, for example in a virtual environment below /opt"
        )


def _may_read(user: str) -> bool:
    """Asked as the user: permissions of every directory on the way count."""
    uid, gid = (int(user), int(user)) if user.isdigit() else pwd.getpwnam(user)[2:4]
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            os._exit(0 if os.access(sys.executable, os.X_OK) and os.access(_CODE, os.R_OK) else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
