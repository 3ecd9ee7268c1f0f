"""Redirects that the proxy follows itself, on the real Envoy and on ours.

Compared are the answer, what the origin received in the end, the lines in the access log, and stats.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, static_cluster, virtual_host
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair
from tests.kit.routing import add, ask, head, on
from tests.parity.rules import of

PREDICATES = "type.googleapis.com/envoy.extensions.internal_redirect"


def predicate(kind: str, **fields: Any) -> Fields:
    return {"name": kind, "typed_config": {"@type": f"{PREDICATES}.{kind}", **fields}}


PREVIOUS = predicate("previous_routes.v3.PreviousRoutesConfig")
ALLOWED = predicate("allow_listed_routes.v3.AllowListedRoutesConfig", allowed_route_names=["end", "hop"])
SAFE = predicate("safe_cross_scheme.v3.SafeCrossSchemeConfig")
POLICIES: dict[str, Fields] = {
    "default": {},
    "none": {"max_internal_redirects": 0},
    "three": {"max_internal_redirects": 3},
    "codes": {"redirect_response_codes": [301, 303, 307, 308]},
    "cross": {"allow_cross_scheme_redirect": True},
    "safe": {"allow_cross_scheme_redirect": True, "predicates": [SAFE]},
    "previous": {"max_internal_redirects": 9, "predicates": [PREVIOUS]},
    "allowed": {"predicates": [ALLOWED]},
    "copies": {"response_headers_to_copy": ["x-set", "x-absent"]},
}


def forward(**action: Any) -> Fields:
    return {"cluster": "origin", **action}


ROUTES = (
    *(on(f"/{name}/", route=forward(internal_redirect_policy=policy), name=name) for name, policy in POLICIES.items()),
    on("/deprecated/", route=forward(internal_redirect_action="HANDLE_INTERNAL_REDIRECT", max_internal_redirects=2)),
    on("/pass/", route=forward(internal_redirect_action="PASS_THROUGH_INTERNAL_REDIRECT")),
    on("/rewritten/", route=forward(internal_redirect_policy={}, prefix_rewrite="/new/", host_rewrite_literal="new"),
       request_headers_to_add=[add("x-added", "%REQ(:PATH)%")], response_headers_to_add=[add("x-down", "1")]),
    on("/retried/", route=forward(internal_redirect_policy={}, retry_policy={"retry_on": "5xx", "num_retries": 1})),
    on("/small/", route=forward(internal_redirect_policy={}), request_body_buffer_limit=10),
    on("/hop/", route=forward(internal_redirect_policy={"max_internal_redirects": 9}), name="hop"),
    on("/direct/", direct_response={"status": 418, "body": {"inline_string": "direct"}}, name="direct"),
    on("/redirect/", redirect={"path_redirect": "/elsewhere"}),
    on("/nobody/", route={"cluster": "nobody"}),
    on("/end/", route=forward(), name="end"),
)  # fmt: skip
OTHERWISE = {
    r"cluster\.origin\.upstream_(rq_pending_total|cx_(http1_)?total|cx_active)": (
        "Envoy opens another connection for the request that follows: the first one comes free a moment later"
    )
}
OTHER = virtual_host("other", ["other"], on("/", route=forward(), response_headers_to_add=[add("x-other", "1")]))


def to(location: str, status: int = 302, *more: str) -> str:
    """A script of the origin: the redirect to `location`, with `more` headers."""
    headers = "".join(f"&header={quote(line)}" for line in more)
    return f"?status={status}&body=0&header={quote('location:' + location)}{headers}"


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Origin("origin") as origin:
        listener = http_listener(virtual_host("v", ["*"], *ROUTES), OTHER, name="main", via="hop")
        clusters = [
            static_cluster("origin", origin.ports["origin"]),
            static_cluster("nobody"),
            static_cluster("apart", origin.ports["origin"]),
        ]
        with run_pair(bootstrap([listener], clusters), otherwise=OTHERWISE) as running:
            yield running


@pytest.mark.parity(
    *of("config.route.v3.RouteAction", "internal_redirect_policy", "internal_redirect_action", "max_internal_redirects")
)
@pytest.mark.parametrize("route", [*POLICIES, "deprecated", "pass", "rewritten", "retried", "small"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_followed_or_not(pair: Pair, route: str, method: str) -> None:
    ask(pair, "main", head(f"/{route}/" + to("http://other/end/?x=1"), "a", "x-mine: 1", method=method))


@pytest.mark.parity("config.route.v3.InternalRedirectPolicy.redirect_response_codes")
@pytest.mark.parametrize("route", ["default", "codes"])
@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 200])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_codes(pair: Pair, route: str, status: int, method: str) -> None:
    ask(pair, "main", head(f"/{route}/" + to("http://other/end/", status), "a", method=method))


@pytest.mark.parity("config.route.v3.RouteAction.internal_redirect_policy")
@pytest.mark.parametrize(
    "location",
    ["", "/end/", "//other/end/", "http://", "http:///end/", "ftp://other/end/", "http://other", "http://other?q",
     "http://other#f", "http://other/end/%20?", "http://other/a b", "http://other:99999/", "http://[::1]/end/",
     "ws://other/", "http://other/end/#fragment", "http://other:81/end/", "HTTP://OTHER/end/", "https://other/end/",
     "other/end/", "http://other/end/?a=b&c=http://x/", "http://b/direct/x", "http://b/redirect/x",
     "http://b/nobody/x", "http://b/nothing"],
)  # fmt: skip
def test_locations(pair: Pair, location: str) -> None:
    ask(pair, "main", head("/default/" + to(location), "a"))


@pytest.mark.parity("config.route.v3.RouteAction.internal_redirect_policy")
def test_without_location(pair: Pair) -> None:
    ask(pair, "main", head("/default/?status=302&body=3", "a"))


@pytest.mark.parity("config.route.v3.InternalRedirectPolicy.allow_cross_scheme_redirect")
@pytest.mark.parametrize("route", ["default", "cross", "safe"])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("lines", [(), ("x-forwarded-proto: https",)])
def test_schemes(pair: Pair, route: str, scheme: str, lines: tuple[str, ...]) -> None:
    ask(pair, "main", head(f"/{route}/" + to(f"{scheme}://other/end/"), "a", *lines))


def chain(*routes: str) -> str:
    """A target that is redirected from route to route, each hop spelled in the one before."""
    target = "http://h/end/"
    for route in reversed(routes):
        target = f"http://h/{route}/" + to(target)
    return target.removeprefix("http://h")


@pytest.mark.parity(
    *of("config.route.v3.InternalRedirectPolicy", "max_internal_redirects", "predicates"),
    "extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig.allowed_route_names",
)
@pytest.mark.parametrize(
    "routes",
    [
        ("default", "default"),
        ("hop",),
        ("hop", "hop", "hop", "hop"),
        ("three", "three", "three", "three"),
        ("hop", "hop", "default"),
        ("previous", "hop", "previous"),
        ("previous", "previous"),
        ("previous", "previous", "previous"),
        ("previous", "hop", "previous", "hop"),
        ("allowed", "hop"),
        ("allowed", "three"),
        ("allowed",),
        ("deprecated", "deprecated", "deprecated"),
    ],
)
def test_chains(pair: Pair, routes: tuple[str, ...]) -> None:
    ask(pair, "main", head(chain(*routes), "a"))


@pytest.mark.parity("config.route.v3.InternalRedirectPolicy.response_headers_to_copy")
@pytest.mark.parametrize("lines", [(), ("x-set: mine", "x-absent: mine", "x-set: two")])
@pytest.mark.parametrize("more", [(), ("x-set:theirs",), ("x-set:one", "x-set:two", "x-other:1")])
def test_copied_headers(pair: Pair, lines: tuple[str, ...], more: tuple[str, ...]) -> None:
    ask(pair, "main", head("/copies/" + to("http://other/end/", 302, *more), "a", *lines))


@pytest.mark.parity(
    "config.route.v3.RouteAction.internal_redirect_policy", "config.route.v3.Route.request_body_buffer_limit"
)
@pytest.mark.parametrize("route", ["default", "codes", "small", "retried"])
@pytest.mark.parametrize("status", [302, 303, 307])
@pytest.mark.parametrize("size", [0, 10, 11, 40_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies(pair: Pair, route: str, status: int, size: int, chunked: bool) -> None:
    target, body = f"/{route}/" + to("http://other/end/", status), b"b" * size
    if chunked:
        data = head(target, "a", "Transfer-Encoding: chunked", method="POST")
        data += (b"%x\r\n%b\r\n" % (size, body) if size else b"") + b"0\r\n\r\n"
    else:
        data = head(target, "a", f"Content-Length: {size}", method="POST") + body
    ask(pair, "main", data)
