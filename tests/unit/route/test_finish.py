"""The last edits of a route: their order, and whether they follow from header lines alone."""

from __future__ import annotations

import pytest

from proxy.config.header_mutation import HeaderMutations, Mutation
from proxy.config.route import (
    ClusterAction,
    ClusterWeight,
    HostRewrite,
    PathRewrite,
    Route,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from proxy.filters.header_edits import RouteEdits
from proxy.http.headers import Headers
from proxy.http.stream_info import StreamInfo
from proxy.route.entry import RouteEntry
from tests.unit.route.requests import request


def level(value: str) -> HeaderMutations:
    mutation = Mutation(b"x", "APPEND_IF_EXISTS_OR_ADD", value)
    return HeaderMutations(request=(mutation,), response=(mutation,))


def entry(action: ClusterAction, *, share: bool = False, most_specific: bool = False, **host: object) -> RouteEntry:
    route = Route(RouteMatch("prefix", "/"), action, header_mutations=level("route"))
    virtual_host = VirtualHost("v", ("*",), (route,), header_mutations=level("host"), **host)  # type: ignore[arg-type]
    config = RouteConfiguration(
        "r", (virtual_host,), header_mutations=level("config"), most_specific_wins=most_specific
    )
    one = ClusterWeight("c", 1, header_mutations=level("%REQ(:AUTHORITY)%"), host="share") if share else None
    return RouteEntry(config, virtual_host, route, one, RouteEdits())


@pytest.mark.parametrize(
    ("most_specific", "expected"),
    [(False, [b"old", b"route", b"host", b"config"]), (True, [b"old", b"config", b"host", b"route"])],
)
def test_the_order_of_levels(most_specific: bool, expected: list[bytes]) -> None:
    found = entry(ClusterAction("c"), share=True, most_specific=most_specific)
    asked, headers, info = request(authority="old"), Headers(), StreamInfo(0.0)
    info.request = asked
    assert found.finish_request is not None
    assert found.finish_response is not None
    found.finish_request(asked, info, True)
    assert asked.headers.get_all(b"x") == expected
    assert asked.authority == b"share"
    found.finish_response(headers, info)
    assert headers.get_all(b"x") == [b"share", *expected[1:]]


def test_attempt_counts() -> None:
    found = entry(ClusterAction("c"), request_attempt_count=True, response_attempt_count=True)
    asked, headers, info = request(headers=(("x-envoy-attempt-count", "7"),)), Headers(), StreamInfo(0.0)
    assert found.finish_request is not None
    assert found.finish_response is not None
    found.finish_request(asked, info, True)
    assert asked.headers.get_all(b"x-envoy-attempt-count") == [b"1"]
    found.finish_response(headers, info)
    assert b"x-envoy-attempt-count" not in headers  # a reply before any attempt
    info.upstream_attempts = 3
    found.finish_response(headers, info)
    assert headers.get(b"x-envoy-attempt-count") == b"3"


@pytest.mark.parametrize(
    ("action", "by_head"),
    [
        (ClusterAction("c"), True),
        (ClusterAction("", cluster_header="x-c"), True),
        (ClusterAction("", cluster_header=":path"), False),
        (ClusterAction("c", host_rewrite=HostRewrite("literal", "h")), True),
        (ClusterAction("c", host_rewrite=HostRewrite("header", "x")), True),
        (ClusterAction("c", host_rewrite=HostRewrite("header", ":path")), False),
        (ClusterAction("c", host_rewrite=HostRewrite("path_regex", "h", ".*")), False),
        (ClusterAction("c", host_rewrite=HostRewrite("auto")), False),
        (ClusterAction("c", path_rewrite=PathRewrite("prefix", "/")), True),
    ],
)
def test_what_the_express_lane_may_serve(action: ClusterAction, by_head: bool) -> None:
    assert entry(action).by_head is by_head


def test_a_plain_route_has_nothing_to_finish() -> None:
    route = Route(RouteMatch("prefix", "/"), ClusterAction("c"))
    host = VirtualHost("v", ("*",), (route,))
    found = RouteEntry(RouteConfiguration("r", (host,)), host, route)
    assert (found.finish_request, found.finish_response, found.reply, found.by_head) == (None, None, None, True)
    assert found.rewrite_path is None
