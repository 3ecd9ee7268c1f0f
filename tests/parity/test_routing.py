"""Which route a request takes, on the real Envoy and on ours (features: routing rules 1 to 4).

Every route leads to a cluster of its own, and the origin tells through which one the request came.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.kit.bootstrap import bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.ledger import REFUSED_HEADS
from tests.kit.origin import Origin
from tests.kit.parity import Answers, Pair, run_pair
from tests.parity.rules import of

NAMES = (
    *("exact", "suffix", "longer_suffix", "dash_suffix", "prefix", "longer_prefix", "any", "port"),
    *("path", "separated", "regex", "cased", "uncased", "foo", "headers", "rest"),
)

DOMAINS = [
    virtual_host("exact", ["a.example.com", "UPPER.example.com"], route("/", "exact")),
    virtual_host("suffix", ["*.example.com"], route("/", "suffix")),
    virtual_host("longer suffix", ["*.b.example.com"], route("/", "longer_suffix")),
    virtual_host("dash", ["*-bar.foo.com"], route("/", "dash_suffix")),
    virtual_host("prefix", ["a.*"], route("/", "prefix")),
    virtual_host("longer prefix", ["a.exam.*"], route("/", "longer_prefix")),
    virtual_host("with a port", ["port.example.com:8080"], route("/", "port")),
    virtual_host("any", ["*"], route("/", "any")),
]
ONLY = [virtual_host("only", ["only.example.com"], route("/here", "exact"))]


def header(**fields: object) -> dict[str, object]:
    return {"prefix": "/header", "headers": [fields]}


PATHS = [
    virtual_host(
        "paths",
        ["*"],
        route({"path": "/exact"}, "path"),
        route({"path_separated_prefix": "/sep"}, "separated"),
        route({"safe_regex": {"regex": "/re[0-9]+"}}, "regex"),
        route({"prefix": "/Case"}, "cased"),
        route({"prefix": "/lower", "case_sensitive": False}, "uncased"),
        route("/foo", "foo"),
        route("/foo/longer", "any"),
        route(header(name="x-exact", string_match={"exact": "v"}), "headers"),
        route(header(name="x-contains", string_match={"contains": "Needle", "ignore_case": True}), "headers"),
        route(header(name="x-prefix", string_match={"prefix": "ab"}), "headers"),
        route(header(name="x-suffix", string_match={"suffix": "yz"}), "headers"),
        route(header(name="x-regex", string_match={"safe_regex": {"regex": "a+b"}}), "headers"),
        route(header(name="x-present", present_match=True), "headers"),
        route(header(name="x-range", range_match={"start": -5, "end": 10}), "headers"),
        route(header(name="x-inverted", string_match={"exact": "v"}, invert_match=True), "rest"),
    )
]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Origin(*NAMES) as origin:
        clusters = [static_cluster(name, port) for name, port in origin.ports.items()]
        listeners = [
            http_listener(*DOMAINS, name="domains"),
            http_listener(*ONLY, name="only"),
            http_listener(*PATHS, name="paths"),
        ]
        with run_pair(bootstrap(listeners, clusters), otherwise=REFUSED_HEADS) as running:
            yield running


def ask(pair: Pair, listener: str, target: str, host: str, *lines: str) -> str:
    """The cluster that both chose (or the status of both), after the whole answers were found equal."""
    head = "".join(f"{line}\r\n" for line in (f"GET {target} HTTP/1.1", f"Host: {host}", *lines, ""))
    answers: Answers = pair.send(head.encode("latin-1"), listener=listener)
    answers.assert_same()
    if answers.ours.status == 200:
        return str(json.loads(answers.ours.only.body)["origin"])
    return str(answers.ours.status)


@pytest.mark.parity("rule 1", "rule 2")
@pytest.mark.parametrize(
    "host",
    [
        *("a.example.com", "A.EXAMPLE.com", "upper.example.com", "b.example.com", "x.b.example.com", "example.com"),
        *(".example.com", "x-bar.foo.com", "-bar.foo.com", "bar.foo.com", "a.org", "a.", "a.exam.org", "a.example.org"),
        *("a.example.com:8080", "port.example.com", "port.example.com:8080", "PORT.example.com:8080"),
        *("port.example.com:80", "unknown", "127.0.0.1", "[::1]:80", "a.example.com."),
    ],
)
def test_virtual_host(pair: Pair, host: str) -> None:
    ask(pair, "domains", "/", host)


@pytest.mark.parity("rule 1")
def test_the_origin_shows_which_virtual_host_was_chosen(pair: Pair) -> None:
    hosts = ("a.example.com", "b.example.com", "x.b.example.com", "x-bar.foo.com", "a.org", "a.exam.org", "unknown")
    chosen = [ask(pair, "domains", "/", host) for host in hosts]
    assert len(set(chosen)) == len(hosts), "the cases above would not tell virtual hosts apart"


@pytest.mark.parity("rule 2")
@pytest.mark.parametrize(("host", "target"), [("other", "/here"), ("only.example.com", "/there")])
def test_nothing_matches(pair: Pair, host: str, target: str) -> None:
    assert ask(pair, "only", target, host) == "404"


@pytest.mark.parity("rule 3", "rule 4")
@pytest.mark.parametrize(
    "target",
    [
        *("/exact", "/exact?q=1", "/exact/", "/exactly", "/EXACT", "/exact#f", "/exact;p"),
        *("/sep", "/sep/", "/sep/foo", "/sepx", "/sep?q", "/sep/../x"),
        *("/re1", "/re123?x=1", "/re", "/re1x", "/re1/", "/x/re1"),
        *("/Case", "/Casement", "/case", "/LOWER", "/lower/x", "/LoWeR?q"),
        *("/foo", "/foobar", "/foo/longer", "/foo?bar", "//foo", "/%66oo", "/"),
    ],
)
def test_path(pair: Pair, target: str) -> None:
    ask(pair, "paths", target, "h")


@pytest.mark.parity("rule 3", *of("config.route.v3.RouteMatch", "headers"))
@pytest.mark.parametrize(
    "lines",
    [
        *(["x-exact: v"], ["X-Exact: v"], ["x-exact: V"], ["x-exact: v", "x-exact: w"], ["x-exact:   v  "]),
        *(["x-contains: a needle b"], ["x-contains: NEEDLE"], ["x-contains: nee dle"]),
        *(["x-prefix: abc"], ["x-prefix: a"], ["x-suffix: xyz"], ["x-suffix: yzx"]),
        *(["x-regex: aab"], ["x-regex: aabc"], ["x-present:"], ["x-present: x"]),
        *(["x-range: -5"], ["x-range: 9"], ["x-range: 10"], ["x-range: 1.5"], ["x-range: x"], ["x-range: +3"]),
        *(["x-inverted: v"], ["x-inverted: w"], []),
    ],
    ids=lambda lines: ",".join(lines),
)
def test_headers(pair: Pair, lines: list[str]) -> None:
    ask(pair, "paths", "/header", "h", *lines)
