"""What an exchange is recorded as."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Flag
from proxy.http.stream_info import StreamInfo


def test_no_flags_are_a_dash() -> None:
    assert StreamInfo(0.0).response_flags() == "-"


@given(st.lists(st.sampled_from(Flag), min_size=1))
def test_flags_are_joined_once_each_in_the_order_in_which_they_came(flags: list[Flag]) -> None:
    info = StreamInfo(0.0)
    for flag in flags:
        info.flags.add(flag)
    assert info.response_flags().split(",") == [flag.value for flag in dict.fromkeys(flags)]
