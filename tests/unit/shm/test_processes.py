import os

import pytest

from shm import memfd
from shm.processes import ProcessInfo, ProcessTable, Role, State, Word
from shm.words import ALIGN


def test_words_are_seen_through_every_attachment() -> None:
    fd = ProcessTable.create(256)
    supervisor, worker = ProcessTable(fd), ProcessTable(fd)
    assert supervisor.live() == []
    for word, value in [
        (Word.ROLE, Role.WORKER),
        (Word.INDEX, 1),
        (Word.GENERATION, 3),
        (Word.STARTED_NS, 10**15),
        (Word.RESTARTS, 2),
        (Word.PID, 4711),
    ]:
        supervisor.write(255, word, value)
    worker.write(255, Word.STATE, State.SERVING)
    worker.write(255, Word.HEARTBEAT_NS, 10**15 + 5)
    worker.write(255, Word.LOOP_LAG_NS, 7)
    worker.write(255, Word.CONNECTIONS, 8)
    worker.write(255, Word.REQUESTS_ACTIVE, 9)
    worker.write(255, Word.ENDPOINTS_VERSION, 10)
    worker.write(255, Word.ENDPOINTS_DRAINED, 11)
    supervisor.write(255, Word.ENDED_RESTARTS, 12)
    worker.write(255, Word.CONFIG_VERSION, 18)
    expected = ProcessInfo(
        255, 4711, Role.WORKER, 1, 3, 10**15, 2, State.SERVING, 10**15 + 5, 7, 8, 9, 10, 11, 12, config_version=18
    )
    assert supervisor.read(255) == expected
    assert worker.live() == [expected]
    supervisor.clear(255)
    assert worker.live() == []
    assert worker.read(255) == ProcessInfo(255, *[0] * len(Word))
    os.close(fd)


def test_every_word_has_a_field_of_its_name() -> None:
    assert [word.name.lower() for word in Word] == list(ProcessInfo._fields[1:])


def test_neighbours_are_separate() -> None:
    fd = ProcessTable.create(3)
    processes = ProcessTable(fd)
    for slot in range(3):
        for word in Word:
            processes.write(slot, word, 100 * slot + word + 1)
    assert [list(processes.read(slot)[1:]) for slot in range(3)] == [
        [100 * slot + word + 1 for word in Word] for slot in range(3)
    ]
    os.close(fd)


@pytest.mark.parametrize("slot", [-1, 3])
def test_slots_outside_are_errors(slot: int) -> None:
    fd = ProcessTable.create(3)
    processes = ProcessTable(fd)
    with pytest.raises(IndexError):
        processes.read(slot)
    with pytest.raises(IndexError):
        processes.write(slot, Word.PID, 1)
    os.close(fd)


def test_what_is_no_process_table_is_refused() -> None:
    fd = ProcessTable.create(3)
    good = memfd.read_at(fd, 32, 0)
    os.close(fd)
    for content in (b"", bytes(2 * ALIGN), good + bytes(ALIGN - 32), good[:16] + b"\xff" * 8 + bytes(2 * ALIGN)):
        fd = memfd.create("t", len(content))
        memfd.write_at(fd, content, 0)
        with pytest.raises(ValueError, match="process table"):
            ProcessTable(fd)
        os.close(fd)
    for slots in (0, 1025):
        with pytest.raises(ValueError, match="slots"):
            ProcessTable.create(slots)
