"""Matcher trees of virtual hosts, on the real Envoy and on ours: which route takes a request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, virtual_host
from tests.kit.parity import Pair, run_pair
from tests.kit.routing import ask, head, on
from tests.parity.rules import of

TYPES = "type.googleapis.com"
HTTP = f"{TYPES}/envoy.type.matcher.v3"
ROUTES = f"{TYPES}/envoy.config.route.v3"


def extension(kind: str, **fields: Any) -> Fields:
    return {"name": "e", "typed_config": {"@type": kind, **fields}}


def header(name: str) -> Fields:
    return extension(f"{HTTP}.HttpRequestHeaderMatchInput", header_name=name)


def regex(pattern: str) -> Fields:
    return {"google_re2": {}, "regex": pattern}


def answer(status: int, match: Fields | str = "/") -> Fields:
    return on(match, direct_response={"status": status}, name=f"r{status}")


def route(status: int, match: Fields | str = "/") -> Fields:
    """An `OnMatch` that leads to one route."""
    return {"action": extension(f"{ROUTES}.Route", **answer(status, match))}


def listed(*routes: Fields) -> Fields:
    return {"action": extension(f"{ROUTES}.RouteList", routes=list(routes))}


def nested(matcher: Fields) -> Fields:
    return {"matcher": matcher}


def single(value: Fields, **match: Any) -> Fields:
    return {"single_predicate": {"input": value, "value_match": match}}


def both(*predicates: Fields) -> Fields:
    return {"and_matcher": {"predicate": list(predicates)}}


def either(*predicates: Fields) -> Fields:
    return {"or_matcher": {"predicate": list(predicates)}}


def neither(predicate: Fields) -> Fields:
    return {"not_matcher": predicate}


def in_turn(*fields: tuple[Fields, Fields], otherwise: Fields | None = None) -> Fields:
    matchers = [{"predicate": predicate, "on_match": on_match} for predicate, on_match in fields]
    return {"matcher_list": {"matchers": matchers}, **({"on_no_match": otherwise} if otherwise else {})}


def by(kind: str, value: Fields, branches: dict[str, Fields], otherwise: Fields | None = None) -> Fields:
    tree = {"input": value, f"{kind}_match_map": {"map": branches}}
    return {"matcher_tree": tree, **({"on_no_match": otherwise} if otherwise else {})}


X, ENV = header("x"), header("X-Env")
TREES: dict[str, Fields] = {
    "list": in_turn(
        (single(X, exact="one"), route(201)),
        (single(X, prefix="tw"), route(202)),
        (single(X, suffix="ee"), route(203)),
        (single(X, contains="ou"), route(205)),
        (single(X, safe_regex=regex("f[a-z]ve")), route(206)),
        (single(X, exact="SIX", ignore_case=True), route(207)),
        (single(X, exact="a,b"), route(208)),
        (single(header(":path"), prefix="/seven"), route(226)),
        (single(header(":method"), exact="DELETE"), route(250)),
        (single(header(":authority"), exact="other"), route(251)),
    ),
    "logic": in_turn(
        (both(single(X, exact="one"), single(ENV, exact="dev")), route(201)),
        (either(single(X, exact="two"), single(ENV, exact="prod")), route(202)),
        (neither(single(X, prefix="t")), route(203)),
        otherwise=route(205),
    ),
    "exact": by("exact", X, {"one": route(201), "two": route(202, "/only"), "three": nested(
        by("exact", ENV, {"dev": route(203)}))}, otherwise=route(205)),
    "prefix": by("prefix", header(":path"), {"/a": route(201), "/a/b": route(202, {"path": "/a/b/only"}),
        "/a/b/c": nested(by("exact", X, {"one": route(203)})), "/": route(205)}),
    "nested": in_turn(
        (single(X, prefix="o"), nested(in_turn((single(ENV, exact="dev"), route(201))))),
        (single(X, exact="one"), route(202)),
        otherwise=nested(by("exact", ENV, {"prod": route(203)})),
    ),
    "routes": in_turn((
        single(X, exact="one"),
        listed(answer(201, "/first"), answer(202, {"prefix": "/", "headers": [{"name": "x-env"}]}),
               answer(203, {"path": "/last"})),
    )),
}  # fmt: skip


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    hosts = [virtual_host(name, [name, f"{name}.other"]) | {"matcher": tree} for name, tree in TREES.items()]
    for host in hosts:
        del host["routes"]
    everything = virtual_host("rest", ["other"]) | {"matcher": TREES["list"]}
    del everything["routes"]
    listener = http_listener(*hosts, everything)
    with run_pair(bootstrap([listener], [])) as running:
        yield running


TREE = "xds.type.matcher.v3.Matcher"


@pytest.mark.parity(
    "config.route.v3.VirtualHost.matcher",
    *of(TREE, "matcher_list", "matcher_tree", "on_no_match"),
    *of(f"{TREE}.OnMatch", "matcher", "action"),
    *of(f"{TREE}.MatcherList.Predicate", "single_predicate", "and_matcher", "or_matcher", "not_matcher"),
    *of(f"{TREE}.MatcherTree", "exact_match_map", "prefix_match_map"),
    "config.route.v3.RouteList.routes",
)
@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("target", ["/", "/only", "/first", "/last", "/a", "/a/b/only", "/a/b/c", "/a/bc", "/seven"])
def test_which_route(pair: Pair, tree: str, target: str) -> None:
    for x in (None, "one", "two", "three", "four", "five", "six", "a"):
        for env in (None, "dev", "prod"):
            lines = [f"x: {x}"] if x else []
            lines += ["x: b"] if x == "a" else []
            lines += [f"x-env: {env}"] if env else []
            ask(pair, "main", head(target, tree, *lines))


@pytest.mark.parity("config.route.v3.VirtualHost.matcher")
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_pseudo_headers(pair: Pair, method: str) -> None:
    ask(pair, "main", head("/", "other", method=method))
