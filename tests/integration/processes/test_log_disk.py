"""Access logs on a disk that is full, in a directory that vanishes, and into a pipe that nobody reads."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, virtual_host
from tests.kit.client import Connection
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy
from tests.kit.tiny_disk import tiny_disk

FILE = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
DISK_SIZE = 256 * 1024
LINE = 2048
"""Bytes of a line, about: the disk is full after some 130 of them."""


class Logging(NamedTuple):
    """A proxy whose listeners log to `full` (on the tiny disk), `vanishing/log` and `pipe`."""

    proxy: Proxy
    full: Path
    vanishing: Path
    pipe: Path

    def ask(self, listener: str, *paths: str) -> None:
        """Each is answered, whatever becomes of the logs."""
        with Connection(self.proxy.address(listener)) as connection:
            for path in paths:
                connection.send(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
                assert connection.receive().status == 204

    def stat(self, name: str) -> int:
        return self.proxy.stats()[name]


def log_to(path: Path) -> Fields:
    text = f"%REQ(:PATH)% {'x' * LINE} end\n"
    config = {"@type": FILE, "path": str(path), "log_format": {"text_format_source": {"inline_string": text}}}
    return {"name": "file", "typed_config": config}


@pytest.fixture(scope="module")
def logging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logging]:
    directory = tmp_path_factory.mktemp("logs")
    (directory / "disk").mkdir()
    (directory / "vanishing").mkdir()
    pipe = directory / "pipe"
    os.mkfifo(pipe)
    with tiny_disk(directory / "disk", str(DISK_SIZE)) as disk:
        full, vanishing = disk / "log", directory / "vanishing"
        host = virtual_host("all", ["*"], {"match": {"prefix": "/"}, "direct_response": {"status": 204}})
        logs = {"full": full, "vanishing": vanishing / "log", "pipe": pipe}
        listeners = [http_listener(host, name=name, access_log=[log_to(path)]) for name, path in logs.items()]
        with Proxy(bootstrap(listeners, [])) as proxy:
            yield Logging(proxy, full, vanishing, pipe)


def lines(path: Path) -> list[str]:
    """What `path` says; a full disk may have cut the last line."""
    return path.read_text().splitlines() if path.exists() else []


def names(path: Path) -> set[str]:
    return {line.split(" ")[0] for line in lines(path) if line.endswith(" end")}


def test_a_full_disk_costs_lines_and_no_request(logging: Logging) -> None:
    logging.ask("full", *(f"/filling-{number}" for number in range(400)))
    wait_for(lambda: logging.stat("filesystem.write_failed") > 0, deadline=20, what="a write fails")
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        (logging.full.parent / "other").write_bytes(bytes(DISK_SIZE))
    assert logging.stat("access_log.lost") > 0
    written = len(names(logging.full))
    logging.ask("full", *(f"/full-{number}" for number in range(20)))
    wait_for(lambda: logging.stat("access_log.lost") + written == 420, deadline=20, what="every lost line is counted")
    assert len(names(logging.full)) == written

    (logging.full.parent / "other").unlink()
    os.truncate(logging.full, 0)
    wait_for(_resumed(logging, "full", logging.full, "/space-again"), deadline=20, what="lines come again")
    whole = [line for line in lines(logging.full) if line]
    assert all(line.startswith("/") and line.endswith(" end") for line in whole)


def test_a_vanished_directory_costs_lines_and_no_request(logging: Logging) -> None:
    log = logging.vanishing / "log"
    wait_for(_resumed(logging, "vanishing", log, "/before"), deadline=20, what="lines come")
    shutil.rmtree(logging.vanishing)
    failed = logging.stat("filesystem.write_failed")
    logging.ask("vanishing", "/into-nothing")
    wait_for(lambda: logging.stat("filesystem.write_failed") > failed, deadline=20, what="a write fails")
    assert not logging.vanishing.exists()
    logging.vanishing.mkdir()
    wait_for(_resumed(logging, "vanishing", log, "/back"), deadline=20, what="lines come again")
    assert "/into-nothing" not in names(log)


def test_a_pipe_without_reader_costs_lines_and_no_request(logging: Logging) -> None:
    failed = logging.stat("filesystem.write_failed")
    logging.ask("pipe", "/to-nobody")
    wait_for(lambda: logging.stat("filesystem.write_failed") > failed, deadline=20, what="a write fails")
    reader = os.open(logging.pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        received = b""

        def arrived() -> bool:
            nonlocal received
            logging.ask("pipe", "/to-a-reader")
            try:
                received += os.read(reader, 1 << 20)
            except BlockingIOError:
                return False
            return b"/to-a-reader" in received

        wait_for(arrived, deadline=20, what="lines come through the pipe")
        # The reader stalls: the pipe fills, and requests go on.
        lost = logging.stat("access_log.lost")
        logging.ask("pipe", *(f"/stalled-{number}" for number in range(100)))
        wait_for(lambda: logging.stat("access_log.lost") > lost, deadline=20, what="lost lines are counted")
        logging.ask("pipe", "/still-answered")
    finally:
        os.close(reader)


def _resumed(logging: Logging, listener: str, path: Path, name: str) -> Callable[[], bool]:
    """A condition: a request of that name stands in the log. It asks again, since lines may still be lost meanwhile."""

    def resumed() -> bool:
        logging.ask(listener, name)
        return name in names(path)

    return resumed
