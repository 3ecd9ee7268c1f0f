"""The writer thread: every line is written, lost or dropped, and counted; the loop never waits."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import pytest

from proxy.access_log.output import FileOutput, Output
from proxy.access_log.writer import LogQueue, LogWriter
from proxy.stats import MemoryStats
from tests.kit.process import wait_for


class Blocked:
    """An output that writes nothing before it is `released`."""

    name = "blocked"

    def __init__(self) -> None:
        self.released = threading.Event()
        self.entered = threading.Event()
        self.lines: list[bytes] = []

    def write(self, lines: Sequence[bytes]) -> int:
        self.entered.set()
        self.released.wait()
        self.lines += lines
        return len(lines)

    def reopen(self) -> bool:
        return True

    def close(self) -> None:
        """There is nothing open."""


def started(output: Output) -> tuple[LogWriter, MemoryStats]:
    stats = MemoryStats()
    writer = LogWriter(stats)
    writer.queue(output)
    writer.start()
    return writer, stats


def test_close_writes_what_is_queued(tmp_path: Path) -> None:
    path = tmp_path / "log"
    output = FileOutput(str(path))
    writer, stats = started(output)
    for number in range(100):
        writer.queue(output).write(b"%d\n" % number)
    writer.close(5)
    assert path.read_text().splitlines() == [str(number) for number in range(100)]
    assert stats.value("filesystem.write_buffered") == 100
    assert stats.value("filesystem.write_completed") >= 1
    assert stats.value("filesystem.write_failed") == stats.value("access_log.dropped") == 0


def test_an_output_that_comes_after_the_start_is_written_too(tmp_path: Path) -> None:
    writer = LogWriter(MemoryStats())
    writer.start()  # as a worker whose first configuration has no log
    for name in ("a", "b"):
        writer.queue(FileOutput(str(tmp_path / name))).write(b"line\n")
    writer.close(5)
    assert [(tmp_path / name).read_text() for name in ("a", "b")] == ["line\n"] * 2


def test_a_single_line_is_written_by_the_timer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.access_log.writer.LOG_FLUSH_INTERVAL", 0.01)
    path = tmp_path / "log"
    output = FileOutput(str(path))
    writer, stats = started(output)
    queue = writer.queue(output)
    for text in ("first\n", "first\nsecond\n"):
        queue.write(text.splitlines(keepends=True)[-1].encode())
        wait_for(lambda text=text: path.exists() and path.read_text() == text, deadline=5, what="it is written")
    assert stats.value("filesystem.flushed_by_timer") >= 2
    writer.close(5)


def test_a_line_beside_those_that_are_being_taken_wakes_the_thread() -> None:
    pending = threading.Event()
    queue = LogQueue(Blocked(), MemoryStats(), pending, threading.Event())

    class TakenMeanwhile(deque[bytes]):
        """The thread takes all that wait just before the next line comes."""

        def append(self, line: bytes) -> None:
            queue.take()
            pending.clear()
            super().append(line)

    queue.write(b"first")
    queue._lines = TakenMeanwhile(queue._lines)
    queue.write(b"second")
    assert pending.is_set()
    assert queue.take() == [b"second"]


def test_many_lines_do_not_wait_for_the_timer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.access_log.writer.LOG_FLUSH_INTERVAL", 3600.0)
    path = tmp_path / "log"
    output = FileOutput(str(path))
    writer, _ = started(output)
    for _ in range(512):
        writer.queue(output).write(b"x\n")
    wait_for(lambda: path.exists() and path.stat().st_size == 1024, deadline=5, what="it is written")
    writer.close(5)


def test_a_blocked_output_costs_lines_and_not_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.access_log.writer.LOG_FLUSH_INTERVAL", 0.001)
    output = Blocked()
    writer, stats = started(output)
    queue = writer.queue(output)
    queue.write(b"first\n")
    output.entered.wait()
    line = b"x" * 1023 + b"\n"
    for _ in range(20_000):
        queue.write(line)
    held = queue.size
    assert held <= 8 * 1024 * 1024
    assert stats.value("access_log.dropped") == 20_001 - (held - 6) // 1024 - 1
    before = time.monotonic()
    writer.close(0.05)
    assert time.monotonic() - before < 5  # it gave up instead of waiting for the output
    output.released.set()
    wait_for(lambda: len(output.lines) == 20_001 - stats.value("access_log.dropped"), deadline=5, what="all is written")


def test_there_may_be_so_many_lines_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.access_log.writer.LOG_QUEUE_LINES", 10)
    stats = MemoryStats()
    queue = LogWriter(stats).queue(Blocked())
    for _ in range(15):
        queue.write(b"x\n")
    assert (queue.take(), stats.value("access_log.dropped")) == ([b"x\n"] * 10, 5)


def test_what_cannot_be_written_is_counted(tmp_path: Path) -> None:
    output = FileOutput(str(tmp_path / "missing" / "log"))
    writer, stats = started(output)
    for _ in range(3):
        writer.queue(output).write(b"x\n")
    writer.reopen()
    writer.close(5)
    assert stats.value("access_log.lost") == 3
    assert stats.value("filesystem.write_failed") >= 1
    assert stats.value("filesystem.reopen_failed") == 1
    assert stats.value("filesystem.write_total_buffered") == 0


def test_one_queue_for_one_file(tmp_path: Path) -> None:
    writer = LogWriter(MemoryStats())
    path = str(tmp_path / "log")
    assert writer.queue(FileOutput(path)) is writer.queue(FileOutput(path))


def test_without_a_log_there_is_no_thread() -> None:
    before = threading.active_count()
    writer = LogWriter(MemoryStats())
    writer.start()
    writer.close(1)
    assert threading.active_count() == before


def test_lines_written_while_the_thread_takes_are_neither_lost_nor_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.access_log.writer.LOG_FLUSH_LINES", 2)
    path = tmp_path / "log"
    output = FileOutput(str(path))
    writer, stats = started(output)
    queue = writer.queue(output)
    for number in range(50_000):
        queue.write(b"%d\n" % number)
        if number % 10_000 == 0:
            writer.reopen()
    writer.close(10)
    assert stats.value("access_log.dropped") == 0
    assert path.read_text().splitlines() == [str(number) for number in range(50_000)]
