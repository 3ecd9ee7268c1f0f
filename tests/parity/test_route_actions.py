"""What routes do with requests, on the real Envoy and on ours: redirects, rewrites, header mutations, named clusters.

Compared are the answer, what the origin received, and the line in the access log.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, socket_address, static_cluster, virtual_host
from tests.kit.origin import Origin
from tests.kit.parity import Answers, Pair, run_pair
from tests.kit.routing import access_log, add, ask, head, logs, on, regex
from tests.parity.rules import of

OVER = "OVERWRITE_IF_EXISTS_OR_ADD"
EXTENSIONS = "type.googleapis.com/envoy.extensions.path"


def levels(what: str) -> Fields:
    """Mutations of one level, which tell its name."""
    both = [add("x-level", what), add("x-over", what, OVER)]
    return {
        "request_headers_to_add": both,
        "response_headers_to_add": both,
        "request_headers_to_remove": [f"x-gone-{what}"],
        "response_headers_to_remove": [f"x-gone-{what}"],
    }


def template(path: str) -> Fields:
    config = {"@type": f"{EXTENSIONS}.match.uri_template.v3.UriTemplateMatchConfig", "path_template": path}
    return {"path_match_policy": {"name": "template", "typed_config": config}}


def rewritten(path: str) -> Fields:
    config = {"@type": f"{EXTENSIONS}.rewrite.uri_template.v3.UriTemplateRewriteConfig", "path_template_rewrite": path}
    return {"path_rewrite_policy": {"name": "template", "typed_config": config}}


REDIRECTS = virtual_host(
    "redirects",
    ["*"],
    on("/https-port", redirect={"https_redirect": True, "port_redirect": 443}),
    on("/https", redirect={"https_redirect": True}, name="secure"),
    on("/scheme", redirect={"scheme_redirect": "ftp"}),
    on("/host", redirect={"host_redirect": "h.test"}),
    on("/port", redirect={"port_redirect": 8443}),
    on("/path-query", redirect={"path_redirect": "/new?a=b", "strip_query": True}),
    on("/path", redirect={"path_redirect": "/new"}),
    on("/prefix/", redirect={"prefix_rewrite": "/x/"}),
    on({"path": "/exact"}, redirect={"prefix_rewrite": "/y"}),
    on({"safe_regex": {"regex": "/whole.*"}}, redirect={"prefix_rewrite": "/z"}),
    on("/regex", redirect={"regex_rewrite": regex("/r(e+)", r"/\1")}),
    on("/strip", redirect={"host_redirect": "h.test", "strip_query": True, "response_code": "PERMANENT_REDIRECT"}),
    on("/found", redirect={"response_code": "FOUND"}),
    on("/other", redirect={"response_code": "SEE_OTHER"}),
    on("/temporary", redirect={"response_code": "TEMPORARY_REDIRECT"}, **levels("route")),
    on("/plain", redirect={}),
)
REWRITES = virtual_host(
    "rewrites",
    ["*"],
    route("/api/", "origin", prefix_rewrite="/"),
    route({"path": "/exact"}, "origin", prefix_rewrite="/longer"),
    route({"path_separated_prefix": "/sep"}, "origin", prefix_rewrite="/s"),
    route({"safe_regex": {"regex": "/whole.*"}}, "origin", prefix_rewrite="/w"),
    route({"prefix": "/CASE", "case_sensitive": False}, "origin", prefix_rewrite="/low"),
    route("/regex", "origin", regex_rewrite=regex("/r([a-z]*)", r"/\1-\0\\")),
    route("/empty", "origin", regex_rewrite=regex("m*", "/")),
    route("/cut/", "origin", regex_rewrite=regex("^/cut/", "")),
    route("/nothing", "origin", regex_rewrite=regex("xyz", "-")),
    route(template("/t/{first}/x/{rest=**}"), "origin", **rewritten("/{rest}/y/{first}")),
    route(template("/u/*/{a=b/*}.html"), "origin", **rewritten("/{a}")),
    route(template("/v/{name}"), "origin"),
    route(template("/x{mid=**}y/z"), "origin", **rewritten("/{mid}-{mid}")),
    on("/of-authority", route={"cluster_header": ":authority"}),
    on("/of-method", route={"cluster_header": ":method"}),
    route("/literal", "origin", host_rewrite_literal="new.test:80"),
    route("/forwarded", "origin", host_rewrite_literal="new.test", append_x_forwarded_host=True),
    route("/header", "origin", host_rewrite_header="X-Host", append_x_forwarded_host=True),
    route("/of-path/", "origin", host_rewrite_path_regex=regex("/of-path/([^/]*).*", r"\1.test")),
    route("/auto", "named", auto_host_rewrite=True, append_x_forwarded_host=True),
    route("/nameless", "origin", auto_host_rewrite=True),
    route("/nobody", "empty", prefix_rewrite="/gone", host_rewrite_literal="new.test"),
    on("/by-header", route={"cluster_header": "x-cluster"}, **levels("route")),
    on("/not-found", route={"cluster_header": "x-cluster", "cluster_not_found_response_code": "NOT_FOUND"}),
    on("/error", route={"cluster_header": "x-cluster", "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR"}),
    on(
        "/weighted",
        route={
            "weighted_clusters": {
                "clusters": [{"name": "origin", "weight": 1, "host_rewrite_literal": "w.test", **levels("weighted")}]
            },
            "host_rewrite_literal": "new.test",
            "append_x_forwarded_host": True,
        },
        **levels("route"),
    ),
    on(
        "/share",
        route={
            "weighted_clusters": {
                "clusters": [{"name": "origin", "weight": 1, "host_rewrite_literal": "w.test"}],
            }
        },
        request_headers_to_add=[add("x-seen", "%REQ(:AUTHORITY)%")],
    ),
    on(
        "/drawn",
        route={
            "weighted_clusters": {
                "header_name": "x-number",
                "clusters": [
                    {"name": "origin", "weight": 5, "request_headers_to_add": [add("x-which", "first")]},
                    {"cluster_header": "x-cluster", "weight": 5, "request_headers_to_add": [add("x-which", "second")]},
                ],
            }
        },
    ),
) | levels("host")
MUTATIONS = virtual_host(
    "mutations",
    ["*"],
    on(
        "/batch",
        route={"cluster": "origin"},
        request_headers_to_add=[
            add("x-nothing", "%REQ(x-none)%"),
            add("x-nothing-kept", "%REQ(x-none)%", keep_empty_value=True),
            add("x-empty", "", keep_empty_value=True),
            add("User-Agent", "ours", OVER),
            add("x-once", "1", "ADD_IF_ABSENT"),
            add("x-once", "2", "ADD_IF_ABSENT"),
            add("x-twice", "1", OVER),
            add("x-twice", "2", OVER),
            add("x-theirs", "more"),
            add("x-theirs", "none", "ADD_IF_ABSENT"),
            add("x-exists", "new", "OVERWRITE_IF_EXISTS"),
            add("x-absent", "new", "OVERWRITE_IF_EXISTS"),
            add("x-operators", "%REQ(x-gone)%|%REQ(:PATH)%|%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%|%PROTOCOL%|100%%"),
        ],
        request_headers_to_remove=["x-gone", "X-Cap", "x-once"],
    ),
    on(
        "/response",
        route={"cluster": "origin"},
        response_headers_to_add=[
            add("x-status", "%RESPONSE_CODE%|%RESP(x-a)%|%REQ(x-theirs)%"),
            add("server", "mine", OVER),
            add("content-type", "text/plain", OVER),
        ],
        response_headers_to_remove=["x-b", "x-envoy-upstream-service-time"],
    ),
    on("/direct", direct_response={"status": 200, "body": {"inline_string": "hello"}}, **levels("route")),
    on(
        "/typed",
        direct_response={"status": 200, "body": {"inline_string": "{}"}},
        response_headers_to_add=[add("content-type", "application/json")],
        response_headers_to_remove=["content-length"],
    ),
    on("/created", direct_response={"status": 201, "body": {"inline_string": "made"}}, **levels("route")),
    on("/nobody", route={"cluster": "empty"}, **levels("route")),
    on(
        "/weighted",
        route={"weighted_clusters": {"clusters": [{"name": "origin", "weight": 1, **levels("weighted")}]}},
        **levels("route"),
    ),
    on("/", route={"cluster": "origin"}, **levels("route")),
) | levels("host")


def listener(name: str, host: Fields, **route_config: object) -> Fields:
    made = http_listener(host, name=name, access_log=access_log())
    made["filter_chains"][0]["filters"][0]["typed_config"]["route_config"].update(route_config)
    return made


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Origin("origin") as origin:
        port = origin.ports["origin"]
        named = static_cluster("named", port)
        named["load_assignment"]["endpoints"] = [
            {"lb_endpoints": [{"endpoint": {"hostname": "host.test", "address": socket_address("127.0.0.1", port)}}]}
        ]
        clusters = [static_cluster("origin", port), static_cluster("empty"), named]
        listeners = [
            listener("redirects", REDIRECTS, **levels("config")),
            listener("rewrites", REWRITES, **levels("config")),
            listener("mutations", MUTATIONS, **levels("config")),
            listener("specific", MUTATIONS, **levels("config"), most_specific_header_mutations_wins=True),
        ]
        with run_pair(bootstrap(listeners, clusters)) as running:
            yield running


def location(answers: Answers) -> list[str]:
    return answers.ours.only.values("location")


@pytest.mark.parity(
    "rule 8",
    *of(
        "config.route.v3.RedirectAction",
        "https_redirect",
        "scheme_redirect",
        "host_redirect",
        "port_redirect",
        "path_redirect",
        "prefix_rewrite",
        "regex_rewrite",
        "strip_query",
        "response_code",
    ),
)
@pytest.mark.parametrize(
    ("target", "host", "lines"),
    [
        ("/https", "o.test:99", []),
        ("/https", "o.test:80", []),
        ("/https?q", "o.test", []),
        ("/https", "[::1]:80", []),
        ("/https", "[::1]", []),
        ("/https", "o.test:80", ["x-forwarded-proto: https"]),
        ("/https", "o.test:443", ["x-forwarded-proto: https"]),
        ("/https-port", "o.test:99", []),
        ("/scheme?q=1", "o.test:99", []),
        ("/scheme", "o.test:443", ["x-forwarded-proto: https"]),
        ("/host?q", "o.test:99", []),
        ("/port", "o.test:99", []),
        ("/port", "o.test", []),
        ("/path?x=y", "o.test", []),
        ("/path", "o.test", []),
        ("/path-query?x=y", "o.test", []),
        ("/prefix/a?b", "o.test", []),
        ("/exact?q", "o.test", []),
        ("/whole/of/it?q", "o.test", []),
        ("/regex/reee?/re", "o.test", []),
        ("/strip?x=1", "o.test", []),
        ("/found", "o.test", []),
        ("/other", "o.test", []),
        ("/temporary", "o.test", []),
        ("/plain/x?y", "o.test:80", []),
    ],
)
def test_redirect(pair: Pair, target: str, host: str, lines: list[str]) -> None:
    assert location(ask(pair, "redirects", head(target, host, *lines)))


@pytest.mark.parity("rule 8")
def test_redirect_of_head(pair: Pair) -> None:
    ask(pair, "redirects", head("/https", method="HEAD"))


THEIRS = (
    "x-forwarded-host: f.test",
    "x-over: mine",
    "user-agent: me",
    "x-envoy-original-path: /forged",
    "x-envoy-original-host: forged",
)


@pytest.mark.parity(
    "rule 5",
    "rule 6",
    "rule 7",
    *of(
        "config.route.v3.RouteAction",
        "prefix_rewrite",
        "regex_rewrite",
        "path_rewrite_policy",
        "host_rewrite_literal",
        "host_rewrite_header",
        "host_rewrite_path_regex",
        "auto_host_rewrite",
        "append_x_forwarded_host",
    ),
    *of("config.route.v3.RouteMatch", "path_match_policy"),
    *of("extensions.path.match.uri_template.v3.UriTemplateMatchConfig", "path_template"),
    *of("extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig", "path_template_rewrite"),
    *of("type.matcher.v3.RegexMatchAndSubstitute", "pattern", "substitution"),
)
@pytest.mark.parametrize("lines", [(), THEIRS], ids=["", "theirs"])
@pytest.mark.parametrize(
    "target",
    [
        *("/api/x?q=1", "/api//x", "/api/", "/exact?q=1", "/exact", "/sep", "/sep/x?y", "/whole/foo?z", "/cASE/x"),
        *("/regexa/rb?/rq", "/regex", "/emptymx?mm", "/nothing?q"),
        *("/t/1/x/2/3?q", "/t/1/x/", "/t/1/x", "/t//x/2", "/t/%20;a/x/b", "/u/1/b/2.html?q", "/u/1/b/2.htm", "/v/a/b"),
        *("/v/a=b", "/v/a%2Fb", "/v/a*b", "/v/a[b", "/xa/by/z?q", "/xy/z", "/of-method"),
        *("/literal", "/forwarded", "/header", "/of-path/foo/bar?z", "/of-path/", "/auto", "/nameless", "/nobody"),
        *("/by-header", "/not-found", "/error", "/weighted", "/share", "/none"),
    ],
)
def test_rewrite(pair: Pair, target: str, lines: tuple[str, ...]) -> None:
    ask(pair, "rewrites", head(target, "o.test", *lines))


@pytest.mark.parity("rule 68")
def test_a_path_without_its_slash_goes_to_nobody() -> None:
    with Origin("origin") as origin:
        clusters = [static_cluster("origin", origin.ports["origin"]), static_cluster("empty"), static_cluster("named")]
        with run_pair(bootstrap([listener("rewrites", REWRITES)], clusters), apart="a deviation") as pair:
            theirs, ours = pair.send(head("/cut/x"), listener="rewrites")
    assert theirs.echo["target"] == "x"
    assert ours.status == 400


@pytest.mark.parity("rule 7", *of("config.route.v3.RouteAction", "host_rewrite_header", "append_x_forwarded_host"))
@pytest.mark.parametrize(
    "lines",
    [
        ["x-host: new.test"],
        ["x-host: a.test", "x-host: b.test"],
        ["x-host:"],
        ["x-host: nn", "x-forwarded-host: o.test"],
        ["x-host: nn", "x-forwarded-host: a, o.test"],
        ["x-host: nn", "x-forwarded-host: a.o.test"],
        ["x-host: nn", "x-forwarded-host: O.TEST"],
        ["x-host: nn", "x-forwarded-host: o.test,b"],
    ],
)
def test_host_of_a_header(pair: Pair, lines: list[str]) -> None:
    ask(pair, "rewrites", head("/header", "o.test", *lines))


@pytest.mark.parity(*of("config.route.v3.RouteAction", "cluster_header", "cluster_not_found_response_code"))
@pytest.mark.parametrize("target", ["/by-header", "/not-found", "/error"])
@pytest.mark.parametrize("value", ["origin", "nowhere", ""])
def test_cluster_of_a_header(pair: Pair, target: str, value: str) -> None:
    ask(pair, "rewrites", head(target, "o.test", f"x-cluster: {value}"))


@pytest.mark.parity(*of("config.route.v3.RouteAction", "cluster_header"))
@pytest.mark.parametrize("host", ["origin", "nowhere"])
def test_cluster_of_the_authority(pair: Pair, host: str) -> None:
    ask(pair, "rewrites", head("/of-authority", host))


@pytest.mark.parity(
    *of("config.route.v3.WeightedCluster", "header_name", "clusters"),
    *of("config.route.v3.WeightedCluster.ClusterWeight", "name", "weight", "cluster_header", "request_headers_to_add"),
)
@pytest.mark.parametrize("number", ["0", "4", "5", "9", "10", "18446744073709551615"])
def test_number_of_a_header(pair: Pair, number: str) -> None:
    ask(pair, "rewrites", head("/drawn", "o.test", f"x-number: {number}", "x-cluster: origin"))


@pytest.mark.parity(*of("config.route.v3.WeightedCluster.ClusterWeight", "cluster_header"))
def test_no_cluster_of_a_share(pair: Pair) -> None:
    assert ask(pair, "rewrites", head("/drawn", "o.test", "x-number: 7")).ours.status == 503


RICH = (
    "x-gone: 1",
    "x-cap: 1",
    "x-once: old",
    "x-theirs: old",
    "x-exists: a",
    "x-exists: b",
    "user-agent: me",
    "x-level: mine",
    "x-over: mine",
    "x-gone-host: 1",
    "x-gone-config: 1",
)


@pytest.mark.parity(
    "rule 9",
    "rule 10",
    "rule 11",
    *of(
        "config.route.v3.Route",
        "request_headers_to_add",
        "request_headers_to_remove",
        "response_headers_to_add",
        "response_headers_to_remove",
    ),
    *of(
        "config.route.v3.VirtualHost",
        "request_headers_to_add",
        "request_headers_to_remove",
        "response_headers_to_add",
        "response_headers_to_remove",
    ),
    *of(
        "config.route.v3.RouteConfiguration",
        "request_headers_to_add",
        "request_headers_to_remove",
        "response_headers_to_add",
        "response_headers_to_remove",
    ),
    *of(
        "config.route.v3.WeightedCluster.ClusterWeight",
        "request_headers_to_add",
        "request_headers_to_remove",
        "response_headers_to_add",
        "response_headers_to_remove",
    ),
    *of("config.route.v3.RouteConfiguration", "most_specific_header_mutations_wins"),
    *of("config.core.v3.HeaderValueOption", "append_action", "keep_empty_value"),
)
@pytest.mark.parametrize("order", ["mutations", "specific"])
@pytest.mark.parametrize("lines", [(), RICH], ids=["", "rich"])
@pytest.mark.parametrize(
    "target",
    [
        *("/batch", "/direct", "/typed", "/created", "/nobody", "/weighted", "/x"),
        *("/response?header=x-a:1&header=x-b:2&status=418", "/response?header=x-gone-host:1&header=x-level:origin"),
    ],
)
def test_mutations(pair: Pair, order: str, lines: tuple[str, ...], target: str) -> None:
    ask(pair, order, head(target, "o.test", *lines))


@pytest.mark.parity("rule 8", "rule 52")
def test_stats(pair: Pair) -> None:
    def counted(page: str) -> dict[str, int]:
        found = {}
        for line in page.splitlines():
            name, _, value = line.partition(": ")
            if name.startswith("http.") and name.rpartition(".")[2] in (
                "rq_redirect",
                "rq_direct_response",
                "no_cluster",
            ):
                found[name] = int(value)
        return found

    before = [counted(proxy.admin("/stats").body.decode()) for proxy in (pair.envoy, pair.ours)]
    for name, target in (
        ("redirects", "/https"),
        ("redirects", "/plain"),
        ("mutations", "/direct"),
        ("rewrites", "/error"),
    ):
        pair.send(head(target), listener=name)
    after = [counted(proxy.admin("/stats").body.decode()) for proxy in (pair.envoy, pair.ours)]
    deltas = [
        {name: value - was.get(name, 0) for name, value in now.items() if not name.startswith("http.admin")}
        for was, now in zip(before, after, strict=True)
    ]
    assert deltas[1] == deltas[0]
    assert any(deltas[0].values())


@pytest.mark.parity("rule 5", "rule 6", "rule 7", "rule 8", "rule 9")
def test_access_log(pair: Pair) -> None:
    for name, target in (
        ("redirects", "/prefix/a"),
        ("rewrites", "/api/x"),
        ("rewrites", "/nobody"),
        ("mutations", "/x"),
    ):
        pair.send(head(target), listener=name)
    theirs, ours = logs(pair)
    assert ours == theirs
