"""What a forked process sheds: seen from inside a real fork."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from master.template import hygiene


def in_fork(action: Callable[[int], Any]) -> Any:
    """The JSON result of `action`, run in a forked process; it is given the descriptor that carries the result."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, json.dumps(action(write)).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(text)


def test_only_what_is_inherited_stays_open() -> None:
    kept, closed = os.open("/dev/null", os.O_RDONLY), os.open("/dev/null", os.O_RDONLY)

    def action(result: int) -> list[int]:
        hygiene.after_fork({"kept": kept, "result": result}, set(), user="", group="")
        return [int(fd.name) for fd in Path("/proc/self/fd").iterdir() if fd.exists()]

    try:
        still_open = in_fork(action)
        assert kept in still_open
        assert closed not in still_open
        assert {0, 1, 2} <= set(still_open)
    finally:
        os.close(kept)
        os.close(closed)


def test_the_parents_wakeup_descriptor_is_forgotten() -> None:
    def action(result: int) -> int:
        read, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write)
        hygiene.after_fork({"result": result, "read": read, "write": write}, set(), user="", group="")
        return signal.set_wakeup_fd(-1)

    assert in_fork(action) == -1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to drop from")
def test_privileges_are_dropped_for_ever() -> None:
    def action(_: int) -> list[Any]:
        hygiene.drop_privileges("nobody", "")
        try:
            os.setuid(0)
            back = True
        except PermissionError:
            back = False
        return [*os.getresuid(), *os.getresgid(), 0 in os.getgroups(), back]

    uid, euid, suid, gid, egid, sgid, root_group, back = in_fork(action)
    assert uid == euid == suid != 0
    assert gid == egid == sgid != 0
    assert not root_group
    assert not back


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to drop from")
def test_numbers_are_users_too() -> None:
    def action(_: int) -> list[int]:
        hygiene.drop_privileges("54321", "54322")
        return [os.getuid(), os.getgid(), *os.getgroups()]

    assert in_fork(action) == [54321, 54322, 54322]
