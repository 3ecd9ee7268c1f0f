"""The longest stored prefix."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.route.prefixes import LongestPrefix
from tests.unit.route.requests import CountingBytes

TEXT = st.text(alphabet="ab", max_size=9).map(str.encode)


@given(st.sets(TEXT, max_size=30), TEXT)
def test_equal_to_a_linear_search(prefixes: set[bytes], text: bytes) -> None:
    expected = max((prefix for prefix in prefixes if text.startswith(prefix)), key=len, default=None)
    assert LongestPrefix({prefix: prefix for prefix in prefixes}).find(text) == expected


def test_ten_thousand_prefixes_of_a_hundred_lengths_take_seven_steps() -> None:
    prefixes = {b"%04d" % number + b"x" * (number % 100) for number in range(10_000)}
    table = LongestPrefix({prefix: prefix for prefix in prefixes})
    for number in range(0, 10_000, 77):
        text = CountingBytes(b"%04d" % number + b"x" * 200)
        assert table.find(text) == b"%04d" % number + b"x" * (number % 100)
        assert text.slices <= 7
