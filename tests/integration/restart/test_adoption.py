"""Idle connections that change over to a worker which dies before it has them: they are another's."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tests.integration.processes.family import wait_for_workers, with_patch
from tests.integration.restart.restarting import restart, wait_until_alone
from tests.kit.bootstrap import one_origin
from tests.kit.client import Connection
from tests.kit.origin import Origin
from tests.kit.proxy import Proxy

KEEP_ALIVE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
# Of all workers, the first one that is given connections dies with them in its hands.
PATCH = """
import os, signal
import workers.worker
original = workers.worker.Worker._on_message
def _on_message(self, received, *rest):
    if received.message["type"] == "connections":
        try:
            os.close(os.open({marker!r}, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGKILL)
    original(self, received, *rest)
workers.worker.Worker._on_message = _on_message
"""


def test_no_connection_is_lost_with_the_worker_that_was_to_have_it(tmp_path: Path) -> None:
    marker = tmp_path / "killed"
    environment = with_patch(tmp_path, PATCH.format(marker=str(marker)))
    with (
        Origin() as origin,
        Proxy(one_origin(origin.port), concurrency=2, environment=environment) as proxy,
        contextlib.ExitStack() as stack,
    ):
        idle = [stack.enter_context(Connection(proxy.address())) for _ in range(20)]
        for connection in idle:
            assert connection.request(KEEP_ALIVE).status == 200
        done = restart(proxy)
        assert done.returncode == 0, done.stderr
        wait_until_alone(proxy)
        wait_for_workers(proxy, 2)
        assert marker.exists()
        assert "killed by SIGKILL" in proxy.output()
        for connection in idle:
            assert connection.request(KEEP_ALIVE).status == 200
