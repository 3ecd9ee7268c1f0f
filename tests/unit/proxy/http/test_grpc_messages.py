"""Messages of a call, however their bytes come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http import grpc
from proxy.http.grpc import GrpcStatus
from proxy.http.grpc_messages import GrpcError, MessageReader


def framed(*messages: bytes) -> bytes:
    return b"".join(grpc.frame_head(len(message)) + message for message in messages)


@given(st.lists(st.binary(max_size=40), max_size=6), st.lists(st.integers(1, 9), min_size=1))
def test_whole_messages_of_any_pieces(messages: list[bytes], sizes: list[int]) -> None:
    reader, data, found = MessageReader(40), framed(*messages), []
    while data:
        for size in sizes:
            reader.feed(data[:size])
            data = data[size:]
            while (message := reader.next()) is not None:
                found.append(message)
    assert found == messages
    assert not reader.missing


def test_a_message_that_is_too_long_is_refused_by_its_head() -> None:
    reader = MessageReader(10)
    reader.feed(framed(b"x" * 11)[:5])
    with pytest.raises(GrpcError) as caught:
        reader.next()
    assert caught.value.status is GrpcStatus.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("flags", [1, 0x80])
def test_frames_that_nobody_asked_for(flags: int) -> None:
    reader = MessageReader(10)
    reader.feed(grpc.frame_head(1, flags) + b"x")
    with pytest.raises(GrpcError) as caught:
        reader.next()
    assert caught.value.status is GrpcStatus.INTERNAL


def test_the_rest_of_a_message_is_missed() -> None:
    reader = MessageReader(10)
    reader.feed(framed(b"abc")[:-1])
    assert reader.next() is None
    assert reader.missing


@given(st.text(max_size=60))
def test_a_message_of_a_status_comes_back(text: str) -> None:
    assert grpc.decode_message(grpc.encode_message(text.encode())) == text
