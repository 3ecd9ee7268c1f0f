"""A supervisor that is killed in the middle of a restart, at each step: its children end, and the next one starts."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.processes.family import one
from tests.integration.restart.restarting import other_release, status
from tests.kit.bootstrap import one_origin
from tests.kit.client import get
from tests.kit.origin import Origin
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy, proxyctl


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


def begin(proxy: Proxy, query: str = "") -> None:
    answer = proxy.admin(f"/hot_restart/begin{query}", "POST")
    assert answer.status == 200, answer.body


def until(proxy: Proxy, phase: str) -> None:
    wait_for(lambda: status(proxy)["phase"] == phase, deadline=30, what=f"the restart is at {phase}")


def in_preflight(proxy: Proxy, _: Path) -> None:
    begin(proxy)
    until(proxy, "preflight")


def in_starting(proxy: Proxy, _: Path) -> None:
    begin(proxy)
    until(proxy, "starting")


def in_canary(proxy: Proxy, _: Path) -> None:
    begin(proxy, "?canary=60")
    until(proxy, "canary")


def in_handover(proxy: Proxy, _: Path) -> None:
    """The old controller does not let go: it stands still."""
    begin(proxy, "?canary=3")
    until(proxy, "canary")
    one(proxy, "controller (generation 1)").suspend()
    wait_for(lambda: "generation 1 drains" in proxy.output(), deadline=30, what="the new one serves")


def in_takeover(proxy: Proxy, directory: Path) -> None:
    """The process is the new code already, and has not looked at its state yet."""
    slow = other_release(
        directory,
        (
            "master/supervisor/resume.py",
            "    content = state.decode(",
            "    import time; time.sleep(60)\n    content = state.decode(",
        ),
    )
    (proxy.runtime / "restart-exec").touch(mode=0o600)
    (proxy.runtime / "restart-exec").write_text(f'{{"exec": "{slow}"}}')
    begin(proxy)
    command = Path(f"/proc/{proxy.pid}/cmdline")
    wait_for(lambda: str(slow).encode() in command.read_bytes(), deadline=30, what="the exec")


@pytest.mark.parametrize("moment", [in_preflight, in_starting, in_canary, in_handover, in_takeover])
def test_nobody_is_left_and_the_next_one_starts(
    origin: Origin, tmp_path: Path, moment: Callable[[Proxy, Path], None]
) -> None:
    with Proxy(one_origin(origin.port), concurrency=2) as proxy:
        moment(proxy, tmp_path)
        proxy.kill(signal.SIGKILL)
        proxy.process.wait()
        for member in proxy.members():
            with contextlib.suppress(ProcessLookupError):
                member.send_signal(signal.SIGCONT)
        wait_for(lambda: not proxy.members(), deadline=30, what="all children have ended")
        with Proxy(arguments=["-c", str(proxy.config)], runtime=proxy.runtime) as again:
            assert get(again.address()).status == 200
            assert proxyctl("restart", runtime=again.runtime).returncode == 0
