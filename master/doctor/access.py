"""May `--user` read what it needs: Python, our code, the configuration? Asked as that user, with every directory."""

from __future__ import annotations

import grp
import os
import pwd
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from master.doctor.finding import Finding
from master.template.hygiene import drop_privileges

CODE = Path(__file__).resolve().parents[2]
_RIGHTS = {"run": os.X_OK, "read": os.R_OK}


def check(user: str, group: str, config_path: str | None) -> Iterator[Finding]:
    """One finding for each thing that the processes need. `user` and `group` as `proxyctl run` takes them."""
    if (user or group) and os.geteuid() != 0:
        yield Finding("files", "warning", f"whether {user or group} may read them, only root can ask", "run as root")
        return
    if unknown := _unknown(user, group):
        yield Finding("files", "fault", f"there is no {unknown} on this machine", "`useradd --system`, or another name")
        return
    wanted = [("run", os.path.realpath(sys.executable)), ("read", str(CODE / "master" / "__init__.py"))]
    if config_path is not None:
        wanted.append(("read", str(Path(config_path).absolute())))
    who = f"user {user}" if user else "this user"
    for (verb, path), allowed in zip(wanted, _asked_as(user, group, wanted), strict=True):
        if allowed:
            yield Finding("files", "ok", f"{who} may {verb} {path}")
        else:
            remedy = (
                "give it and every directory above it the rights, or put it where that user may go (below /opt, /etc)"
            )
            yield Finding("files", "fault", f"{who} may not {verb} {path}", remedy)


def _unknown(user: str, group: str) -> str:
    """`user x` or `group x` if the system does not know it; numbers need no name."""
    try:
        kind, name = "user", user
        if user and not user.isdigit():
            pwd.getpwnam(user)
        kind, name = "group", group
        if group and not group.isdigit():
            grp.getgrnam(group)
    except KeyError:
        return f"{kind} {name}"
    return ""


def _asked_as(user: str, group: str, wanted: Sequence[tuple[str, str]]) -> list[bool]:
    """What the kernel grants, asked in a child that has become the user; nothing if there is no such user."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            drop_privileges(user, group)
            os.write(writer, bytes(os.access(path, _RIGHTS[verb]) for verb, path in wanted))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        answers = file.read()
    os.waitpid(pid, 0)
    return [bool(answer) for answer in answers.ljust(len(wanted), b"\0")]
