"""CPU time and memory from /proc."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from bench import usage
from bench.figures import Unfit


def test_cpu_and_memory_are_sums_over_processes() -> None:
    own = [os.getpid()]
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    user, system = usage.cpu(own)
    assert user + system > 0
    twice = usage.cpu(own * 2)
    assert sum(twice) >= 2 * (user + system)
    assert usage.memory(own) > 1 << 20


def test_a_process_that_ended_voids_the_measurement() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    with pytest.raises(Unfit, match=f"process {process.pid} of the proxy ended"):
        usage.cpu([process.pid])
