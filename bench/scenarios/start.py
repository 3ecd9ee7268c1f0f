"""The time from the start of a program, with the whole route table, until it is ready and has answered a request."""

from __future__ import annotations

import time

import psutil

from bench.figures import Sample
from bench.requests import get
from bench.scenarios.effort import Effort
from bench.subjects import Subject
from tests.kit.client import fetch


class Start:
    """To be used with `fresh`: the subject has just become ready, as its own admin says (asked every 20 ms)."""

    def warm_up(self, subject: Subject) -> None:
        """Nothing: each repetition has a new process."""

    def measure(self, subject: Subject, effort: Effort) -> Sample:
        fetch(subject.address("main"), get("small"))
        answered = time.time()
        return {"start": (answered - min(psutil.Process(pid).create_time() for pid in subject.pids())) * 1e3}
