"""Privileges, sealed configuration: what a process that serves clients cannot do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.processes.family import one, workers
from tests.kit.bootstrap import one_origin
from tests.kit.client import get
from tests.kit.origin import Origin
from tests.kit.process import ROOT
from tests.kit.proxy import Proxy, proxyctl

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to drop from")


def interpreter_for_nobody() -> tuple[str, dict[str, str]]:
    """A Python that `nobody` may run, and the environment in which it finds what this one has."""
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    for candidate in (sys.executable, "/usr/bin/python3"):
        probe = [candidate, "-c", "import sys, trio; print(*sys.version_info[:2])"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *libraries])}
        try:
            done = subprocess.run(
                probe, user="nobody", group="nogroup", extra_groups=[], env=environment, cwd="/",
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        except PermissionError:
            continue
        if done.stdout.split() == [str(part) for part in sys.version_info[:2]]:
            return candidate, environment
    pytest.skip("no Python here that the user nobody may run")


@root_only
def test_workers_and_controller_run_as_the_user(tmp_path: Path) -> None:
    python, environment = interpreter_for_nobody()
    config = tmp_path / "envoy.yaml"
    with Origin() as origin:
        arguments = ["--user", "nobody", "--config-yaml", one_origin(origin.port)]
        with Proxy(arguments=arguments, python=python, environment=environment) as proxy:
            assert get(proxy.address()).status == 200
            for process in (*workers(proxy), one(proxy, "controller")):
                assert process.uids().real == process.uids().effective == process.uids().saved != 0
                assert process.gids().effective != 0
                status = Path(f"/proc/{process.pid}/status").read_text()
                assert "CapEff:\t0000000000000000" in status
                assert "NoNewPrivs:\t1" in status
            assert one(proxy, "template").uids().effective == 0
    config.write_text(one_origin(1))
    config.chmod(0o600)
    run = [python, "-m", "master.cli.main", "run", "-c", str(config), "--user", "nobody"]
    done = subprocess.run(
        [*run, "--runtime-dir", str(tmp_path / "run")],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 3, "a file that the user may not read is refused"
    assert "ermission denied" in done.stderr


@root_only
def test_an_installation_that_the_user_may_not_read_is_told(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (private / "python").symlink_to(sys.executable)
    (private / "pyvenv.cfg").symlink_to(Path(sys.prefix) / "pyvenv.cfg")
    config = tmp_path / "envoy.yaml"
    config.write_text(one_origin(1))
    run = [str(private / "python"), "-m", "master.cli.main", "run", "-c", str(config), "--user", "nobody"]
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    done = subprocess.run(
        [*run, "--runtime-dir", str(tmp_path / "run")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *libraries])},
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 5
    assert "this user may not run" in done.stderr


def test_an_unknown_user_is_told(tmp_path: Path) -> None:
    done = proxyctl(
        "run", "--user", "nobody-of-that-name", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1",
        runtime=tmp_path / "run",
    )  # fmt: skip
    assert done.returncode == (5 if os.geteuid() == 0 else 2)
    assert "name not found" in done.stderr if os.geteuid() == 0 else "need root" in done.stderr


def test_the_committed_configuration_cannot_be_changed() -> None:
    with Origin() as origin, Proxy(one_origin(origin.port)) as proxy:
        fds = Path(f"/proc/{proxy.pid}/fd").iterdir()
        in_effect, in_the_history = [fd for fd in fds if "trireme-config" in str(fd.readlink())]
        for sealed in (in_effect, in_the_history):
            fd = os.open(sealed, os.O_RDWR)
            try:
                with pytest.raises(PermissionError):
                    os.pwrite(fd, b"x", 0)
                with pytest.raises(PermissionError):
                    os.ftruncate(fd, 0)
            finally:
                os.close(fd)
