"""What an exchange is recorded as."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Flag
from proxy.http.stream_info import StreamInfo


def test_no_flags_are_a_dash() -> None:
    assert StreamInfo(0.0).response_flags() == "-"


@given(st.sets(st.sampled_from(Flag)))
def test_flags_are_joined_in_envoys_order_however_they_came(flags: set[Flag]) -> None:
    info = StreamInfo(0.0)
    info.flags |= flags
    order = [flag.value for flag in Flag]
    text = info.response_flags()
    if flags:
        assert sorted(text.split(","), key=order.index) == text.split(",")
        assert set(text.split(",")) == {flag.value for flag in flags}
