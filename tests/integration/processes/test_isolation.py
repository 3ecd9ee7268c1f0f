"""Privileges, sealed configuration: what a process that serves clients cannot do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.integration.processes.family import one, workers
from tests.kit.bootstraps import one_origin
from tests.kit.client import get
from tests.kit.origin import Origin
from tests.kit.proxy import Proxy, proxyctl

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to drop from")


@root_only
def test_workers_and_controller_run_as_the_user() -> None:
    with Origin() as origin, Proxy(one_origin(origin.address[1]), arguments=["--user", "nobody"]) as proxy:
        assert get(proxy.address()).status == 200
        for process in (*workers(proxy), one(proxy, "controller")):
            assert process.uids().real == process.uids().effective == process.uids().saved != 0
            assert process.gids().effective != 0
            status = Path(f"/proc/{process.pid}/status").read_text()
            assert "CapEff:\t0000000000000000" in status
            assert "NoNewPrivs:\t1" in status
        assert one(proxy, "template").uids().effective == 0


@root_only
def test_a_file_that_the_user_cannot_read_is_a_clear_error(tmp_path: Path) -> None:
    config = tmp_path / "envoy.yaml"
    config.write_text(one_origin(1))
    config.chmod(0o600)
    done = proxyctl("run", "-c", str(config), "--user", "nobody", "--runtime-dir", str(tmp_path / "run"))
    assert done.returncode == 3
    assert "ermission denied" in done.stderr


def test_the_committed_configuration_cannot_be_changed() -> None:
    with Origin() as origin, Proxy(one_origin(origin.address[1])) as proxy:
        fds = Path(f"/proc/{proxy.pid}/fd").iterdir()
        (sealed,) = [fd for fd in fds if "trireme-config" in str(fd.readlink())]
        fd = os.open(sealed, os.O_RDWR)
        try:
            with pytest.raises(PermissionError):
                os.pwrite(fd, b"x", 0)
            with pytest.raises(PermissionError):
                os.ftruncate(fd, 0)
        finally:
            os.close(fd)
