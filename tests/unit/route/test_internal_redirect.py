"""Redirects that the proxy follows: which, and what the request becomes."""

from __future__ import annotations

import pytest

from proxy.config.internal_redirect import InternalRedirectPolicy
from proxy.config.route import ClusterAction, Route, RouteConfiguration, RouteMatch, VirtualHost
from proxy.http.headers import Headers
from proxy.http.request import Request
from proxy.route.entry import RouteEntry
from proxy.route.internal_redirect import Redirects, Refusal
from proxy.route.table import RouteTable
from tests.unit.route.requests import request

ROUTES = tuple(Route(RouteMatch("prefix", f"/{name}"), ClusterAction(name), name) for name in ("a", "b"))
TABLE = RouteTable(RouteConfiguration("rc", (VirtualHost("v", ("*",), ROUTES),)))
POLICY = InternalRedirectPolicy()


def followed(
    location: str,
    policy: InternalRedirectPolicy = POLICY,
    *,
    asked: Request | None = None,
    redirects: Redirects | None = None,
    status: int = 302,
    more: tuple[tuple[bytes, bytes], ...] = (),
) -> RouteEntry | Refusal:
    response = Headers([(b"location", location.encode()), *more])
    found = asked or request("/a?q", authority="h")
    return (redirects or Redirects()).follow(policy, found, response, status=status, route="a", find=TABLE.match)


def name(found: RouteEntry | Refusal) -> str:
    assert isinstance(found, RouteEntry)
    return found.route.name


def test_the_request_that_follows() -> None:
    asked = request("/a?q", authority="h", headers=(("x", "1"),))
    assert name(followed("http://other:8/b/c?d#fragment", asked=asked)) == "b"
    assert (asked.method, asked.scheme, asked.authority, asked.path) == (b"GET", b"http", b"other:8", b"/b/c?d")
    assert asked.headers.items == [(b"x", b"1"), (b"x-envoy-original-url", b"http://h/a?q")]


@pytest.mark.parametrize(
    "location",
    ["", "/b", "http://", "http://a b/b", "http://u@h/b", "//h/b", "http://h#b", "http://h/b c", "http://h:65536/b"],
)
def test_locations_that_are_none(location: str) -> None:
    assert followed(location) is Refusal.BAD_LOCATION


@pytest.mark.parametrize("location", ["http://h/nowhere", "http://h", "http://h?b"])
def test_no_route(location: str) -> None:
    asked = request("/a?q", authority="h")
    assert followed(location, asked=asked) is Refusal.NO_ROUTE
    assert (asked.authority, asked.path, asked.headers.items) == (b"h", b"/a?q", [])


def test_another_scheme_only_if_allowed() -> None:
    allowed = InternalRedirectPolicy(cross_scheme=True)
    safely = InternalRedirectPolicy(cross_scheme=True, safe_cross_scheme=True)
    assert followed("https://h/b") is Refusal.UNSAFE_SCHEME
    assert followed("ftp://h/b", allowed) is Refusal.UNSAFE_SCHEME
    assert name(followed("HTTPS://h/b", allowed)) == "b"
    assert followed("https://h/b", safely) is Refusal.PREDICATE
    assert name(followed("http://h/b", safely, asked=request("/a", scheme="https"))) == "b"


def test_so_many_and_no_more() -> None:
    redirects, policy = Redirects(), InternalRedirectPolicy(max_redirects=2)
    for _ in range(2):
        assert name(followed("http://h/b", policy, redirects=redirects)) == "b"
    assert followed("http://h/b", policy, redirects=redirects) is Refusal.TOO_MANY_REDIRECTS


def test_the_same_way_only_once() -> None:
    redirects, policy = Redirects(), InternalRedirectPolicy(max_redirects=9, previous_routes=True)
    assert name(followed("http://h/b", policy, redirects=redirects)) == "b"
    assert name(followed("http://h/a", policy, redirects=redirects)) == "a"
    assert followed("http://h/b/again", policy, redirects=redirects) is Refusal.PREDICATE


def test_only_to_some_routes() -> None:
    policy = InternalRedirectPolicy(allowed_routes=frozenset({"b"}))
    assert name(followed("http://h/b", policy)) == "b"
    assert followed("http://h/a", policy) is Refusal.PREDICATE


@pytest.mark.parametrize(("status", "method"), [(303, b"GET"), (307, b"POST"), (302, b"POST")])
def test_see_other_is_asked_for_with_get(status: int, method: bytes) -> None:
    asked = request("/a", method="POST", headers=(("content-length", "0"),))
    assert name(followed("http://h/b", asked=asked, status=status)) == "b"
    assert asked.method == method
    assert (b"content-length" in asked.headers) is (method == b"POST")


def test_headers_are_copied_from_the_response() -> None:
    asked = request("/a", headers=(("x-old", "1"), ("x-set", "1")))
    policy = InternalRedirectPolicy(copied_headers=("x-set", "x-old"))
    followed("http://h/b", policy, asked=asked, more=((b"x-set", b"2"), (b"x-set", b"3"), (b"x-other", b"4")))
    assert asked.headers.items[:-1] == [(b"x-set", b"2"), (b"x-set", b"3")]
