"""The recorders of all workers as one list, whatever is in them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from master.explain import failures
from proxy.flight_recorder import Record, RingRecorder
from shm.ring import RingReader, RingWriter, create_ring


@pytest.fixture
def ring() -> Iterator[int]:
    fd = create_ring(slots=4, slot_bytes=2048)
    yield fd
    os.close(fd)


def test_newest_first_over_all_rings_and_only_what_is_new(ring: int) -> None:
    other = create_ring(slots=4, slot_bytes=2048)
    rings = {3: RingReader(ring), 5: RingReader(other)}
    one, two = (RingRecorder(RingWriter(fd), slow=1, worker=n) for n, fd in enumerate((ring, other)))
    one.add(Record(1.0, "failed", 0))
    two.add(Record(3.0, "failed", 1))
    one.add(Record(2.0, "slow", 0))
    found = failures.read(rings, {})
    assert [record.when for record in found.records] == [3.0, 2.0, 1.0]
    assert failures.read(rings, found.cursor).records == []
    one.add(Record(4.0, "failed", 0))
    assert [record.when for record in failures.read(rings, found.cursor).records] == [4.0]
    os.close(other)


def test_what_is_no_record_is_passed_over(ring: int) -> None:
    writer = RingWriter(ring)
    writer.append(b"not MessagePack at all")
    writer.append(b"\x93\x01\x02\x03")
    RingRecorder(writer, slow=1, worker=0).add(Record(1.0, "failed", 0))
    found = failures.read({3: RingReader(ring)}, {})
    assert len(found.records) == 1
    assert found.cursor == {3: 3}
