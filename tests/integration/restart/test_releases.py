"""From one release to another and back, and to releases that cannot take over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.restart.restarting import environment, other_release, restart, status, wait_until_alone
from tests.kit.bootstrap import one_origin
from tests.kit.load import Load
from tests.kit.origin import Origin
from tests.kit.proxy import Proxy

REQUESTS = "http.ingress.downstream_rq_total"
STATE = "master/supervisor/state.py"
TAKEOVER = "master/supervisor/takeover.py"
RESUME = "master/supervisor/resume.py"


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with Origin() as origin, Proxy(one_origin(origin.port), concurrency=1) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def nobody_notices(proxy: Proxy) -> Iterator[None]:
    """Around each test: no request fails, none is lost from the count, the process stays the same."""
    before = proxy.stats().get(REQUESTS, 0)
    with Load(proxy.address(), connections=2) as load:
        yield
        report = load.finish()
    assert report.failed.total() == 0, report.failed
    wait_until_alone(proxy)
    assert proxy.stats()[REQUESTS] == before + report.ok
    assert proxy.process.poll() is None


def code_of(proxy: Proxy) -> str:
    """Which environment the supervisor's process runs."""
    return Path(f"/proc/{proxy.pid}/cmdline").read_bytes().split(b"\0")[0].decode()


def test_a_newer_release_and_back_again(proxy: Proxy, tmp_path: Path) -> None:
    """The newer one reads one version more, writes keys that the older one does not know."""
    newer = other_release(
        tmp_path,
        (STATE, "READABLE = (1,)", "READABLE = (1, 2)"),
        (TAKEOVER, '"server_state": supervisor.state,', '"server_state": supervisor.state, "novelty": {"a": [1]},'),
        (TAKEOVER, '"role": child.role,', '"role": child.role, "mood": "good",'),
        ("master/supervisor/options.py", "    slow_request: float", "    novelty: int = 7\n    slow_request: float"),
        ("master/version.py", "trireme/{version()}/", "trireme/9.9.9/"),
    )
    done = restart(proxy, "--exec", str(newer))
    assert done.returncode == 0, done.stderr + proxy.output()
    assert code_of(proxy) == str(newer / "bin" / "python")
    assert "9.9.9" in proxy.admin("/server_info").body.decode()
    done = restart(proxy, "--exec", str(environment(tmp_path / "old")))
    assert done.returncode == 0, done.stderr + proxy.output()
    assert "9.9.9" not in proxy.admin("/server_info").body.decode()


def test_a_release_that_reads_no_version_of_ours(proxy: Proxy, tmp_path: Path) -> None:
    generation = status(proxy)["leader"]
    done = restart(proxy, "--exec", str(other_release(tmp_path, (STATE, "READABLE = (1,)", "READABLE = (9,)"))))
    assert done.returncode == 5, done.stderr
    assert "stop and start" in done.stderr
    assert status(proxy)["leader"] == generation


def test_a_supervisor_that_cannot_be_imported(proxy: Proxy, tmp_path: Path) -> None:
    broken = other_release(tmp_path, ("master/supervisor/main.py", "import ctypes", "import ctypes_is_missing"))
    done = restart(proxy, "--exec", str(broken))
    assert done.returncode == 1, done.stderr
    assert "ctypes_is_missing" in done.stderr


def test_a_supervisor_that_fails_after_the_exec_gives_the_process_back(proxy: Proxy, tmp_path: Path) -> None:
    broken = other_release(
        tmp_path, (RESUME, "    pool = SocketPool(notifier, adopted=adopted)", '    raise RuntimeError("oh no")')
    )
    old, generation = code_of(proxy), status(proxy)["leader"]
    done = restart(proxy, "--exec", str(broken))
    assert done.returncode == 1, done.stderr + proxy.output()
    assert "serves, but" in done.stderr
    assert "oh no" in proxy.output()
    assert code_of(proxy) == old
    assert status(proxy)["leader"] == generation + 1  # its workers are good
    assert restart(proxy).returncode == 0
