"""Options of virtual hosts and connection managers about routing, on the real Envoy and on ours.

Compared are the answer, what the origin received, the line in the access log, and stats.
"""

from __future__ import annotations

import contextlib
import re
import string
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.envoy import Envoy
from tests.kit.origin import Origin
from tests.kit.parity import Pair, exchange, run_pair
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy
from tests.kit.routing import access_log, ask, head, logs, on
from tests.parity.rules import HCM, of

HOSTS = (
    virtual_host("tls", ["tls"], route("/", "origin")) | {"require_tls": "ALL"},
    virtual_host("external", ["external", "external:80"], route("/", "origin")) | {"require_tls": "EXTERNAL_ONLY"},
    virtual_host("attempts", ["attempts"], route("/nobody", "empty"), on("/direct", direct_response={"status": 200}),
                 on("/none", route={"cluster_header": "x-none"}), route("/", "origin"))
    | {"include_request_attempt_count": True, "include_attempt_count_in_response": True},
    virtual_host(
        "observed",
        ["observed"],
        on("/route", route={"cluster": "origin"}, stat_prefix="r"),
        on("/nobody", route={"cluster": "empty"}),
        on("/none", route={"cluster_header": "x"}, stat_prefix="none"),
        on("/direct", direct_response={"status": 200}, stat_prefix="direct"),
        on("/slow", route={"cluster": "origin", "timeout": "0.2s"}, stat_prefix="slow"),
        on("/rewritten", route={"cluster": "origin", "prefix_rewrite": "/users"}),
        on("/", route={"cluster": "origin"}),
    )
    | {
        "virtual_clusters": [
            {
                "name": "users",
                "headers": [
                    {"name": ":path", "string_match": {"prefix": "/users"}},
                    {"name": ":method", "string_match": {"exact": "GET"}},
                ],
            },
            {"name": "marked", "headers": [{"name": "x-mark"}]},
        ]
    },
    virtual_host(
        "connect", ["connect:80", "connect"], on({"connect_matcher": {}}, route={"cluster": "origin"}, name="c"),
        route("/", "origin"),
    ),
    virtual_host(
        "certificates",
        ["certificates"],
        *(
            on({"prefix": f"/{name}", "tls_context": options}, direct_response={"status": 200})
            for name, options in {
                "presented": {"presented": True},
                "none": {"presented": False},
                "validated": {"validated": True},
                "invalid": {"validated": False},
                "any": {},
            }.items()
        ),
    ),
)  # fmt: skip
ANY = virtual_host("any", ["*"], route("/", "origin"))
PARAMETERS = virtual_host(
    "parameters",
    ["*"],
    route({"path": "/a/b"}, "origin"),
    route({"safe_regex": {"regex": "/re/[a-z]+"}}, "origin"),
    route("/p/x", "origin", prefix_rewrite="/z"),
)
PATHS: dict[str, Fields] = {
    "kept": {},
    "normal": {"normalize_path": True},
    "merged": {"merge_slashes": True},
    "both": {"normalize_path": True, "merge_slashes": True},
    "reject": {"path_with_escaped_slashes_action": "REJECT_REQUEST"},
    "redirect": {"path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT"},
    "redirect-normal": {"path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT", "normalize_path": True},
    "forward": {"path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD", "normalize_path": True},
}
NAMES = virtual_host("names", ["h", "p.*", "*.s", "h:80"], route("/", "origin"))
AUTHORITIES: dict[str, tuple[Fields, Fields]] = {
    "strip-any": ({"strip_any_host_port": True}, {}),
    "strip-matching": ({"strip_matching_host_port": True}, {}),
    "dot": ({"strip_trailing_host_dot": True}, {}),
    "dot-and-port": ({"strip_trailing_host_dot": True, "strip_any_host_port": True}, {}),
    "ignore": ({}, {"ignore_port_in_host_matching": True}),
    "named": ({}, {"vhost_header": "X-Host"}),
}


def listener(name: str, *hosts: Fields, route_config: Fields | None = None, **hcm: Any) -> Fields:
    made = http_listener(*hosts, name=name, access_log=access_log(), **hcm)
    made["filter_chains"][0]["filters"][0]["typed_config"]["route_config"].update(route_config or {})
    return made


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Origin("origin") as origin:
        clusters = [static_cluster("origin", origin.ports["origin"]), static_cluster("empty")]
        listeners = [
            listener("hosts", *HOSTS),
            listener("parameters", PARAMETERS, route_config={"ignore_path_parameters_in_path_matching": True}),
            *(listener(f"path-{name}", ANY, **hcm) for name, hcm in PATHS.items()),
            *(listener(f"host-{name}", NAMES, route_config=rc, **hcm) for name, (hcm, rc) in AUTHORITIES.items()),
        ]
        with run_pair(bootstrap(listeners, clusters)) as running:
            yield running


@pytest.mark.parity(*of("config.route.v3.VirtualHost", "require_tls"))
@pytest.mark.parametrize("host", ["tls", "external", "external:80"])
@pytest.mark.parametrize("lines", [[], ["x-forwarded-proto: https"], ["x-envoy-internal: true"]])
def test_require_tls(pair: Pair, host: str, lines: list[str]) -> None:
    ask(pair, "hosts", head("/x?y", host, *lines))


@pytest.mark.parity(
    "rule 27", *of("config.route.v3.VirtualHost", "include_request_attempt_count", "include_attempt_count_in_response")
)
@pytest.mark.parametrize("target", ["/a", "/nobody", "/direct", "/none"])
@pytest.mark.parametrize("lines", [[], ["x-envoy-attempt-count: 7"]])
def test_attempt_counts(pair: Pair, target: str, lines: list[str]) -> None:
    ask(pair, "hosts", head(target, "attempts", *lines))


@pytest.mark.parity("rule 18", *of("config.route.v3.RouteMatch", "connect_matcher"))
@pytest.mark.parametrize(("target", "method"), [("connect:80", "CONNECT"), ("nobody:80", "CONNECT"), ("/", "GET")])
def test_connect_matcher(pair: Pair, target: str, method: str) -> None:
    ask(pair, "hosts", head(target, target if method == "CONNECT" else "connect", method=method))


@pytest.mark.parity(
    *of("config.route.v3.RouteMatch", "tls_context"),
    *of("config.route.v3.RouteMatch.TlsContextMatchOptions", "presented", "validated"),
)
@pytest.mark.parametrize("name", ["presented", "none", "validated", "invalid", "any"])
def test_tls_context(pair: Pair, name: str) -> None:
    ask(pair, "hosts", head(f"/{name}", "certificates"))


@pytest.mark.parity(*of("config.route.v3.RouteConfiguration", "ignore_path_parameters_in_path_matching"))
@pytest.mark.parametrize(
    "target",
    ["/a/b;x=1", "/a;x/b", "/a/b;x?q;y", "/a/b", "/a/bc", "/re/abc;d", "/re;x/abc", "/p/x;v=1/y", "/p;v/x", "/p/x/y;z"],
)
def test_path_parameters(pair: Pair, target: str) -> None:
    ask(pair, "parameters", head(target))


@pytest.mark.parity(
    "rule 12", "rule 13", *of(HCM, "normalize_path", "merge_slashes", "path_with_escaped_slashes_action")
)
@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize(
    "target",
    [
        *("/a/../b?c=/../d", "/a/./b", "/a//b", "//a", "/%41%7e%2F%5c", "/a%00", "/a?%00%2f", "/a%2fb", "/a%5Cb?%2f"),
        *("/a\\b", "/a/b/..", "/a/..", "/..", "/.", "/../../x", "/%2e%2e/x", "/a/%2E/b", "/a/.%2e/b", "/a/%2e%2E"),
        *("/a%zz", "/a%", "/a%4", "/a;b=c/../d", "/a/.", "/a/./", "/a/../", "/~%7E%2D%5F%2e", "/a//../b", "/a/b//"),
        *("/a///b//?x//y", "/...", "/.a/..b/", "/a..", "/a%2f..%2fb", "/a%2f%2e%2e/b", "/a%252fb", "/", "/?"),
        *("//", "///?q", "/a?"),
        "/" + "".join(c for c in string.printable if c.isprintable() and c not in " #?/\\%"),
        "/" + "".join(f"%{code:02x}" for code in range(1, 256)),
    ],
)
def test_path(pair: Pair, name: str, target: str) -> None:
    ask(pair, f"path-{name}", head(target))


@pytest.mark.parity(
    "rule 2",
    *of(HCM, "strip_any_host_port", "strip_matching_host_port", "strip_trailing_host_dot"),
    *of("config.route.v3.RouteConfiguration", "ignore_port_in_host_matching"),
)
@pytest.mark.parametrize("name", AUTHORITIES)
@pytest.mark.parametrize(
    "host",
    ["h", "h:80", "h:{port}", "h.", "h.:80", "H:99", "[::1]:80", "h:", "p.x:9", "x.s:9", "x.s.:9", "h..", "h:080"],
)
def test_host(pair: Pair, name: str, host: str) -> None:
    listener = f"host-{name}"
    data = [head("/", host.format(port=proxy.address(listener)[1])) for proxy in (pair.envoy, pair.ours)]
    if "{port}" not in host:
        ask(pair, listener, data[0])
        return
    theirs, ours = (
        exchange(proxy.address(listener), one) for proxy, one in zip((pair.envoy, pair.ours), data, strict=True)
    )
    assert ours.status == theirs.status
    if ours.status == 200:
        hosts = [dict(answer.echo["headers"])["host"] for answer in (theirs, ours)]
        assert len({host.rpartition(":")[0] or host for host in hosts}) == 1


@pytest.mark.parity(*of("config.route.v3.RouteConfiguration", "vhost_header"))
@pytest.mark.parametrize("lines", [["x-host: h"], ["x-host: nobody"], ["x-host: a.s", "x-host: nobody"], []])
def test_host_of_a_header(pair: Pair, lines: list[str]) -> None:
    ask(pair, "host-named", head("/", "h", *lines))


COUNTED = re.compile(r"vhost\..*|http\.path-[a-z-]+\.downstream_rq_(failed_path|redirected_with).*")


def counters(proxy: Envoy | Proxy) -> dict[str, int]:
    found = {}
    for line in proxy.admin("/stats?type=Counters").body.decode().splitlines():
        name, _, value = line.partition(": ")
        if COUNTED.fullmatch(name):
            found[name] = int(value)
    return found


@pytest.mark.parity(
    "rule 52",
    *of("config.route.v3.VirtualHost", "virtual_clusters"),
    *of("config.route.v3.VirtualCluster", "name", "headers"),
    *of("config.route.v3.Route", "stat_prefix"),
)
def test_stats(pair: Pair) -> None:
    for data in (
        head("/users/1", "observed"),
        head("/users/2?status=503", "observed", "x-mark: 1"),
        head("/users/3", "observed", "x-mark: 1", method="DELETE"),
        head("/route", "observed"),
        head("/route?status=404", "observed", "x-mark: 1"),
        head("/nobody", "observed"),
        head("/none", "observed"),
        head("/direct", "observed"),
        head("/rewritten", "observed"),
        head("/other", "observed"),
        head("/slow?delay=1", "observed"),
    ):
        pair.send(data, listener="hosts")
    for name in PATHS:
        for target in ("/a%00", "/a%2fb", "/a"):
            pair.send(head(target), listener=f"path-{name}")

    with contextlib.suppress(AssertionError):  # workers write their counters at leisure
        wait_for(lambda: counters(pair.ours) == counters(pair.envoy), deadline=5, what="equal counters")
    assert counters(pair.ours) == counters(pair.envoy)
    assert counters(pair.envoy)["vhost.observed.vcluster.users.upstream_rq_2xx"] > 0


@pytest.mark.parity("rule 2", "rule 12", "rule 13")
def test_access_log(pair: Pair) -> None:
    pair.send(head("/a/../b", "h"), listener="path-normal")
    pair.send(head("/", "h:80"), listener="host-strip-any")
    theirs, ours = logs(pair)
    hidden = re.compile(r"h:\d{4,5}")
    assert [hidden.sub("h:PORT", line) for line in ours] == [hidden.sub("h:PORT", line) for line in theirs]
