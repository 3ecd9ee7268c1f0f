"""What a forked process sheds: seen from inside a real fork."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from master.template import hygiene


def in_fork(action: Callable[[], Any]) -> Any:
    """The JSON result of `action` run in a forked process."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, json.dumps(action()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(text)


def test_only_what_is_inherited_stays_open() -> None:
    kept, closed = os.open("/dev/null", os.O_RDONLY), os.open("/dev/null", os.O_RDONLY)

    def action() -> list[bool]:
        result = os.dup(max(int(fd) for fd in os.listdir("/proc/self/fd") if int(fd) > closed))
        hygiene.after_fork({"kept": kept, "result": result}, set(), user="", group="")
        open_now = {int(fd) for fd in os.listdir("/proc/self/fd")}
        reopened = [kept in open_now, closed in open_now]
        os.write(result, json.dumps(reopened).encode())
        os._exit(0)

    try:
        assert in_fork(action) == [True, False]
    finally:
        os.close(kept)
        os.close(closed)


def test_the_parents_wakeup_descriptor_is_forgotten() -> None:
    def action() -> int:
        signal.set_wakeup_fd(-1)
        read, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write)
        result = os.dup(1)
        hygiene.after_fork({"result": result, "all": read, "w": write, **_every_fd()}, set(), user="", group="")
        return signal.set_wakeup_fd(-1)

    assert in_fork(action) == -1


def _every_fd() -> dict[str, int]:
    return {name: int(name) for name in os.listdir("/proc/self/fd")}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to drop from")
def test_privileges_are_dropped_for_ever() -> None:
    def action() -> list[Any]:
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
    def action() -> list[int]:
        hygiene.drop_privileges("54321", "54322")
        return [os.getuid(), os.getgid(), *os.getgroups()]

    assert in_fork(action) == [54321, 54322, 54322]
