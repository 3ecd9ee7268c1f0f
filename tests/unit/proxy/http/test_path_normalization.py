"""Paths as everybody is to understand them. (tests/parity/test_route_options.py compares each character with Envoy.)"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.path_normalization import PLAIN, merge_slashes, normalize, unescape_slashes

PIECES = st.sampled_from(
    rb"/ // a . .. %2e %2F %5c %41 %zz \ ? ?x=/../ ;p=1 < ~".split(),
)
PATHS = st.lists(PIECES, max_size=8).map(lambda pieces: b"/" + b"".join(pieces))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/a/../b?c=/../d", b"/b?c=/../d"),
        (b"/../../x", b"/x"),
        (b"/a/b/..", b"/a/"),
        (b"/a/%2E%2e/b", b"/b"),
        (b"/a\\b", b"/a/b"),
        (b"/%7E%2f", b"/~%2f"),
        (b"/<", b"/%3C"),
        (b"/a%00", None),
        (b"/a?%00", b"/a?%00"),
    ],
)
def test_normalize(path: bytes, expected: bytes | None) -> None:
    assert normalize(path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [(b"/a//b///?c//d", b"/a/b/?c//d"), (b"//a", b"/a"), (b"//", b"//"), (b"///", b"//"), (b"/", b"/")],
)
def test_merge_slashes(path: bytes, expected: bytes) -> None:
    assert merge_slashes(path) == expected


def test_unescape_slashes() -> None:
    assert unescape_slashes(b"/%2f%2F%5c%5C%41?%2f") == b"///\\\\%41?%2f"


@given(PATHS)
def test_a_normal_path_has_no_dot_segment_and_stays_as_it_is(path: bytes) -> None:
    once = normalize(path)
    assert once is not None
    assert normalize(once) == once
    assert not {b".", b".."} & set(once.partition(b"?")[0].split(b"/"))


@given(PATHS)
def test_a_plain_path_is_what_nothing_changes(path: bytes) -> None:
    if PLAIN.fullmatch(path):
        assert normalize(path) == merge_slashes(path) == unescape_slashes(path) == path


def test_common_paths_are_plain() -> None:
    for path in (b"/", b"/a", b"/a/b.html?q=%20", b"/~a/b;c=1/", b"/v1/users/42?x=//"):
        assert PLAIN.fullmatch(path), path
    for path in (b"//", b"/a//b", b"/.", b"/a/..", b"/%41", b"/a%2fb", b"/a\\b", b"/<"):
        assert not PLAIN.fullmatch(path), path
