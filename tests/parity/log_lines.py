"""Access logs of Envoy and of ours on one bootstrap: the same bytes to both, and the lines that each wrote for them."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.kit.bootstrap import ROUTER, Fields
from tests.kit.envoy import Envoy
from tests.kit.ledger import FLUSH
from tests.kit.parity import Answers, Pair
from tests.kit.process import wait_for
from tests.kit.proxy import FLUSH_SOON, Proxy

FILE = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
PLAIN_ROUTER: list[Fields] = [
    {"name": "router", "typed_config": {"@type": ROUTER, "suppress_envoy_headers": True}},
]
"""No header tells a time, whose digits would count among the bytes of a head."""

END = "end"
"""The log whose line says that everything has been written: it has no filter and comes last."""


def log(name: str, log_format: Fields, condition: Fields | None = None) -> Fields:
    """An access log to a file `name` of the instance's own directory."""
    config = {"@type": FILE, "path": f"{{directory}}/{name}.log", "log_format": log_format}
    return {"name": name, "typed_config": config, **({"filter": condition} if condition else {})}


def text(line: str) -> Fields:
    return {"text_format_source": {"inline_string": line + "\n"}}


def json_of(operators: list[str]) -> Fields:
    """A JSON format with one member for each operator, which is its own key."""
    return {"json_format": {operator: f"%{operator}%" for operator in operators}}


def with_end(*logs: Fields) -> list[Fields]:
    return [*logs, log(END, text("%REQ(:PATH)%"))]


class Logs:
    """Both proxies, and what they log. Every bootstrap has the logs of `with_end`."""

    def __init__(self, envoy: Envoy, ours: Proxy) -> None:
        self.pair = Pair(envoy, ours)
        self._directories = (envoy.directory, ours.directory)
        self._read: dict[Path, int] = {}

    def send(self, data: bytes, *, lines: int = 1, **options: Any) -> Answers:
        """`data` to both; waits until both have written `lines` lines for it."""
        answers = self.pair.send(data, **options)
        ends = [directory / f"{END}.log" for directory in self._directories]
        wait_for(
            lambda: all(len(self._new(path)) >= lines for path in ends), deadline=30, what="both logs have their lines"
        )
        time.sleep(0.1)  # Envoy's other files, which it flushes in no order
        for path in ends:
            self._skip(path)
        return answers

    def settle(self, path: str) -> None:
        """Wait until both have logged the request for `path`, which is the last one."""
        ends = [directory / f"{END}.log" for directory in self._directories]
        wait_for(lambda: all(path in self._new(end) for end in ends), deadline=30, what="both logs have the last line")
        time.sleep(0.1)

    def wait_for_lines(self, name: str, count: int) -> None:
        """Wait until both have `count` lines more in a log."""
        paths = [directory / f"{name}.log" for directory in self._directories]
        wait_for(lambda: all(len(self._new(path)) >= count for path in paths), deadline=30, what=f"both wrote {name}")

    def lines(self, name: str) -> tuple[list[str], list[str]]:
        """The lines since the last call: Envoy's, ours."""
        envoy, ours = (directory / f"{name}.log" for directory in self._directories)
        found = (self._new(envoy), self._new(ours))
        self._skip(envoy)
        self._skip(ours)
        return found

    def values(self, name: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The same of a JSON log, parsed."""
        envoy, ours = self.lines(name)
        return [json.loads(line) for line in envoy], [json.loads(line) for line in ours]

    def _new(self, path: Path) -> list[str]:
        if not path.exists():
            return []
        whole, _, _ = path.read_bytes()[self._read.get(path, 0) :].rpartition(b"\n")
        return whole.decode("latin-1").splitlines() if whole else []

    def _skip(self, path: Path) -> None:
        if path.exists():
            self._read[path] = path.stat().st_size


@contextlib.contextmanager
def run_logs(bootstrap: str) -> Iterator[Logs]:
    """Both flush often; skips where there is no Envoy."""
    with Envoy(bootstrap, arguments=FLUSH) as envoy, Proxy(bootstrap, environment=FLUSH_SOON) as ours:
        yield Logs(envoy, ours)
