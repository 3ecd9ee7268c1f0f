"""The channel: messages and descriptors arrive whole, limits hold, a closed peer is told apart from silence."""

from __future__ import annotations

import os
import socket

import pytest

from shm import channel


def test_message_and_descriptors_arrive_together() -> None:
    one, two = channel.pair()
    read, write = os.pipe()
    with one, two:
        one.sendmsg([channel.encode({"type": "x", "n": 1})], channel.ancillary([write]))
        message, fds = channel.receive(two)
        assert message == {"type": "x", "n": 1}
        assert not os.get_inheritable(fds[0])
        os.write(fds[0], b"!")
        assert os.read(read, 1) == b"!"
        for fd in (*fds, read, write):
            os.close(fd)


def test_silence_is_not_the_end() -> None:
    one, two = channel.pair()
    with two:
        with pytest.raises(BlockingIOError):
            channel.receive(two)
        one.close()
        with pytest.raises(channel.ChannelClosedError):
            channel.receive(two)


def test_many_descriptors_travel_in_batches() -> None:
    one, two = channel.pair()
    with one, two:
        names = {f"fd/{number}": 0 for number in range(channel.MAX_FDS * 2 + 1)}
        collector = channel.FdCollector()
        for message, fds in channel.fd_batches(names):
            one.sendmsg([channel.encode(message)], channel.ancillary(fds))
            received, got = channel.receive(two)
            assert collector.collect(received, got)
        taken = collector.take()
        assert list(taken) == list(names)
        assert collector.take() == {}
        for fd in taken.values():
            os.close(fd)


def test_names_must_match_descriptors() -> None:
    with pytest.raises(ValueError, match="2 names for 0 descriptors"):
        channel.FdCollector().collect({"type": "fds", "names": ["a", "b"]}, [])


def test_a_message_too_long_is_refused_by_the_sender() -> None:
    with pytest.raises(ValueError, match="more than"):
        channel.encode({"type": "x", "text": "y" * channel.MAX_MESSAGE})


@pytest.mark.parametrize("data", [b"[]", b"not json", b"\xff"])
def test_nonsense_is_a_value_error(data: bytes) -> None:
    one, two = channel.pair()
    with one, two:
        one.send(data)
        with pytest.raises(ValueError):  # noqa: PT011 - json's own errors are value errors too
            channel.receive(two)


def test_truncated_packets_are_refused() -> None:
    with pytest.raises(ValueError, match="truncated"):
        channel.decode(b"{}", [], socket.MSG_TRUNC)
