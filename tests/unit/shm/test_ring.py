"""The ring: the newest records, whole, whoever died while writing."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shm import memfd
from shm.ring import RingReader, RingWriter, create_ring
from shm.words import ALIGN


@pytest.fixture
def fd() -> Iterator[int]:
    fd = create_ring(slots=8, slot_bytes=64)
    yield fd
    os.close(fd)


def test_records_come_back_in_order(fd: int) -> None:
    writer, reader = RingWriter(fd), RingReader(fd)
    for number in range(5):
        writer.append(b"%d" % number)
    assert [record.payload for record in reader.read()] == [b"0", b"1", b"2", b"3", b"4"]
    assert [record.sequence for record in reader.read(after=3)] == [4, 5]


@given(st.lists(st.binary(max_size=48), max_size=40))
def test_the_newest_stay(payloads: list[bytes]) -> None:
    fd = create_ring(slots=8, slot_bytes=64)
    try:
        writer = RingWriter(fd)
        for payload in payloads:
            writer.append(payload)
        assert [record.payload for record in RingReader(fd).read()] == payloads[-8:]
    finally:
        os.close(fd)


def test_a_successor_goes_on(fd: int) -> None:
    RingWriter(fd).append(b"before")
    RingWriter(fd).append(b"after")
    assert [record.payload for record in RingReader(fd).read()] == [b"before", b"after"]


def test_a_record_too_long_is_refused(fd: int) -> None:
    writer = RingWriter(fd)
    writer.append(b"x" * writer.capacity)
    with pytest.raises(ValueError, match="longer than"):
        writer.append(b"x" * (writer.capacity + 1))


def test_a_writer_killed_at_any_moment_leaves_whole_records() -> None:
    dice = random.Random(7)
    for _ in range(30):
        fd = create_ring(slots=16, slot_bytes=256)
        pid = os.fork()
        if pid == 0:
            writer = RingWriter(fd)
            number = 0
            while True:
                number += 1
                writer.append((b"%d " % number) * (number % 40))
        reader = RingReader(fd)
        for _ in range(dice.randrange(1, 200)):  # a reader at work all the while
            check(reader)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        check(reader)
        before = {record.sequence for record in reader.read()}
        RingWriter(fd).append(b"1 ")
        records = reader.read()
        assert records[-1].payload == b"1 "
        assert len(before - {record.sequence for record in records}) <= 1
        os.close(fd)


def check(reader: RingReader) -> None:
    for sequence, payload in reader.read():
        assert payload == (b"%d " % sequence) * (sequence % 40)


@given(st.binary(min_size=8 * 64, max_size=8 * 64), st.lists(st.integers(0, 2**64 - 1), min_size=5, max_size=5))
def test_hostile_content_is_never_a_crash(content: bytes, header: list[int]) -> None:
    fd = create_ring(slots=8, slot_bytes=64)
    try:
        reader = RingReader(fd)
        memfd.write_at(fd, content, ALIGN)
        memfd.write_at(fd, b"".join(word.to_bytes(8, "little") for word in header), 0)
        for record in reader.read():
            assert len(record.payload) <= 48
    finally:
        os.close(fd)


def test_what_is_no_ring_is_refused() -> None:
    small, other = memfd.create("x", 10), memfd.create("x", ALIGN)
    for fd in (small, other):
        with pytest.raises(ValueError, match="ring"):
            RingReader(fd)
        os.close(fd)
