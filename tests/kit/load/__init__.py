"""A load generator in a process of its own that records the outcome of every request, with times.

It runs from construction to `finish()`. Each of its connections has one request in flight; what a request is, and
whether its connection is used again, is up to the kind of load (`kinds`). A response is good when it has the expected
status and arrives whole.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.kit.client import Address
from tests.kit.load.kinds import KINDS
from tests.kit.load.report import Outcome, Report
from tests.kit.process import KitProcess

__all__ = ["Load", "Loads", "Mode", "Outcome", "Part", "Report"]

Mode = str
"""The name of a kind of load."""


@dataclasses.dataclass(frozen=True)
class Part:
    """`connections` of one kind: each makes a request, waits `pause` s, and so on. Other waits end after `timeout` s.

    `target` and `status` are for the kinds that let them be chosen (`new`, `keep-alive`, `pipelined`).
    """

    address: Address
    mode: Mode = "keep-alive"
    connections: int = 8
    target: str = "/"
    status: int = 200
    pause: float = 0.0
    timeout: float = 10.0

    def __post_init__(self) -> None:
        if self.mode not in KINDS:
            raise ValueError(f"no such kind of load: {self.mode}; there are: {', '.join(KINDS)}")


class Loads(KitProcess):
    """Several parts at once, in one process: `with Loads(parts) as loads: …; reports = loads.finish_parts()`."""

    def __init__(self, parts: Sequence[Part], *, within: Sequence[str] = ()) -> None:
        self.parts = tuple(parts)
        rows = [dataclasses.asdict(part) | {"address": _place(part.address)} for part in parts]
        super().__init__("tests.kit.load", [json.dumps(rows)], within)
        self.read_json()

    def move(self, places: Mapping[Address, Address]) -> None:
        """New connections to each of these addresses go to another one from now on; those that are open stay.

        What an earlier call moved is where it was, unless it is moved again.
        """
        assert self.process.stdin is not None
        moved = [(_place(old), _place(new)) for old, new in places.items()]
        self.process.stdin.write(json.dumps(moved).encode() + b"\n")
        self.process.stdin.flush()
        self.read_json()

    def finish_parts(self) -> list[Report]:
        """Lets the requests in flight end, and reports, part by part."""
        self.end_input()
        patience = 60 + max(part.timeout for part in self.parts)
        rows: list[list[tuple[int, bool, float, float, str, int, float]]] = self.read_json(deadline=patience)
        return [Report(sorted((Outcome(*row) for row in part), key=lambda outcome: outcome.start)) for part in rows]


class Load(Loads):
    """A load of one kind: `with Load(address) as load: …; report = load.finish()`."""

    def __init__(
        self,
        address: Address,
        *,
        mode: Mode = "keep-alive",
        connections: int = 8,
        target: str = "/",
        status: int = 200,
        pause: float = 0.0,
        timeout: float = 10.0,
        within: Sequence[str] = (),
    ) -> None:
        super().__init__([Part(address, mode, connections, target, status, pause, timeout)], within=within)

    def finish(self) -> Report:
        """Lets the requests in flight end, and reports."""
        (report,) = self.finish_parts()
        return report


def _place(address: Address) -> str:
    """An address as one word of JSON; `runner.place` is its inverse."""
    return str(address) if isinstance(address, Path) else f"{address[0]} {address[1]}"
