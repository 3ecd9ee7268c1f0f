"""HTTP filters with matcher trees (`ExtensionWithMatcher`), on the real Envoy and on ours: who is skipped.

Each filter adds a line `ran: <its name>` to the response, so one request asks all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, virtual_host
from tests.kit.parity import Pair, run_pair
from tests.kit.routing import ask, head, on
from tests.parity.rules import of
from tests.parity.test_matcher_trees import (
    HTTP,
    TYPES,
    X,
    both,
    by,
    either,
    extension,
    header,
    in_turn,
    neither,
    nested,
    regex,
    single,
)  # fmt: skip

FILTERS = f"{TYPES}/envoy.extensions.filters"
MATCHING = f"{TYPES}/envoy.extensions.matching"
NETWORK = f"{MATCHING}.common_inputs.network.v3"
WRAPPER = f"{TYPES}/envoy.extensions.common.matching.v3.ExtensionWithMatcher"
TREE = "xds.type.matcher.v3"

SKIP: Fields = {"action": extension(f"{FILTERS}.common.matcher.action.v3.SkipFilter")}
ADDED = header("x-added")
QUERY = extension(f"{HTTP}.HttpRequestQueryParamMatchInput", query_param="q")
STATE = extension(f"{NETWORK}.FilterStateInput", key="state")


def network(kind: str, **fields: Any) -> Fields:
    return extension(f"{NETWORK}.{kind}", **fields)


def custom(value: Fields, matcher: Fields) -> Fields:
    return {"single_predicate": {"input": value, "custom_match": matcher}}


def ranges(*texts: str) -> list[Fields]:
    parts = [text.split("/") for text in texts]
    return [{"address_prefix": address, "prefix_len": int(size)} for address, size in parts]


def within(value: Fields, *texts: str) -> Fields:
    return custom(value, extension(f"{MATCHING}.input_matchers.ip.v3.Ip", cidr_ranges=ranges(*texts), stat_prefix="s"))


def by_range(value: Fields, *branches: tuple[str, Fields, bool], otherwise: Fields | None = None) -> Fields:
    found = [
        {"ranges": ranges(*texts.split()), "on_match": then, "exclusive": exclusive}
        for texts, then, exclusive in branches
    ]
    tree = {"input": value, "custom_match": extension(f"{TYPES}/{TREE}.IPMatcher", range_matchers=found)}
    return {"matcher_tree": tree, **({"on_no_match": otherwise} if otherwise else {})}


def noted(value: Fields, *path: str, invert: bool = False) -> Fields:
    """Of the metadata that the chain's first filter has set."""
    looks_at = network("DynamicMetadataInput", filter="noted", path=[{"key": key} for key in path])
    return custom(looks_at, extension(f"{MATCHING}.input_matchers.metadata.v3.Metadata", value=value, invert=invert))


def skips_if(predicate: Fields) -> Fields:
    return in_turn((predicate, SKIP))


IS_ONE = nested(by("exact", X, {"one": SKIP}))
SOURCE, DIRECT, DESTINATION = network("SourceIPInput"), network("DirectSourceIPInput"), network("DestinationIPInput")
TREES: dict[str, Fields | None] = {
    "none": None,
    "empty": {},
    "always": {"on_no_match": SKIP},
    "header": skips_if(single(X, exact="one")),
    "map": by("exact", X, {"one": SKIP, "two": nested(by("prefix", QUERY, {"b": SKIP}))}),
    "prefix": by("prefix", header(":path"), {"/a": SKIP}),
    "logic": skips_if(both(neither(single(X, exact="one")), either(single(QUERY, exact="b"), single(X, suffix="o")))),
    "added": skips_if(single(ADDED, exact="yes")),
    "query": skips_if(single(QUERY, exact="b")),
    "query raw": skips_if(single(QUERY, contains="%")),
    "source": skips_if(single(SOURCE, prefix="10.")),
    "source port": skips_if(single(network("SourcePortInput"), exact="0")),
    "some source port": skips_if(single(network("SourcePortInput"), safe_regex=regex("[1-9][0-9]+"))),
    "direct": skips_if(single(DIRECT, exact="127.0.0.1")),
    "destination": skips_if(single(DESTINATION, exact="127.0.0.1")),
    "destination port": skips_if(single(network("DestinationPortInput"), safe_regex=regex("[1-9][0-9]+"))),
    "type": skips_if(single(network("SourceTypeInput"), exact="local")),
    "server name": skips_if(single(network("ServerNameInput"), safe_regex=regex(".*"))),
    "state": skips_if(single(STATE, exact="one")),
    "within": skips_if(within(SOURCE, "10.0.0.0/8", "fd00::/8")),
    "header within": skips_if(within(X, "10.1.0.0/16")),
    "ranges": by_range(SOURCE, ("10.0.0.0/8 fd00::/8", SKIP, False), ("10.1.0.0/16", IS_ONE, False), otherwise=IS_ONE),
    "exclusive": by_range(
        SOURCE, ("10.0.0.0/8 fd00::/8", SKIP, True), ("10.1.0.0/16", IS_ONE, False), ("0.0.0.0/0", IS_ONE, False)
    ),
    "header ranges": by_range(X, ("10.0.0.0/8", SKIP, False)),
    "noted": skips_if(noted({"string_match": {"exact": "v"}}, "k")),
    "noted number": skips_if(noted({"double_match": {"exact": 2}}, "number")),
    "noted nowhere": skips_if(noted({"present_match": True}, "absent")),
    "not noted": skips_if(noted({"string_match": {"exact": "v"}}, "absent", invert=True)),
    "other state": skips_if(single(network("FilterStateInput", key="absent"), safe_regex=regex(".*"))),
}  # fmt: skip


def mutation(side: str, key: str, value: str) -> Fields:
    return {"mutations": {f"{side}_mutations": [{"append": {"header": {"key": key, "value": value}}}]}}


def edits(side: str, key: str, value: str) -> Fields:
    return extension(f"{FILTERS}.http.header_mutation.v3.HeaderMutation", **mutation(side, key, value))


def wrapped(name: str, tree: Fields | None, inner: Fields) -> Fields:
    more = {} if tree is None else {"xds_matcher": tree}
    return {"name": name, "typed_config": {"@type": WRAPPER, "extension_config": inner, **more}}


def chain() -> list[Fields]:
    state = {"object_key": "state", "factory_key": "envoy.string",
             "format_string": {"text_format_source": {"inline_string": "%REQ(X)%"}}}  # fmt: skip
    metadata = [{"metadata_namespace": "noted", "value": {"k": "v", "number": 2}}]
    before = [
        wrapped("notes", skips_if(single(X, exact="two")), extension(f"{FILTERS}.http.set_metadata.v3.Config",
                metadata=metadata)),
        extension(f"{FILTERS}.http.set_filter_state.v3.Config", on_request_headers=[state]),
        wrapped("adds", skips_if(single(X, exact="two")), edits("request", "x-added", "yes")),
        wrapped("limit", skips_if(single(header("x-long"), exact="yes")),
                extension(f"{FILTERS}.http.buffer.v3.Buffer", max_request_bytes=10)),
    ]  # fmt: skip
    asked = [wrapped(name, tree, edits("response", "ran", name)) for name, tree in TREES.items()]
    twice = wrapped("twice", skips_if(single(QUERY, exact="b")), wrapped("inner", TREES["header"], edits("response",
                    "ran", "twice")))  # fmt: skip
    router = {"name": "router", "typed_config": {"@type": f"{FILTERS}.http.router.v3.Router"}}
    return [*before, *asked, twice, router]


def per_route(tree: Fields | None) -> Fields:
    return {"@type": f"{WRAPPER}PerRoute", **({} if tree is None else {"xds_matcher": tree})}


def answer(path: str, **overrides: Fields) -> Fields:
    return on(path, direct_response={"status": 200}, typed_per_filter_config=overrides)


OWN = {"@type": f"{FILTERS}.http.header_mutation.v3.HeaderMutationPerRoute", **mutation("response", "ran", "route")}
ROUTES = [
    answer("/tree", header=per_route(skips_if(single(X, exact="two"))), always=per_route(TREES["header"])),
    answer("/empty", header=per_route(None), always=per_route(None), none=per_route(None)),
    answer("/own", header=OWN, always=OWN),
    answer("/"),
]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    plain = virtual_host("plain", ["*"], *ROUTES)
    levels = virtual_host("levels", ["levels"], *ROUTES) | {
        "typed_per_filter_config": {"header": per_route({"on_no_match": SKIP}), "map": OWN}
    }
    listener = http_listener(plain, levels, http_filters=chain(), use_remote_address=True, xff_num_trusted_hops=1)
    with run_pair(bootstrap([listener], [])) as running:
        yield running


@pytest.mark.parity(
    *of("extensions.common.matching.v3.ExtensionWithMatcher", "extension_config", "xds_matcher"),
    "type.matcher.v3.HttpRequestQueryParamMatchInput.query_param",
    *of("extensions.matching.common_inputs.network.v3.DynamicMetadataInput", "filter", "path"),
    "extensions.matching.common_inputs.network.v3.FilterStateInput.key",
    *of("extensions.matching.input_matchers.metadata.v3.Metadata", "value", "invert"),
    "extensions.matching.input_matchers.ip.v3.Ip.cidr_ranges",
    f"{TREE}.Matcher.MatcherList.Predicate.SinglePredicate.custom_match",
    f"{TREE}.Matcher.MatcherTree.custom_match",
    *of(f"{TREE}.IPMatcher.IPRangeMatcher", "ranges", "on_match", "exclusive"),
)
@pytest.mark.parametrize("x", [None, "", "one", "two", "10.1.2.3", "10.1.2.3.4"])
@pytest.mark.parametrize(
    "source", ["127.0.0.1", "127.0.0.2", "10.0.0.1", "10.1.2.3", "192.0.2.1:80", "fd00::1", "::1", "::ffff:10.0.0.1"]
)
def test_what_runs(pair: Pair, x: str | None, source: str) -> None:
    for target in ("/", "/a?q=b", "/?q=%62", "/?q=c&q=b", "/?q"):
        lines = [f"x-forwarded-for: {source}", *([] if x is None else [f"x: {x}"])]
        ran = ask(pair, "main", head(target, "o", *lines)).envoy.only.values("ran")
        assert ("header" in ran) != (x == "one")


@pytest.mark.parity("extensions.common.matching.v3.ExtensionWithMatcherPerRoute.xds_matcher")
@pytest.mark.parametrize("target", ["/", "/tree", "/empty", "/own"])
@pytest.mark.parametrize("host", ["plain", "levels"])
def test_per_route(pair: Pair, target: str, host: str) -> None:
    for x in ("one", "two", "three"):
        for source in ("10.0.0.1", "192.0.2.1"):
            ask(pair, "main", head(target, host, f"x: {x}", f"x-forwarded-for: {source}"))


@pytest.mark.parity("extensions.common.matching.v3.ExtensionWithMatcher.extension_config")
@pytest.mark.parametrize(("line", "status"), [("x-long: yes", 200), ("x-long: no", 413)])
def test_a_filter_that_waits(pair: Pair, line: str, status: int) -> None:
    body = b"0123456789a"
    data = head("/", "o", line, f"content-length: {len(body)}", method="POST") + body
    assert pair.send(data).envoy.status == status
    answers = pair.send(data)
    assert [answer.status for answer in answers] == [status, status]
