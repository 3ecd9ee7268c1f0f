"""Rewrites of path and host."""

from __future__ import annotations

import pytest

from proxy.config.route import ClusterWeight, HostRewrite, PathRewrite, RouteMatch
from proxy.http.request import Request
from proxy.route.rewrite import compile_host_rewrite, compile_path_rewrite, compile_share_host, rewrite_path
from tests.unit.route.requests import request


def rewritten(rewrite: PathRewrite, match: RouteMatch, path: str, *, tell: bool = True) -> Request:
    found = request(path)
    rewrite_path(found, compile_path_rewrite(rewrite, match), tell=tell)
    return found


@pytest.mark.parametrize(
    ("match", "path", "expected"),
    [
        (RouteMatch("prefix", "/a"), "/a/b?c", b"/new/b?c"),
        (RouteMatch("prefix", "/a"), "/A/b", b"/A/b"),
        (RouteMatch("prefix", "/a", case_sensitive=False), "/A/b", b"/new/b"),
        (RouteMatch("path", "/a"), "/a?b", b"/new?b"),
        (RouteMatch("path_separated_prefix", "/a"), "/a/b", b"/new/b"),
        (RouteMatch("regex", "/.*"), "/a/b?c", b"/new?c"),
    ],
)
def test_prefix(match: RouteMatch, path: str, expected: bytes) -> None:
    assert rewritten(PathRewrite("prefix", "/new"), match, path).path == expected


def test_a_path_that_a_filter_has_changed_stays_and_has_no_original() -> None:
    found = rewritten(PathRewrite("prefix", "/new"), RouteMatch("prefix", "/a"), "/other")
    assert (found.path, found.headers.items) == (b"/other", [])


def test_a_regex_leaves_the_query_and_tells_the_original() -> None:
    found = rewritten(PathRewrite("regex", r"/\1", "/(a+)"), RouteMatch("prefix", "/"), "/aa/b?/aa")
    assert (found.path, found.headers.get(b"x-envoy-original-path")) == (b"/aa/b?/aa", b"/aa/b?/aa")
    silent = rewritten(PathRewrite("regex", "", "b"), RouteMatch("prefix", "/"), "/ab", tell=False)
    assert (silent.path, silent.headers.items) == (b"/a", [])


def test_connect_has_no_path_to_rewrite() -> None:
    assert rewritten(PathRewrite("prefix", "/new"), RouteMatch("connect", ""), "").path == b""


def hosted(rewrite: HostRewrite, *headers: tuple[str, str], append: bool = False, path: str = "/p/q?r") -> Request:
    found = request(path, authority="old", headers=headers)
    apply = compile_host_rewrite(rewrite, append=append)
    assert apply is not None
    apply(found)
    return found


@pytest.mark.parametrize(
    ("rewrite", "expected"),
    [
        (HostRewrite("literal", "new"), b"new"),
        (HostRewrite("header", "x-new"), b"first"),
        (HostRewrite("header", ":path"), b"/p/q?r"),
        (HostRewrite("header", "x-none"), b"old"),
        (HostRewrite("path_regex", r"\1.test", "/([a-z]).*"), b"p.test"),
        (HostRewrite("path_regex", "", ".*"), b"old"),
    ],
)
def test_host(rewrite: HostRewrite, expected: bytes) -> None:
    found = hosted(rewrite, ("x-new", "first"), ("x-new", "second"))
    assert found.authority == expected
    assert found.headers.get(b"x-envoy-original-host") == (None if expected == b"old" else b"old")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((), b"old"),
        (("a",), b"a,old"),
        (("a", "b"), b"a,b,old"),
        (("old",), b"old"),
        (("a,old",), b"a,old"),
        (("a, old",), b"a, old,old"),
    ],
)
def test_forwarded_host(before: tuple[str, ...], after: bytes) -> None:
    found = hosted(HostRewrite("literal", "new"), *(("x-forwarded-host", value) for value in before), append=True)
    assert found.headers.get_all(b"x-forwarded-host") == [after]


def test_a_share_takes_the_host_without_trace() -> None:
    found = request(authority="old")
    compile_share_host(ClusterWeight("c", 1, host="new"))(found)
    assert (found.authority, found.headers.items) == (b"new", [])


def test_the_name_of_a_host_is_not_known_yet() -> None:
    assert compile_host_rewrite(HostRewrite("auto"), append=True) is None
