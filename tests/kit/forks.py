"""Children that run one function and die, by themselves or killed at an exact instruction; and exact interleavings."""

from __future__ import annotations

import dis
import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

# What changes shared memory: stores through a view, and these calls into the kernel.
_STORES = {code for name, code in dis.opmap.items() if name in ("STORE_SUBSCR", "STORE_SLICE")}
_CALLS = {os.ftruncate, os.pwrite}


def fork(function: Callable[[], object]) -> int:
    """Runs `function` in a child; its pid. The child exits 0, or 1 with a traceback on stderr."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        function()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def wait(pid: int) -> int:
    """How a child ended: its exit status, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run(function: Callable[[], object]) -> None:
    """Runs `function` in a child and expects it to succeed."""
    assert wait(fork(function)) == 0


def run_until(event: int, function: Callable[[], object], *, within: str) -> bool:
    """Runs `function` in a child that kills itself before the `event`th store or writing call in the code of `within`.

    `within` is a folder name such as `/shm/`. True if the child was killed; False if it ended first, so that a loop
    over `event` has been everywhere.
    """
    ended = wait(fork(lambda: _killed_at(event, function, within)))
    assert ended in (0, -signal.SIGKILL), ended
    return ended != 0


def _killed_at(event: int, function: Callable[[], object], within: str) -> None:
    left = event

    def count() -> None:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    interleave(function, count, within=within)


def interleave(
    function: Callable[[], object], other: Callable[[], object], *, within: str, everywhere: bool = False
) -> None:
    """Runs `function`, and `other` before each of its stores and writing calls in the code of `within`.

    With `everywhere` before each single instruction instead. It is a schedule that no luck is needed for: what
    another process could see or do at that moment.
    """

    def trace(frame: FrameType, kind: str, _: Any) -> Any:
        if within not in frame.f_code.co_filename or "/tests/" in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if kind == "opcode" and (everywhere or frame.f_code.co_code[frame.f_lasti] in _STORES):
            other()
        return trace

    def profile(_: FrameType, kind: str, called: Any) -> None:
        if kind == "c_call" and called in _CALLS:
            other()

    before = sys.gettrace(), sys.getprofile()
    sys.setprofile(profile)
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before[0])
        sys.setprofile(before[1])
