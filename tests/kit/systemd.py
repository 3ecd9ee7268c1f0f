"""A real systemd for tests: process 1 of namespaces of its own, over a throw-away copy of this machine's files.

It needs root, namespaces, overlayfs and a cgroup2; where one of them is missing, `Bed.start` skips with the reason.
`systemd_bed.sh` builds the namespaces; this file runs it, and runs things within.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import psutil
import pytest

from tests.kit.process import ROOT, wait_for

SCRIPT = Path(__file__).with_name("systemd_bed.sh")
TOOLS = ("unshare", "nsenter", "setpriv", "mount", "pivot_root", "systemctl")
OUR_HOME = "/opt/trireme"  # where the bed's users find this checkout and its packages
PROXYCTL = f"{OUR_HOME}/bin/proxyctl"

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1


class Bed:
    """A running systemd: `with Bed() as bed: bed.systemctl("start", "x.service")`. Leaving the block removes it."""

    def __init__(self) -> None:
        if reason := _why_not():
            pytest.skip(f"no systemd can be started here: {reason}")
        self._temporary = tempfile.TemporaryDirectory(prefix="trireme-bed-")
        self._directory = Path(self._temporary.name)
        self._cgroup = self._directory.name
        places = [f"{ROOT}:{OUR_HOME}/source", f"{sysconfig.get_path('purelib')}:{OUR_HOME}/packages"]
        self._log = (self._directory / "log").open("w+b")
        # The whole bed ends with this process, however that ends.
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "bash"]
        self._process = subprocess.Popen(
            [*command, str(SCRIPT), str(self._directory), self._cgroup, *places],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
        )  # fmt: skip
        try:
            self.pid: int = wait_for(self._init, deadline=20, what="systemd is process 1")
            self.root = Path(f"/proc/{self.pid}/root")
            self._threads = ThreadPoolExecutor(1)  # enters the bed's network
            self._threads.submit(self._enter_network).result()
            wait_for(self._running, deadline=20, what="systemd has booted")
            self.write(PROXYCTL, _PROXYCTL.format(python=_python(), home=OUR_HOME), mode=0o755)
        except BaseException:
            self.close()
            raise

    def _init(self) -> int | None:
        """Process 1 of the bed, seen from here, once it is systemd."""
        if self._process.poll() is not None:
            self._log.seek(0)
            pytest.skip(f"no systemd can be started here: {self._log.read().decode(errors='replace').strip()}")
        for child in psutil.Process(self._process.pid).children():
            if child.name() == "systemd":
                return child.pid
        return None

    def _running(self) -> bool:
        return self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")

    # --- within -----------------------------------------------------------------------------------------------------

    def run(self, *command: str, deadline: float = 60) -> subprocess.CompletedProcess[str]:
        """A command within, finished; never raises for its exit code."""
        enter = ["nsenter", "--target", str(self.pid), "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup"]
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]
        return subprocess.run([*enter, *clean, *command], capture_output=True, text=True, timeout=deadline, check=False)

    def systemctl(self, *arguments: str) -> str:
        """What `systemctl` prints; `AssertionError` with the journal if it fails."""
        done = self.run("systemctl", *arguments)
        assert done.returncode == 0, f"systemctl {' '.join(arguments)}: {done.stderr}{self.journal()}"
        return done.stdout

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.systemctl("show", unit, f"--property={name}", "--value").strip()

    def journal(self, unit: str | None = None) -> str:
        return self.run("journalctl", "--no-pager", "--output=cat", *([f"--unit={unit}"] if unit else [])).stdout[
            -8000:
        ]

    def write(self, path: str, text: str, *, mode: int = 0o644) -> None:
        """A file within."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    @contextmanager
    def drop_in(self, unit: str, text: str) -> Iterator[None]:
        """Further settings of a unit within the block; they count from its next start on."""
        path = f"/run/systemd/system/{unit}.d/test.conf"
        self.write(path, text)
        self.systemctl("daemon-reload")
        try:
            yield
        finally:
            (self.root / path.lstrip("/")).unlink()
            self.systemctl("daemon-reload")

    def members(self, unit: str) -> list[int]:
        """Every process of a unit, by its pid here."""
        name = f"/{unit}"
        return [pid for pid in psutil.pids() if name in _cgroup_of(pid) and self._cgroup in _cgroup_of(pid)]

    def main_pid(self, unit: str) -> int:
        """The main process of a unit by its pid here, 0 if there is none."""
        inner = self.show(unit, "MainPID")
        return next((pid for pid in self.members(unit) if _inner_pid(pid) == inner), 0)

    # --- its network ------------------------------------------------------------------------------------------------

    def _enter_network(self) -> None:
        """Move the calling thread there, and set the loopback device up."""
        with Path(f"/proc/{self.pid}/ns/net").open() as namespace:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        with socket.socket() as sock:
            fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))

    @property
    def within(self) -> list[str]:
        """The command that runs another in the bed's network, and nothing else of it."""
        return ["nsenter", "--target", str(self.pid), "--net"]

    def socket(self) -> socket.socket:
        """A TCP socket in the bed's network; it stays there, whoever uses it."""
        return self._threads.submit(socket.socket).result()

    # --- its end ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Kills process 1, and so everything within, and removes the cgroup."""
        self._process.kill()
        self._process.wait()
        if hasattr(self, "_threads"):
            self._threads.shutdown()
        remove = (
            'mkdir -p "$0/cgroup"; mount -t cgroup2 cgroup2 "$0/cgroup" && cd "$0/cgroup/$1" && echo 1 >cgroup.kill; '
            'find . -depth -type d -not -name . -exec rmdir {} +; cd .. && rmdir "$1"'
        )
        command = ["unshare", "--mount", "--propagation", "private", "bash", "-c", remove]
        wait_for(
            lambda: subprocess.run(
                [*command, str(self._directory), self._cgroup], capture_output=True, check=False
            ).returncode == 0,
            deadline=10, what=f"the cgroup {self._cgroup} is empty",
        )  # fmt: skip
        self._log.close()
        self._temporary.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _why_not() -> str:
    """Why no bed can be made here; empty if one can be tried."""
    if os.geteuid() != 0:
        return "only root can make the namespaces"
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"not installed: {', '.join(missing)}"
    if not Path("/lib/systemd/systemd").exists():
        return "not installed: systemd"
    return "" if _python() else "there is no Python of this version that every user may run"


_PROXYCTL = """#!{python} -P
import os, sys
paths = ["{home}/source", "{home}/packages"]
os.environ["PYTHONPATH"] = ":".join(paths)
sys.path[:0] = paths
from master.cli.main import main
main(prog_name="proxyctl")
"""


def _python() -> Path | None:
    """A Python of our version that every user may run, None if there is none. It needs no packages of its own."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for path in (Path(sys.base_prefix, "bin", version), Path("/usr/bin", version)):
        python = path.resolve()
        if python.exists() and all(directory.stat().st_mode & 0o005 == 0o005 for directory in python.parents):
            return python
    return None


def _cgroup_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cgroup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _inner_pid(pid: int) -> str:
    """The process id in the innermost namespace."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return next(line.split()[-1] for line in status.splitlines() if line.startswith("NSpid:"))
