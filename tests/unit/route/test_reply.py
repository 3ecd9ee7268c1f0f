"""Routes that answer themselves. (tests/parity/test_route_actions.py compares locations with Envoy's.)"""

from __future__ import annotations

import pytest

from proxy.config.route import DirectResponseAction, PathRewrite, RedirectAction, RouteMatch
from proxy.errors import ProxyError
from proxy.route.reply import compile_reply, require_tls
from tests.unit.route.requests import request

ANY = RouteMatch("prefix", "/")
HTTP = ("x-forwarded-proto", "http")


def reply(
    action: DirectResponseAction | RedirectAction, path: str = "/a?b", authority: str = "h", match: RouteMatch = ANY
) -> ProxyError:
    return compile_reply(action, match)(request(path, authority=authority, headers=(HTTP,)), True)


def location(error: ProxyError) -> bytes:
    ((name, value),) = error.headers
    assert name == b"location"
    return value


@pytest.mark.parametrize(
    ("action", "authority", "expected"),
    [
        (RedirectAction(scheme="https"), "h:80", b"https://h/a?b"),
        (RedirectAction(scheme="https"), "h:81", b"https://h:81/a?b"),
        (RedirectAction(scheme="https"), "[::1]:80", b"https://[::1]/a?b"),
        (RedirectAction(scheme="https"), "[::1]", b"https://[::1]/a?b"),
        (RedirectAction(), "h:80", b"http://h:80/a?b"),
        (RedirectAction(host="n"), "h:80", b"http://n/a?b"),
        (RedirectAction(host="n", port=8), "h:80", b"http://n:8/a?b"),
        (RedirectAction(port=8), "h:80", b"http://h:8/a?b"),
        (RedirectAction(path="/n"), "h", b"http://h/n?b"),
        (RedirectAction(path="/n?c", strip_query=True), "h", b"http://h/n?c"),
        (RedirectAction(path="/n", strip_query=True), "h", b"http://h/n"),
        (RedirectAction(path_rewrite=PathRewrite("prefix", "/n/")), "h", b"http://h/n/a?b"),
    ],
)
def test_location(action: RedirectAction, authority: str, expected: bytes) -> None:
    error = reply(action, authority=authority)
    assert location(error) == expected
    assert (error.status, error.detail) == (301, "direct_response")


def test_a_rewritten_redirect_shows_in_the_log() -> None:
    asked = request("/a?b")
    compile_reply(RedirectAction(path_rewrite=PathRewrite("prefix", "/n/")), ANY)(asked, True)
    assert (asked.path, asked.headers.get(b"x-envoy-original-path")) == (b"/n/a?b", b"/a?b")


@pytest.mark.parametrize("status", [201, 300, 399])
def test_some_direct_responses_say_where(status: int) -> None:
    assert location(reply(DirectResponseAction(status))) == b"http://h/a?b"


def test_others_do_not() -> None:
    error = reply(DirectResponseAction(200, b"x"))
    assert (error.status, error.body, error.headers) == (200, b"x", ())


def test_tls_is_required_on_the_same_port() -> None:
    assert location(require_tls(request("/a?b", authority="h:80"))) == b"https://h:80/a?b"
