"""HTTP/2 codecs give one answer to the same bytes, in whatever pieces they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


def assert_pieces_do_not_matter(make: Callable[[], Any], data: bytes, cuts: Iterable[int]) -> None:
    """Two codecs of `make`: one gets `data` at once, the other in pieces."""
    whole, pieces = make(), make()
    expected = whole.receive(data)
    found = []
    at = 0
    for cut in [*sorted(cuts), len(data)]:
        found += pieces.receive(data[at:cut])
        at = max(at, cut)
    assert found == expected
    assert (whole.failure is None) == (pieces.failure is None)
    assert whole.take_output() == pieces.take_output()
    assert whole.streams == pieces.streams == whole.stats.streams_active.value
