"""How much is measured: a whole run, or a quick one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """`seconds` of load per repetition (wrk takes whole ones); `connections` that idle; `downloads` of 100 MB.

    `fresh` counts the repetitions of scenarios that start the proxies anew for each. `only`, if not empty, names
    the subjects that are measured.
    """

    repetitions: int
    fresh: int
    seconds: int
    connections: int
    downloads: int
    references: bool  # HAProxy and nginx in every scenario, not only in the first
    only: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.repetitions} repetitions of {self.seconds} s for each subject in turn"


WHOLE = Effort(repetitions=5, fresh=3, seconds=2, connections=10_000, downloads=10, references=True)
QUICK = Effort(repetitions=2, fresh=1, seconds=1, connections=2_000, downloads=3, references=False)
