"""The access log of a whole proxy: rotation under load, several workers on one file, and a FIFO that nobody reads."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

from tests.kit.bootstrap import bootstrap, http_listener, virtual_host
from tests.kit.client import Connection, fetch
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy

FILE = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
CLIENTS = 4


def logging_to(path: Path | str, text: str = "%REQ(:PATH)%\n") -> str:
    """A proxy that answers 200 itself and logs each path."""
    log = {"name": "log", "typed_config": {"@type": FILE, "path": str(path), "log_format": {"text_format": text}}}
    answer: dict[str, Any] = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    return bootstrap([http_listener(virtual_host("v", ["*"], answer), access_log=[log])], [])


def request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


class Load:
    """Clients that ask for `/client/number` until stopped; `sent` are all paths that were answered."""

    def __init__(self, proxy: Proxy) -> None:
        self._stop = threading.Event()
        self._address = proxy.address()
        self.sent: list[str] = []
        self._threads = [threading.Thread(target=self._run, args=(client,)) for client in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _run(self, client: int) -> None:
        number = 0
        while not self._stop.is_set():
            with Connection(self._address) as connection:
                for _ in range(50):
                    number += 1
                    connection.send(request(f"/{client}/{number}"))
                    assert connection.receive().status == 200
                    self.sent.append(f"/{client}/{number}")

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_rotation_under_load_loses_no_line_and_workers_write_whole_ones(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with Proxy(logging_to(path), concurrency=2) as proxy:
        load = Load(proxy)
        try:
            for turn in range(3):
                wait_for(lambda: path.exists() and path.stat().st_size > 0, deadline=30, what="there are lines")
                path.rename(tmp_path / f"log.{turn}")
                proxy.kill(signal.SIGUSR1)
        finally:
            load.stop()
    lines = [line for file in sorted(tmp_path.glob("log*")) for line in file.read_text().splitlines()]
    assert sorted(lines) == sorted(load.sent)


def test_a_fifo_that_nobody_reads_costs_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with Proxy(logging_to(path, "%REQ(:PATH)% " + "x" * 4000 + "\n")) as proxy:
            with Connection(proxy.address()) as connection:
                for number in range(1000):
                    connection.send(request(f"/{number}"))
                    assert connection.receive().status == 200
            wait_for(lambda: proxy.stats()["access_log.lost"] > 0, deadline=30, what="lines are lost")
            assert fetch(proxy.address(), request("/after")).status == 200
    finally:
        os.close(reader)
