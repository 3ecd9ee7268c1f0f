"""Our proxy as tests see it: `proxyctl run` in a runtime directory of its own, watched from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import psutil

from tests.kit import field_audit
from tests.kit.client import ConnectionEnded, Response, fetch
from tests.kit.envoy import with_free_ports
from tests.kit.process import ROOT, START_DEADLINE, stop, wait_for

IDLE_TIME = 0.5  # s; tests that leave connections open need not wait for them, unless they ask for more
PROXYCTL = (sys.executable, "-m", "master.cli.main")
FLUSH_SOON = {"PYTHONPATH": str(Path(__file__).parent / "flush_soon")}
"""Environment in which logs are as prompt as Envoy's with `--file-flush-interval-msec 20`: for tests of lines."""


def proxyctl(*arguments: str, runtime: Path | None = None, deadline: float = 60) -> subprocess.CompletedProcess[str]:
    """One `proxyctl` command, finished; never raises for its exit code."""
    environment = dict(os.environ) | ({"TRIREME_RUNTIME_DIR": str(runtime)} if runtime else {})
    command = [*PROXYCTL, *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=deadline, check=False
    )


def find_members(runtime: Path, session: int) -> list[psutil.Process]:
    """Every process of the proxy that runs in `runtime`, orphans included.

    Found by its session and by its environment: a child may leave the one, and a process title may overwrite the other.
    """
    wanted = f"TRIREME_RUNTIME_DIR={runtime}".encode()
    found = []
    for process in psutil.process_iter():
        try:
            environment = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
            ours = wanted in environment or os.getsid(process.pid) == session
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, ProcessLookupError, PermissionError, FileNotFoundError):
            continue  # it ended meanwhile, or is somebody else's
    return found


class Proxy:
    """A running proxy: `with Proxy(yaml) as proxy: proxy.address("listener name")`.

    `bootstrap` is Envoy's YAML; its listeners and admin are moved to free ports, as `kit.envoy` does. Without one,
    `arguments` say what to run. `runtime` is the runtime directory, by default one of its own; `python` runs it.
    Leaving the block stops it and fails if anything is left behind.
    """

    def __init__(
        self,
        bootstrap: str | None = None,
        *,
        concurrency: int = 1,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        deadline: float = START_DEADLINE,
        runtime: Path | None = None,
        python: str = sys.executable,
    ) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="trireme-")
        self.directory = directory = Path(self._directory.name)
        self.runtime = runtime or directory / "run"
        self.log, self.config = directory / "log", directory / "envoy.yaml"
        self.admin_socket = self.runtime / "admin.sock"
        command = [python, *PROXYCTL[1:], "run", "--concurrency", str(concurrency)]
        command += ["--shutdown-idle-time-s", str(IDLE_TIME), *arguments]
        if bootstrap is not None:
            self.config.write_text(with_free_ports(field_audit.cut(bootstrap), directory))
            command += ["-c", str(self.config)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "TRIREME_RUNTIME_DIR": str(self.runtime), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # so that a Ctrl-C of the test run reaches us, not it
            )
        self.pid = self.process.pid
        try:
            wait_for(self._live, deadline=deadline, what="the proxy is LIVE")
        except BaseException as error:
            error.add_note(self.log.read_text(errors="replace")[-3000:])
            self._abandon()
            raise

    def _live(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the proxy ended with {self.process.returncode} at its start")
        return self.ready() == "LIVE"

    # --- what it says -----------------------------------------------------------------------------------------------

    def admin(self, target: str, method: str = "GET") -> Response:
        """An admin request over the Unix socket."""
        return fetch(self.admin_socket, f"{method} {target} HTTP/1.1\r\nHost: admin\r\n\r\n".encode())

    def ready(self) -> str:
        """The state that `/ready` names; empty while the admin socket does not answer."""
        try:
            return self.admin("/ready").body.decode().strip()
        except (OSError, EOFError, ConnectionEnded):
            return ""

    def listeners(self) -> dict[str, list[tuple[str, int]]]:
        """Where each listener is bound (TCP addresses only)."""
        statuses = json.loads(self.admin("/listeners?format=json").body).get("listener_statuses", [])
        found: dict[str, list[tuple[str, int]]] = {}
        for status in statuses:
            for local in [status["local_address"], *status.get("additional_local_addresses", [])]:
                if address := local.get("socket_address"):
                    found.setdefault(status["name"], []).append((address["address"], address["port_value"]))
        return found

    def address(self, listener: str | None = None) -> tuple[str, int]:
        """The first TCP address where `listener` (or the only one) is bound."""
        listeners = self.listeners()
        if listener is None:
            (addresses,) = listeners.values()
            return addresses[0]
        return listeners[listener][0]

    def stats(self) -> dict[str, int]:
        """All counters and gauges."""
        stats = json.loads(self.admin("/stats?format=json").body)["stats"]
        return {stat["name"]: stat["value"] for stat in stats if "name" in stat}

    def output(self) -> str:
        """What it wrote to standard output and standard error so far."""
        return self.log.read_text(errors="replace")

    # --- its processes ----------------------------------------------------------------------------------------------

    def processes(self) -> list[dict[str, Any]]:
        """`/processes`, which `proxyctl ps` shows: one entry per process. Cheap enough to be asked again and again."""
        answer = self.admin("/processes")
        assert answer.status == 200, answer.body
        found = json.loads(answer.body)["processes"]
        assert isinstance(found, list)
        return found

    def members(self) -> list[psutil.Process]:
        """Every process of this proxy as the kernel knows it, orphans included."""
        return find_members(self.runtime, self.pid)

    def kill(self, number: int) -> None:
        """Sends a signal to the supervisor."""
        self.process.send_signal(number)

    # --- its end ----------------------------------------------------------------------------------------------------

    def stop(self, *, sig: int = signal.SIGTERM, deadline: float = 40.0, code: int = 0) -> None:
        """Ends it by `sig`; fails unless it exits with `code` and leaves no process and no file behind."""
        status = stop(self.process, sig=sig, deadline=deadline)
        assert status == code, f"exit code {status}, expected {code}: {self.output()[-3000:]}"
        self.assert_nothing_left()

    def assert_nothing_left(self, *, deadline: float = 30.0) -> None:
        """No process of it lives on, and its runtime directory is gone or holds nothing but the lock file."""
        wait_for(lambda: not self.members(), deadline=deadline, what=f"no process is left, but {self.members()} are")
        # The lock file stays: removing it would race with an instance that is starting.
        found = {path.name for path in self.runtime.iterdir()} if self.runtime.exists() else set()
        left = found - {"lock"}
        assert not left, f"left in the runtime directory: {left}"

    def _abandon(self) -> None:
        """Removes everything by force."""
        for member in self.members():
            member.kill()
        self.process.kill()
        self.process.wait()
        wait_for(lambda: not self.members(), deadline=30, what="killed processes are gone")
        self._directory.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        try:
            if failed is None and self.process.poll() is None:
                self.stop()
        finally:
            self._abandon()
