"""Restarts in a row: nothing adds up, and what one leaves behind is not the next one's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from master.supervisor.history import MAX_ENTRIES
from tests.integration.processes.family import with_patch
from tests.integration.restart.restarting import restart, status, wait_until_alone
from tests.kit.bootstrap import one_origin
from tests.kit.load import Load
from tests.kit.origin import Origin
from tests.kit.proxy import Proxy, proxyctl

REQUESTS = "http.ingress.downstream_rq_total"
TIMES = 10
LATE = """
import os, time
import workers.entry
original = workers.entry._run
async def _run(*arguments):
    if os.path.exists({broken!r}): raise RuntimeError("broken on purpose")
    if os.path.exists({slow!r}): time.sleep(4)
    await original(*arguments)
workers.entry._run = _run
"""


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


def test_ten_in_a_row(origin: Origin) -> None:
    with Proxy(one_origin(origin.port), concurrency=1) as proxy:
        supervisor = psutil.Process(proxy.pid)
        with (
            Load(proxy.address(), mode="new", connections=2, pause=0.005) as new,
            Load(proxy.address(), mode="keep-alive", connections=2, pause=0.005) as kept,
        ):
            descriptors = []
            for _ in range(TIMES):
                done = restart(proxy, "--wait")
                assert done.returncode == 0, done.stderr + proxy.output()
                wait_until_alone(proxy)
                descriptors.append(supervisor.num_fds())
            reports = [new.finish(), kept.finish()]
        for report in reports:
            assert report.failed.total() == 0, report.failed
        assert proxy.stats()[REQUESTS] == sum(report.ok for report in reports)
        listed = proxyctl("ps", "--json", runtime=proxy.runtime)
        assert listed.returncode == 0, listed.stderr
        assert proxy.pid == json.loads(listed.stdout)["data"][0]["pid"]
        assert status(proxy)["leader"] == TIMES + 1
        # The configurations of the last generations are kept, up to a number of them: one descriptor each.
        others = [count - min(number + 2, MAX_ENTRIES) for number, count in enumerate(descriptors)]
        assert max(others[1:]) == others[0]


def test_the_deadlines_of_a_restart_that_failed_are_not_those_of_the_next(origin: Origin, tmp_path: Path) -> None:
    broken, slow = tmp_path / "broken", tmp_path / "slow"
    environment = with_patch(tmp_path, LATE.format(broken=str(broken), slow=str(slow)))
    with Proxy(one_origin(origin.port), environment=environment) as proxy:
        broken.touch()
        done = restart(proxy, "--ready-timeout", "4")
        assert done.returncode == 1, done.stderr
        assert "broken on purpose" in done.stderr
        wait_until_alone(proxy)
        broken.rename(slow)
        done = restart(proxy, "--ready-timeout", "60")
        assert done.returncode == 0, done.stderr
