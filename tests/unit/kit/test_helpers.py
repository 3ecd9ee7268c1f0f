"""The helpers for processes, trio and leaks can fail."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import trio

from tests.kit.leaks import no_leaks
from tests.kit.process import KitProcess, stop, wait_for
from tests.kit.trio import run_trio


def test_run_trio_runs_the_test_with_its_arguments() -> None:
    seen = []

    @run_trio
    async def test(value: int) -> None:
        await trio.lowlevel.checkpoint()
        seen.append(value)

    test(3)
    assert seen == [3]


def test_run_trio_lets_failures_out() -> None:
    @run_trio
    async def test() -> None:
        await trio.lowlevel.checkpoint()
        raise KeyError("x")

    with pytest.raises(KeyError):
        test()


def test_virtual_time_jumps_and_has_a_deadline() -> None:
    @run_trio(virtual_time=True, deadline=100)
    async def test(seconds: float) -> None:
        await trio.sleep(seconds)

    test(99)
    with pytest.raises(trio.TooSlowError):
        test(101)


def test_a_leaked_descriptor_is_found() -> None:
    with pytest.raises(AssertionError, match="file descriptors"), no_leaks(deadline=0.1):
        leaked = os.open("/dev/null", os.O_RDONLY)
    os.close(leaked)


def test_a_leaked_process_is_found() -> None:
    with pytest.raises(AssertionError, match="processes"), no_leaks(deadline=0.1):
        leaked = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    leaked.communicate()


def test_nothing_leaked() -> None:
    with no_leaks(), open(os.devnull):  # noqa: PTH123
        pass


def test_wait_for_names_what_did_not_happen() -> None:
    with pytest.raises(AssertionError, match="the moon"):
        wait_for(lambda: False, deadline=0.05, what="the moon")


def test_stop_kills_what_does_not_stop() -> None:
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(AssertionError, match="did not stop"):
        stop(process, deadline=0.2)
    assert process.returncode == -9
    process.stdout.close()


def test_a_child_that_cannot_start_shows_why() -> None:
    child = KitProcess("tests.kit.no_such_module")
    with pytest.raises(AssertionError, match="No module named"):
        child.read_json()
    child.close()
