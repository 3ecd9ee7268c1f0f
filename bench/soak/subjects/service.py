"""This proxy as the service of a real systemd, in namespaces of its own (`tests.kit.systemd`)."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import pytest
import yaml

from bench.figures import Unfit
from bench.soak import configuration
from bench.soak.subjects.trireme import DEADLINE, logged
from tests.kit.load import Outcome
from tests.kit.origin import Origin
from tests.kit.process import wait_for
from tests.kit.systemd import PROXYCTL, Bed

UNIT = "trireme.service"
CONFIG = "/etc/trireme/envoy.yaml"
LOG = "/var/log/trireme/access.log"
PORTS = {"web": 80, "tcp": 81}
WORKERS = 2


class Service:
    """Two workers on ports 80 and 81 of a network of their own."""

    patience = 60.0
    """A connection may wait for a whole stop and start."""

    def __init__(self) -> None:
        try:
            self._bed = Bed()
        except pytest.skip.Exception as reason:
            raise Unfit(str(reason)) from None
        with contextlib.ExitStack() as stack:
            stack.callback(self._bed.close)
            self.within: Sequence[str] = self._bed.within
            origin = stack.enter_context(Origin(within=self.within))
            self.places = {name: ("127.0.0.1", port) for name, port in PORTS.items()}
            self.listening = set(PORTS.values())
            self._origin, self._version = origin, 0
            self._write()
            self._bed.run("mkdir", "-p", LOG.rpartition("/")[0])  # the unit would make it, too late for the check
            done = self._bed.run(
                PROXYCTL, "systemd", "install", "-c", CONFIG, "--", "--concurrency", str(WORKERS), deadline=DEADLINE
            )
            assert done.returncode == 0, done.stderr
            self.systemctl("start")
            self._stack = stack.pop_all()

    def systemctl(self, verb: str) -> None:
        """`AssertionError` with the journal if it fails."""
        self._bed.systemctl(verb, UNIT)

    def can(self, command: str) -> bool:
        """Whether there is such a command of `proxyctl`."""
        return self._bed.run(PROXYCTL, command, "--help").returncode == 0

    def supervisor(self) -> int:
        return self._bed.main_pid(UNIT)

    def others(self, supervisor: int) -> list[int]:
        """Every process of the unit but this one."""
        return [pid for pid in self._bed.members(UNIT) if pid != supervisor]

    def wait_until_replaced(self, supervisor: int) -> None:
        wait_for(
            lambda: self.supervisor() not in (0, supervisor), deadline=DEADLINE, what="systemd has started another one"
        )

    def wait_until_whole(self) -> None:
        """Until it says that it serves with all of its workers."""

        def serves() -> bool:
            whole = self._bed.show(UNIT, "StatusText").startswith(f"serving with {WORKERS} workers")
            return whole and self._bed.show(UNIT, "ActiveState") == "active"

        wait_for(serves, deadline=DEADLINE, what="the service serves")

    def change_configuration(self) -> int:
        """Writes another version of its file; returns what `version` finds once it is in force."""
        self._version += 1
        self._write()
        return self._version

    def _write(self) -> None:
        tree = configuration.tree(self._origin.port, PORTS, LOG, version=self._version)
        self._bed.write(CONFIG, yaml.safe_dump(tree, sort_keys=False))

    def version(self) -> int:
        """By which version of the configuration a new connection is served."""
        with self._bed.socket() as sock:
            sock.settimeout(DEADLINE)
            sock.connect(self.places["web"])
            sock.sendall(f"GET {configuration.VERSION} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            found = b"".join(iter(lambda: sock.recv(65536), b"")).rpartition(b"\r\n\r\n")[2].decode()
        return int(found)

    def explain(self, outcome: Outcome) -> list[str]:
        return logged(self._bed.root / LOG.lstrip("/"), outcome.port)

    def alive(self) -> bool:
        return self._bed.show(UNIT, "ActiveState") not in ("failed", "inactive")

    def close(self) -> None:
        self._stack.close()
