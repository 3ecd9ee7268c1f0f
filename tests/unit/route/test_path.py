"""Path matchers."""

from __future__ import annotations

import pytest

from proxy.config.route import RouteMatch
from proxy.route.path import compile_path, without_query


@pytest.mark.parametrize(
    ("match", "accepts", "refuses"),
    [
        (RouteMatch("prefix", "/foo"), ["/foo", "/foobar", "/foo/"], ["/FOO", "/fo", "x/foo"]),
        (RouteMatch("prefix", "/foo", case_sensitive=False), ["/foo", "/FOOBAR"], ["/fo"]),
        (RouteMatch("path", "/foo"), ["/foo"], ["/foo/", "/Foo", "/fo"]),
        (RouteMatch("path", "/Foo", case_sensitive=False), ["/foo", "/FOO"], ["/foo/"]),
        (RouteMatch("path_separated_prefix", "/sep"), ["/sep", "/sep/", "/sep/foo"], ["/sepx", "/se", "/Sep"]),
        (RouteMatch("path_separated_prefix", "/sep", case_sensitive=False), ["/SEP/x"], ["/sepx"]),
        (RouteMatch("regex", "/re[0-9]+"), ["/re1", "/re99"], ["/re1x", "/re", "x/re1", "/RE1"]),
        (RouteMatch("regex", "/re", case_sensitive=False), ["/re"], ["/RE"]),
    ],
)
def test_each_kind_of_path_match(match: RouteMatch, accepts: list[str], refuses: list[str]) -> None:
    matches = compile_path(match)
    assert [path for path in accepts + refuses if matches(path.encode())] == accepts


@pytest.mark.parametrize(
    ("path", "bare"),
    [(b"/a?b", b"/a"), (b"/a#b?c", b"/a"), (b"/a?b#c", b"/a"), (b"/a", b"/a"), (b"?x", b""), (b"*", b"*")],
)
def test_query_and_fragment_are_no_part_of_the_path(path: bytes, bare: bytes) -> None:
    assert without_query(path) == bare
