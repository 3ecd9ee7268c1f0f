"""This proxy, with two workers and each listener twice, so that clients of one can go to the other."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from bench.soak import configuration
from tests.integration.processes import family
from tests.integration.restart import restarting
from tests.kit.client import get
from tests.kit.load import Outcome
from tests.kit.origin import Origin
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy, proxyctl

WORKERS = 2
PLACES = ("web", "tcp", "web-2", "tcp-2")
DRAIN_TIME = 8
"""Seconds that a drain waits for clients. One whose response had begun before the drain is told with the next response
only, so that it needs twice as long as the longest request of the load, and a busy machine more.
"""
DEADLINE = 60.0  # s for what an operation waits for
_COMMAND_DEADLINE = 120.0


class Trireme:
    """Everything it is asked for goes through `proxyctl`, the admin interface or a signal."""

    within: Sequence[str] = ()
    patience = 30.0

    def __init__(self) -> None:
        self._origin = Origin()
        try:
            ports = dict.fromkeys(PLACES, 0)
            tree = configuration.tree(self._origin.port, ports, "{directory}/access.log")
            arguments = ["--drain-time-s", str(DRAIN_TIME), "--shutdown-idle-time-s", "5"]
            self.proxy = Proxy(yaml.safe_dump(tree), concurrency=WORKERS, arguments=arguments)
        except BaseException:
            self._origin.close()
            raise
        self.places = {name: addresses[0] for name, addresses in self.proxy.listeners().items()}
        self._log = str(self.proxy.directory / "access.log")
        self._version = 0

    @property
    def listening(self) -> set[int]:
        """The ports at which clients arrive."""
        return {port for _, port in self.places.values()}

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One `proxyctl` command, finished."""
        return proxyctl(*arguments, runtime=self.proxy.runtime, deadline=_COMMAND_DEADLINE)

    def do(self, *arguments: str) -> None:
        """One `proxyctl` command; `AssertionError` with what it wrote if it fails."""
        done = self.command(*arguments)
        assert done.returncode == 0, f"proxyctl {' '.join(arguments)}: {done.returncode}: {done.stderr[-500:]}"

    def workers(self) -> list[int]:
        """The process ids of all workers, of every generation."""
        return [worker.pid for worker in family.workers(self.proxy)]

    def helper(self, role: str) -> int:
        """The process id of the newest process with this title."""
        return max(family.titled(self.proxy, role), key=lambda process: process.create_time()).pid

    def wait_until_whole(self) -> None:
        """Until every process of the serving generation is there and the admin interface answers."""

        def whole() -> bool:
            try:
                leader = restarting.status(self.proxy)["leader"]
                found = [entry for entry in self.proxy.processes() if entry["generation"] == leader]
            except (OSError, EOFError, AssertionError):
                return False
            states = [entry["state"] for entry in found if entry["role"] == "worker"]
            return states == ["serving"] * WORKERS and self.proxy.ready() == "LIVE"

        wait_for(whole, deadline=DEADLINE, what=f"{WORKERS} workers serve and the admin interface answers")

    def generations(self) -> int:
        """How many are alive."""
        return len({entry["generation"] for entry in self.proxy.processes()})

    def change_configuration(self) -> int:
        """Writes another version of its file; returns what `expect_version` finds once it is in force."""
        self._version += 1
        tree: dict[str, Any] = yaml.safe_load(self.proxy.config.read_text())
        new = configuration.tree(self._origin.port, dict.fromkeys(PLACES, 0), self._log, version=self._version)
        self.proxy.config.write_text(yaml.safe_dump(tree | new, sort_keys=False))
        return self._version

    def expect_version(self, version: int) -> None:
        """Fails unless a new connection is served by this version of the configuration."""
        found = get(self.places["web"], configuration.VERSION).body.decode()
        assert found == str(version), f"a new connection is served by version {found}, expected {version}"

    def explain(self, outcome: Outcome) -> list[str]:
        return logged(Path(self._log), outcome.port)

    def alive(self) -> bool:
        return self.proxy.process.poll() is None

    def close(self) -> None:
        try:
            self.proxy.__exit__(None)
        finally:
            self._origin.close()


def logged(log: Path, port: int) -> list[str]:
    """The lines of an access log about clients' connections from this port, the last few."""
    if not log.exists():
        return []
    with log.open(errors="replace") as lines:
        return [line.strip() for line in lines if line.startswith(f"{port} ")][-3:]
