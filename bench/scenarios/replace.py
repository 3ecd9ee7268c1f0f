"""The time without an answer after a worker dies: from SIGKILL to the next response on its socket."""

from __future__ import annotations

import os
import signal
import time

import psutil

from bench.figures import Sample, Unfit
from bench.requests import get
from bench.scenarios.effort import Effort
from bench.subjects import Subject
from bench.subjects.trireme import Trireme
from tests.kit.client import ConnectionEnded, fetch

_HEALTHY_AFTER = 10.5  # s; the successor of a worker that dies younger may have to wait, on purpose


class Replace:
    """With one worker, so that no sibling answers in its place. The listening socket lives on: clients wait in it."""

    def warm_up(self, subject: Subject) -> None:
        """Nothing: the successor is a new process each time."""

    def measure(self, subject: Subject, effort: Effort) -> Sample:
        if not isinstance(subject, Trireme):
            raise Unfit("it has no worker processes")
        (worker,) = subject.workers()
        address, request = subject.address("main"), get("small")
        time.sleep(max(0.0, psutil.Process(worker).create_time() + _HEALTHY_AFTER - time.time()))
        began = time.monotonic()
        os.kill(worker, signal.SIGKILL)
        while True:
            try:
                response = fetch(address, request)
                break
            except (ConnectionEnded, ConnectionResetError):  # the dying worker had accepted it already
                if time.monotonic() - began > 30:
                    raise Unfit("no response within 30 s of the worker's death") from None
        if response.status != 200:
            raise Unfit(f"the first response after the worker's death had status {response.status}")
        return {"replace": (time.monotonic() - began) * 1e3}
