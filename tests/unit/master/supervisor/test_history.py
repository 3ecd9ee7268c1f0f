"""The configurations that are kept, and which of them a rollback means."""

from __future__ import annotations

import os

from master.supervisor import state
from master.supervisor.history import MAX_ENTRIES, Entry, History
from shm import memfd


def history(count: int) -> History:
    """With `count` entries, whose content is their version."""
    made = History()
    for number in range(1, count + 1):
        fd = memfd.sealed("test", str(number).encode())
        made.push(fd, "reload")
        os.close(fd)
    return made


def found(made: History, version: int | None) -> bytes | str:
    entry = made.find(version)
    return memfd.read_all(entry.fd) if isinstance(entry, Entry) else entry


def test_back_is_to_the_one_before() -> None:
    made = history(3)
    assert found(made, None) == b"2"
    assert found(made, 1) == b"1"
    assert found(made, 3) == "version 3 is in effect"
    assert found(made, 9) == "version 9 is not kept; there are 1, 2"
    assert found(history(1), None) == "there is no earlier configuration"


def test_the_oldest_goes_with_its_descriptor() -> None:
    made = history(MAX_ENTRIES)
    oldest = made.entries[0]
    fd = memfd.sealed("test", b"more")
    made.push(fd, "rollback")
    os.close(fd)
    assert len(made.entries) == MAX_ENTRIES
    assert made.version == MAX_ENTRIES + 1
    assert found(made, oldest.version) != b"1"
    assert [entry["why"] for entry in made.described() if entry["current"]] == ["rollback"]


def test_it_survives_an_exec() -> None:
    made = history(2)
    carried = state.decode(state.encode({"history": made.state()}, 1))
    again = History()
    again.adopt(carried["history"])
    assert again.entries == made.entries
    assert sorted(state.descriptors(carried)) == sorted(entry.fd for entry in made.entries)


def test_other_secrets_take_the_place_of_the_last_entry() -> None:
    made = history(2)
    fd = memfd.sealed("test", b"rotated")
    made.renew(fd)
    os.close(fd)
    assert [(entry.version, entry.why) for entry in made.entries] == [(1, "reload"), (3, "reload")]
    assert found(made, None) == b"1"
    assert memfd.read_all(made.entries[-1].fd) == b"rotated"
