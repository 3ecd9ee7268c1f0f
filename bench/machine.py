"""Which cores the two sides of a measurement run on, and what else the machine was doing."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cores:
    """`proxy` is for what is measured; `load` for the load generator and the origin."""

    proxy: frozenset[int]
    load: frozenset[int]
    all: frozenset[int]

    @property
    def apart(self) -> bool:
        return self.proxy != self.load

    def proxies(self, count: int) -> frozenset[int]:
        """Cores for a proxy with `count` workers: all but the load's, when there are enough of them."""
        if count == 1:
            return self.proxy
        others = self.all - self.load
        return others if len(others) >= count else self.all

    def __str__(self) -> str:
        if not self.apart:
            return "one core for everything: the load takes time from the proxy, and throughput means little"
        return f"proxy on core {_list(self.proxy)}, load generator and origin on core {_list(self.load)}"


def _list(cores: frozenset[int]) -> str:
    return ",".join(str(core) for core in sorted(cores))


def choose_cores() -> Cores:
    """The last core for the proxy, the first for the rest; the same one where there is but one."""
    cores = sorted(os.sched_getaffinity(0))
    return Cores(proxy=frozenset(cores[-1:]), load=frozenset(cores[:1]), all=frozenset(cores))


@contextlib.contextmanager
def on(cores: frozenset[int]) -> Iterator[None]:
    """Processes started in this block run on `cores`, with all that they start in turn."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def raise_file_limit(wanted: int = 65_536) -> None:
    """Lifts the limits of descriptors for us and our children: to `wanted` where we may, else to the hard limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, hard), max(wanted, hard)))
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def load_average() -> str:
    """The load of the last minute beside the number of cores."""
    return f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def describe() -> str:
    """What a reader of the figures must know of the machine."""
    model = "unknown processor"
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open() as lines:
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return f"{model}, Linux {platform.release()}, Python {platform.python_version()}"
