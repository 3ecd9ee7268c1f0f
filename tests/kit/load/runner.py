"""One connection of a load: makes requests one after the other until it is told to stop, and records each."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.kit.client import Address, Connection, ConnectionEnded
from tests.kit.load.kinds import KINDS
from tests.kit.load.kinds.kind import Ask, Wrong
from tests.kit.load.report import Outcome


def place(text: str) -> Address:
    """An address out of one word of JSON."""
    host, _, port = text.partition(" ")
    return (host, int(port)) if port else Path(host)


class Runner:
    """`part` is a `Part` as JSON has it; `moved` says where an address is now, and may change at any time."""

    def __init__(self, number: int, part: dict[str, Any], moved: Mapping[str, str], stopping: threading.Event) -> None:
        self._number, self._stopping, self._moved = number, stopping, moved
        self._address: str = part["address"]
        self._timeout: float = part["timeout"]
        self._pause: float = part["pause"]
        self._kind = KINDS[part["mode"]](Ask(part["target"], part["status"]))
        self._connection: Connection | None = None
        self._opened = 0.0
        self.outcomes: list[Outcome] = []

    def run(self) -> None:
        while not self._stopping.is_set():
            reused = self._connection is not None
            start = time.monotonic()
            cause, port = self._attempt(start)
            end = time.monotonic()
            self.outcomes.append(Outcome(self._number, reused, start, end, cause, port, self._opened))
            if cause == "refused":
                self._stopping.wait(0.01)  # a listener that is gone must not fill the record
            self._stopping.wait(self._pause)
        self._drop()

    def _attempt(self, now: float) -> tuple[str, int]:
        """The cause of the failure, if it fails, and the client's port."""
        if self._connection is None:
            self._opened = now
            try:
                self._connection = Connection(
                    place(self._moved.get(self._address, self._address)), timeout=self._timeout
                )
            except ConnectionRefusedError:
                return "refused", 0
            except OSError:
                return "not connected", 0
        elif self._connection.gone():
            port = self._connection.port
            self._drop()
            return "closed idle", port
        port = self._connection.port
        cause, keep = self._perform(self._connection)
        if not keep:
            self._drop()
        return cause, port

    def _perform(self, connection: Connection) -> tuple[str, bool]:
        try:
            return "", self._kind.perform(connection)
        except Wrong as error:
            return str(error), False
        except TimeoutError:
            return "timeout", False
        except ConnectionEnded as error:
            return ("cut" if error.partial else "closed"), False
        except OSError:
            return "closed", False

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
