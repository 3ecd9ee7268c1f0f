"""The supervisor's end of a channel: order, bounds, and whose the descriptors are."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from master.supervisor.child import MAX_QUEUED, Child
from shm import channel


class Nobody:
    number = 1

    def on_message(self, child: Child, message: dict[str, Any], fds: list[int]) -> None:
        raise AssertionError(message)

    def on_death(self, child: Child, status: int) -> None:
        raise AssertionError(status)


def pair() -> tuple[Child, int]:
    child = Child.create(Nobody(), "worker", index=1, slot=5)
    return child, child.far_end


def test_what_a_full_socket_does_not_take_waits_in_order() -> None:
    child, far = pair()
    sent = 0
    while not child.outbox.pending:
        child.outbox.send({"type": "n", "n": sent})
        sent += 1
    child.outbox.send({"type": "n", "n": sent})
    with socket.socket(fileno=far) as peer:
        child.far_end = -1
        peer.setblocking(False)
        received = []
        while len(received) < sent + 1:
            child.outbox.flush()
            received.append(channel.receive(peer)[0]["n"])
        assert received == list(range(sent + 1))
    child.abandon()


def test_a_child_that_never_reads_is_told_apart_from_a_slow_one() -> None:
    child, _ = pair()

    def flood() -> None:
        for number in range(MAX_QUEUED * 3):
            child.outbox.send({"type": "x" * 1000, "n": number})

    with pytest.raises(channel.ChannelClosedError):
        flood()
    child.abandon()


def test_a_given_descriptor_is_closed_once_sent_or_dropped() -> None:
    child, far = pair()
    given = os.open("/dev/null", os.O_RDONLY)
    child.outbox.send({"type": "x"}, give=[given])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(given)
    while not child.outbox.pending:
        child.outbox.send({"type": "x" * 1000})
    waiting = os.open("/dev/null", os.O_RDONLY)
    child.outbox.send({"type": "x"}, give=[waiting])
    os.fstat(waiting)  # not sent yet
    child.abandon()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(waiting)
    assert far >= 0
