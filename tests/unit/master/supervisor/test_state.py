"""The supervisor's state over an exec: what comes back, which version is written, which descriptors go along."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.supervisor.state import READABLE, Fd, StateError, common, decode, descriptors, encode

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.integers(0, 10_000).map(Fd),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=3), inner, max_size=4),
    max_leaves=20,
)


def fds(value: Any) -> list[int]:
    return sorted(descriptors(value))


@given(st.dictionaries(st.text(min_size=8).filter(lambda key: key != "version"), VALUES))
def test_what_is_written_is_read_back(state: dict[str, Any]) -> None:
    for version in READABLE:
        back = decode(encode(state, version))
        assert back == {"version": version, **state}
        assert fds(back) == fds(state)


def test_descriptors_are_told_from_numbers() -> None:
    state = {
        "lock": Fd(3),
        "pid": 4,
        "memory": {"regions": {"7": Fd(5)}, "used": [6]},
        "children": [{"channel": Fd(8)}],
    }
    assert fds(state) == [3, 5, 8]


def test_the_highest_version_that_both_read() -> None:
    newest = max(READABLE)
    assert common([newest]) == newest
    assert common([newest, newest + 1]) == newest  # a newer release, and the way back from one
    assert common([0, *READABLE]) == newest
    for theirs in ([], [newest + 1]):
        with pytest.raises(StateError, match="stop and start"):
            common(theirs)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"1", b"{}", b'{"version": 0}', b'{"version": 99}', b"\xff"])
def test_what_is_no_state_of_ours(data: bytes) -> None:
    with pytest.raises(StateError):
        decode(data)


def test_an_unknown_version_is_not_written() -> None:
    with pytest.raises(StateError):
        encode({}, max(READABLE) + 1)
