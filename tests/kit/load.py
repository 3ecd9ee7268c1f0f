"""A load generator in a process of its own that records the outcome of every request, with times.

It runs from construction to `finish()`. Each of its connections has one request in flight. In `new` mode every request
has a connection of its own, in `keep-alive` mode a connection is used until it ends. A response is good when it has
the expected status and arrives whole.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from tests.kit.client import Address, Connection, ConnectionEnded
from tests.kit.process import KitProcess

Mode = Literal["new", "keep-alive"]


class Outcome(NamedTuple):
    """One request. Times are `time.monotonic()`, comparable over processes. `cause` is empty when it went well.

    Causes: `refused`, `not connected` (reset or timed out), `closed` (the peer closed or reset before any byte of the
    response), `cut` (within it), `timeout`, `status N`.
    """

    connection: int
    reused: bool
    start: float
    end: float
    cause: str


@dataclass
class Report:
    """All outcomes of one run, by time of start."""

    outcomes: list[Outcome]

    @property
    def ok(self) -> int:
        return sum(not outcome.cause for outcome in self.outcomes)

    @property
    def failed(self) -> Counter[str]:
        """How many requests failed, by cause."""
        return Counter(outcome.cause for outcome in self.outcomes if outcome.cause)

    def since(self, start: float) -> Report:
        """Only the requests that began at or after `start`."""
        return Report([outcome for outcome in self.outcomes if outcome.start >= start])

    def longest_wait(self) -> float:
        """The longest time in seconds that a request, good or bad, took."""
        return max((outcome.end - outcome.start for outcome in self.outcomes), default=0.0)

    def longest_silence(self) -> float:
        """The longest time in seconds between two successive good responses, over all connections."""
        ends = sorted(outcome.end for outcome in self.outcomes if not outcome.cause)
        return max((after - before for before, after in itertools.pairwise(ends)), default=0.0)


class Load(KitProcess):
    """A running load: `with Load(address) as load: …; report = load.finish()`."""

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
        where = str(address) if isinstance(address, Path) else f"{address[0]} {address[1]}"
        arguments = [f"--address={where}", f"--mode={mode}", f"--connections={connections}", f"--target={target}"]
        arguments += [f"--status={status}", f"--pause={pause}", f"--timeout={timeout}"]
        super().__init__("tests.kit.load", arguments, within)
        self.read_json()

    def finish(self) -> Report:
        """Lets the requests in flight end, and reports."""
        self.end_input()
        rows: list[tuple[int, bool, float, float, str]] = self.read_json(deadline=60)
        return Report(sorted((Outcome(*row) for row in rows), key=lambda outcome: outcome.start))


class _Runner:
    """One connection slot: sends requests one after the other until told to stop."""

    def __init__(self, slot: int, options: argparse.Namespace, stopping: threading.Event) -> None:
        host, _, port = options.address.partition(" ")
        self.address: Address = (host, int(port)) if port else Path(host)
        self.slot, self.options, self.stopping = slot, options, stopping
        self.data = f"GET {options.target} HTTP/1.1\r\nHost: load\r\n\r\n".encode("latin-1")
        self.outcomes: list[Outcome] = []
        self.connection: Connection | None = None

    def run(self) -> None:
        while not self.stopping.is_set():
            reused = self.connection is not None
            start = time.monotonic()
            cause = self._attempt()
            self.outcomes.append(Outcome(self.slot, reused, start, time.monotonic(), cause))
            if cause == "refused":
                self.stopping.wait(0.01)  # a listener that is gone must not fill the record
            self.stopping.wait(self.options.pause)
        self._drop()

    def _attempt(self) -> str:
        if self.connection is None:
            try:
                self.connection = Connection(self.address, timeout=self.options.timeout)
            except ConnectionRefusedError:
                return "refused"
            except OSError:
                return "not connected"
        try:
            response = self.connection.request(self.data)
        except TimeoutError:
            self._drop()
            return "timeout"
        except ConnectionEnded as error:
            self._drop()
            return "cut" if error.partial else "closed"
        except OSError:
            self._drop()
            return "closed"
        if self.options.mode == "new" or "close" in response.values("connection"):
            self._drop()
        return "" if response.status == self.options.status else f"status {response.status}"

    def _drop(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--mode", choices=["new", "keep-alive"], required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--status", type=int, required=True)
    parser.add_argument("--pause", type=float, required=True)
    parser.add_argument("--timeout", type=float, required=True)
    options = parser.parse_args(arguments)
    stopping = threading.Event()
    runners = [_Runner(slot, options, stopping) for slot in range(options.connections)]
    threads = [threading.Thread(target=runner.run) for runner in runners]
    for thread in threads:
        thread.start()
    print(json.dumps({"ready": True}), flush=True)
    sys.stdin.buffer.read()
    stopping.set()
    for thread in threads:
        thread.join()
    print(json.dumps([outcome for runner in runners for outcome in runner.outcomes]), flush=True)


if __name__ == "__main__":
    main()
