"""CPU time of a proxy that has nothing to do. It is part of every other figure too."""

from __future__ import annotations

import time

from bench import usage
from bench.figures import Sample
from bench.scenarios.effort import Effort
from bench.subjects import Subject

_SECONDS = 5.0  # the kernel counts in steps of 10 ms


class Rest:
    """All processes, without a connection."""

    def warm_up(self, subject: Subject) -> None:
        """Nothing: that it has served before is not needed."""

    def measure(self, subject: Subject, effort: Effort) -> Sample:
        pids = subject.pids()
        before, began = usage.cpu(pids), time.monotonic()
        time.sleep(_SECONDS)
        after, seconds = usage.cpu(pids), time.monotonic() - began
        return {"rest": (sum(after) - sum(before)) / seconds * 1e3}
