"""Outputs on real files, FIFOs, pipes and sockets: whole lines or none, no waiting, and life after a fault."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.access_log.output import FileOutput, StandardOutput, file_output
from tests.unit.proxy.access_log.streams import replaced

LINES = [b"one\n", b"two\n", b"three\n"]


@contextlib.contextmanager
def piped() -> Iterator[tuple[int, int]]:
    """Standard output is a pipe: its reading and its writing end."""
    reading, writing = os.pipe()
    try:
        with replaced(1, writing):
            yield reading, writing
    finally:
        os.close(reading)
        os.close(writing)


def test_lines_are_appended_and_the_file_is_created(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    assert FileOutput(str(path)).write(LINES) == 3
    assert path.read_text() == "before\none\ntwo\nthree\n"
    new = tmp_path / "new"
    assert FileOutput(str(new)).write(LINES) == 3
    assert new.stat().st_mode & 0o777 == 0o644 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_reopen_follows_the_name(tmp_path: Path) -> None:
    path, moved = tmp_path / "log", tmp_path / "log.1"
    output = FileOutput(str(path))
    output.write([b"old\n"])
    path.rename(moved)
    output.write([b"still old\n"])
    assert output.reopen()
    output.write([b"new\n"])
    assert (moved.read_text(), path.read_text()) == ("old\nstill old\n", "new\n")


def test_a_deleted_file_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "log"
    output = FileOutput(str(path))
    output.write([b"old\n"])
    path.unlink()
    output.write([b"new\n"])
    assert path.read_text() == "new\n"


def test_a_vanished_directory_loses_lines_until_it_is_back(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    directory.mkdir()
    output = FileOutput(str(directory / "log"))
    output.write([b"old\n"])
    (directory / "log").unlink()
    directory.rmdir()
    assert output.write(LINES) == 0
    assert not output.reopen()
    directory.mkdir()
    assert output.write(LINES) == 3


def test_a_failed_reopen_goes_on_with_the_old_file(tmp_path: Path) -> None:
    path, moved = tmp_path / "log", tmp_path / "log.1"
    output = FileOutput(str(path))
    output.write([b"old\n"])
    path.rename(moved)
    path.mkdir()
    assert not output.reopen()
    assert output.write([b"more\n"]) == 1
    assert moved.read_text() == "old\nmore\n"


def test_a_full_disk_costs_the_lines_that_do_not_fit_and_no_line_after_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    output = FileOutput(str(path))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        assert output.write(LINES) == 2
        assert output.write(LINES) == 0
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert output.write(LINES) == 3
    assert path.read_bytes().split(b"\n") == [b"one", b"two", b"th", b"one", b"two", b"three", b""]


def test_a_fifo_without_a_reader_takes_nothing_and_later_everything(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    output = FileOutput(str(path))
    assert output.write(LINES) == 0
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert output.write(LINES) == 3
    assert os.read(reader, 100) == b"".join(LINES)
    os.close(reader)
    assert output.write(LINES) == 0
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert output.write(LINES) == 3
    os.close(reader)


def test_a_fifo_that_nobody_reads_takes_whole_lines_until_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.access_log.output.LOG_PATIENCE", 0.01)
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    output = FileOutput(str(path))
    lines = [b"%04d" % number + b"x" * 95 + b"\n" for number in range(2000)]
    written = output.write(lines)
    assert 0 < written < 2000
    assert output.write(lines) == 0
    data = bytearray()
    while select.select([reader], [], [], 0)[0]:
        data += os.read(reader, 65536)
    assert data == b"".join(lines[:written])
    os.close(reader)


def test_standard_output_keeps_its_flags_and_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.access_log.output.LOG_PATIENCE", 0.01)
    lines = [b"%04d" % number + b"x" * 95 + b"\n" for number in range(2000)]
    with piped() as (reading, writing):
        flags = fcntl.fcntl(writing, fcntl.F_GETFL)
        output = StandardOutput(1)
        written = output.write(lines)
        assert 0 < written < 2000
        assert fcntl.fcntl(writing, fcntl.F_GETFL) == flags
        data = b""
        while len(data) < written * 100:
            data += os.read(reading, 65536)
        assert data == b"".join(lines[:written])
        assert output.write(LINES) == 3
        assert os.read(reading, 100) == b"".join(LINES)


def test_a_line_longer_than_the_pipe_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.access_log.output.LOG_PATIENCE", 0.01)
    with piped() as (reading, _):
        assert StandardOutput(1).write([b"x" * 200_000 + b"\n"]) == 0
        assert os.read(reading, 10) == b"x" * 10


def test_a_reader_that_is_slow_but_reads_loses_nothing() -> None:
    lines = [b"%04d" % number + b"x" * 95 + b"\n" for number in range(2000)]
    received = bytearray()
    with piped() as (reading, _):

        def read() -> None:
            while len(received) < 200_000:
                received.extend(os.read(reading, 4096))

        reader = threading.Thread(target=read)
        reader.start()
        assert StandardOutput(1).write(lines) == 2000
        reader.join()
    assert received == b"".join(lines)


def test_standard_output_may_be_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.access_log.output.LOG_PATIENCE", 0.01)
    ours, theirs = socket.socketpair()
    with ours, theirs, replaced(1, theirs.fileno()):
        output = StandardOutput(1)
        assert output.write(LINES) == 3
        assert ours.recv(100) == b"".join(LINES)
        assert output.write([b"x" * 4000 + b"\n"] * 2000) < 2000
        output.close()


def test_a_closed_standard_output_is_no_error() -> None:
    saved = os.dup(1)
    os.close(1)
    try:
        assert StandardOutput(1).write(LINES) == 0
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def test_the_devices_of_standard_streams_are_those_streams() -> None:
    assert isinstance(file_output("/dev/stdout"), StandardOutput)
    assert file_output("/dev/stderr").name == "/dev/stderr"
    assert isinstance(file_output("/dev/null"), FileOutput)


def test_dev_null_takes_everything() -> None:
    assert FileOutput("/dev/null").write(LINES) == 3
