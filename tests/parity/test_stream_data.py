"""Dynamic metadata and filter state as routes see them, on the real Envoy and on ours.

What a filter of ours leaves with `clear_route_cache` is left by Lua in Envoy: neither has a filter of configuration
alone that does both.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.bootstrap import ROUTER, Fields, bootstrap, http_listener, static_cluster, virtual_host
from tests.kit.envoy import Envoy
from tests.kit.origin import Origin
from tests.kit.parity import Pair
from tests.kit.proxy import Proxy
from tests.kit.routing import ask, head, on
from tests.parity.rules import of

FILTERS = "type.googleapis.com/envoy.extensions.filters.http"
LUA = """
function envoy_on_request(handle)
  local metadata = handle:streamInfo():dynamicMetadata()
  if handle:headers():get("x-set") then
    metadata:set("ns", "one", 1)
    metadata:set("ns", "half", 0.5)
    metadata:set("ns", "text", "Value")
    metadata:set("ns", "yes", true)
    metadata:set("ns", "no", false)
    metadata:set("ns", "list", {1, "x"})
    metadata:set("ns", "s", {t = {u = "deep"}})
  end
  handle:clearRouteCache()
end
"""
OURS = """
from proxy.python_filter import Exchange, Filter

VALUES = {
    "one": 1, "half": 0.5, "text": "Value", "yes": True, "no": False, "list": [1, "x"], "s": {"t": {"u": "deep"}}
}


class Marks(Filter):
    def on_request_headers(self, exchange: Exchange) -> None:
        if b"x-set" in exchange.request.headers:
            exchange.info.set_dynamic_metadata("ns", VALUES)
        exchange.clear_route_cache()
"""


def number(**fields: object) -> Fields:
    return {"double_match": fields}


def string(**fields: object) -> Fields:
    return {"string_match": fields}


VALUES: list[tuple[str, Fields]] = [
    ("one", number(exact=1)),
    ("one", number(exact=2)),
    ("one", number(range={"start": 1, "end": 2})),
    ("one", number(range={"start": 0, "end": 1})),
    ("half", number(range={"start": 0.5, "end": 0.75})),
    ("yes", number(exact=1)),
    ("text", string(exact="Value")),
    ("text", string(exact="value", ignore_case=True)),
    ("text", string(prefix="Va")),
    ("text", string(suffix="va")),
    ("text", string(contains="al")),
    ("text", string(safe_regex={"regex": "V.*"})),
    ("text", string(safe_regex={"regex": "V"})),
    ("one", string(exact="1")),
    ("yes", {"bool_match": True}),
    ("no", {"bool_match": True}),
    ("no", {"bool_match": False}),
    ("one", {"bool_match": True}),
    ("none", {"present_match": True}),
    ("none", {"present_match": False}),
    ("one", {"present_match": True}),
    ("one", {"present_match": False}),
    ("none", {"null_match": {}}),
    ("one", {"null_match": {}}),
    ("list", {"list_match": {"one_of": number(exact=1)}}),
    ("list", {"list_match": {"one_of": string(exact="x")}}),
    ("list", {"list_match": {"one_of": string(exact="other")}}),
    ("one", {"list_match": {"one_of": number(exact=1)}}),
    ("one", {"or_match": {"value_matchers": [string(exact="1"), number(exact=1)]}}),
    ("one", {"or_match": {"value_matchers": [string(exact="1"), number(exact=2)]}}),
    ("s.t.u", string(exact="deep")),
    ("s.t", {"present_match": True}),
    ("s.t.v", {"present_match": True}),
    ("one.t", {"present_match": True}),
    ("list.0", {"present_match": True}),
]
STATES: list[Fields] = [
    {"key": "text", "string_match": {"exact": "/s?x"}},
    {"key": "text", "string_match": {"prefix": "/s"}},
    {"key": "text", "string_match": {"exact": "other"}},
    {"key": "none", "string_match": {"exact": ""}},
    {"key": "empty", "string_match": {"exact": ""}},
    {"key": "skipped", "string_match": {"exact": "first"}},
    {"key": "twice", "string_match": {"exact": "second"}},
    {"key": "ip", "string_match": {"exact": "10.1.2.3:0"}},
    {"key": "v6", "string_match": {"exact": "[2001:db8::1]:0"}},
    {"key": "ip", "address_match": {"ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}},
    {"key": "ip", "address_match": {"ranges": [{"address_prefix": "11.0.0.0", "prefix_len": 8}]}},
    {"key": "v6", "address_match": {"ranges": [{"address_prefix": "2001:db8::", "prefix_len": 32}]}},
    {"key": "text", "address_match": {"ranges": [{"address_prefix": "0.0.0.0", "prefix_len": 0}]}},
    {"key": "no-ip", "string_match": {"safe_regex": {"regex": ".*"}}},
    {"key": "json", "string_match": {"contains": '{"a":"/s?x"}'}},
]
ENTRIES: list[Fields] = [
    {"metadata_namespace": "m", "value": {"x": 1, "l": [1], "s": {"t": 1, "u": 1}, "kind": "text"}},
    {"metadata_namespace": "m", "value": {"x": 2, "new": True}},
    {"metadata_namespace": "m", "allow_overwrite": True,
     "value": {"third": 3, "l": [2], "s": {"t": "changed"}, "kind": {"a": 1}, "nothing": None}},
]  # fmt: skip
MERGED: list[tuple[str, Fields]] = [
    ("x", number(exact=1)),
    ("new", {"present_match": True}),
    ("third", number(exact=3)),
    ("l", {"list_match": {"one_of": number(exact=1)}}),
    ("l", {"list_match": {"one_of": number(exact=2)}}),
    ("s.t", string(exact="changed")),
    ("s.u", number(exact=1)),
    ("kind.a", number(exact=1)),
    ("nothing", {"null_match": {}}),
    ("old", {"bool_match": True}),
    ("deprecated", {"bool_match": True}),
]


def asked(namespace: str, path: str, value: Fields, *, invert: bool = False) -> Fields:
    keys = [{"key": key} for key in path.split(".")]
    return {"dynamic_metadata": [{"filter": namespace, "path": keys, "value": value, "invert": invert}]}


def state(key: str, text: str, factory: str = "envoy.string", **more: object) -> Fields:
    source = {"text_format_source": {"inline_string": text}, "omit_empty_values": True}
    return {"object_key": key, "factory_key": factory, "format_string": source, **more}


def config(clears: Fields, port: int) -> str:
    """Of one proxy; `clears` is the filter that sets metadata and has the route chosen again."""
    routes = [
        *(
            on({"path": f"/v{at}"} | asked("ns", *one), direct_response={"status": 200})
            for at, one in enumerate(VALUES)
        ),
        *(
            on({"path": f"/i{at}"} | asked("ns", *one, invert=True), direct_response={"status": 200})
            for at, one in enumerate(VALUES)
        ),
        *(on({"path": f"/m{at}"} | asked("m", *one), direct_response={"status": 200}) for at, one in enumerate(MERGED)),
    ]
    states = [
        on(
            {"prefix": "/s", "filter_state": [one], "headers": [exact("x-at", str(at))]},
            direct_response={"status": 200},
        )
        for at, one in enumerate(STATES)
    ]
    decorated = on("/", route={"cluster": "origin"}, decorator={"operation": "op", "propagate": True})
    sets = {
        "@type": f"{FILTERS}.set_metadata.v3.Config",
        "metadata_namespace": "m",
        "value": {"deprecated": True},
        "metadata": [*ENTRIES, {"metadata_namespace": "m", "value": {"old": True}}],
    }
    leaves = {
        "@type": f"{FILTERS}.set_filter_state.v3.Config",
        "on_request_headers": [
            state("text", "%REQ(:PATH)%"),
            state("empty", "%REQ(x-none)%"),
            state("skipped", "first"),
            state("skipped", "%REQ(x-none)%", skip_if_empty=True),
            state("twice", "first", read_only=True),
            state("twice", "second"),
            state("ip", "10.1.2.3", "envoy.network.ip"),
            state("v6", "2001:DB8::1", "envoy.network.ip"),
            state("no-ip", "%REQ(x-at)%", "envoy.network.ip"),
            {
                "object_key": "json",
                "factory_key": "envoy.string",
                "format_string": {"json_format": {"a": "%REQ(:PATH)%"}},
            },
        ],
    }
    filters = [
        {"name": "sets", "typed_config": sets},
        {"name": "leaves", "typed_config": leaves},
        {"name": "clears", "typed_config": clears},
        {"name": "router", "typed_config": {"@type": ROUTER}},
    ]
    return bootstrap(
        [
            http_listener(virtual_host("v", ["*"], *routes), name="metadata", http_filters=filters),
            http_listener(virtual_host("s", ["*"], *states), name="state", http_filters=filters),
            http_listener(virtual_host("d", ["*"], decorated), name="decorated"),
        ],
        [static_cluster("origin", port)],
    )


def exact(name: str, value: str) -> Fields:
    return {"name": name, "string_match": {"exact": value}}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("filters")
    Path(folder / "parity_marks.py").write_text(OURS)
    lua = {"@type": f"{FILTERS}.lua.v3.Lua", "default_source_code": {"inline_string": LUA}}
    python = {
        "@type": f"{FILTERS}.dynamic_modules.v3.DynamicModuleFilter",
        "dynamic_module_config": {"name": "parity_marks"},
        "filter_name": "Marks",
    }
    with (
        Origin() as origin,
        Envoy(config(lua, origin.port)) as envoy,
        Proxy(config(python, origin.port), arguments=("--filter-path", str(folder))) as ours,
    ):
        yield Pair(envoy, ours)


@pytest.mark.parity(
    *of("config.route.v3.RouteMatch", "dynamic_metadata"),
    *of("type.matcher.v3.MetadataMatcher", "filter", "path", "value", "invert"),
)
@pytest.mark.parametrize("kind", ["v", "i"])
@pytest.mark.parametrize("at", range(len(VALUES)))
def test_metadata(pair: Pair, kind: str, at: int) -> None:
    answers = [ask(pair, "metadata", head(f"/{kind}{at}", "a", *lines)) for lines in ((), ("x-set: 1",))]
    assert {answer.ours.status for answer in answers} <= {200, 404}


@pytest.mark.parity(
    *of("config.route.v3.RouteMatch", "filter_state"),
    *of("type.matcher.v3.FilterStateMatcher", "key"),
    *of("extensions.filters.http.set_filter_state.v3.Config", "on_request_headers"),
)
@pytest.mark.parametrize("at", range(len(STATES)))
def test_filter_state(pair: Pair, at: int) -> None:
    ask(pair, "state", head("/s?x", "a", f"x-at: {at}"))


@pytest.mark.parity(
    *of("extensions.filters.http.set_metadata.v3.Config", "metadata", "metadata_namespace", "value"),
    "extensions.filters.http.set_metadata.v3.Metadata.allow_overwrite",
)
@pytest.mark.parametrize("at", range(len(MERGED)))
def test_set_metadata(pair: Pair, at: int) -> None:
    name = "http.metadata.set_metadata.overwrite_denied"
    before = [proxy.stats()[name] for proxy in (pair.envoy, pair.ours)]
    ask(pair, "metadata", head(f"/m{at}", "a"))
    after = [proxy.stats()[name] for proxy in (pair.envoy, pair.ours)]
    assert after[1] - before[1] == after[0] - before[0] > 0


@pytest.mark.parity("rule 24", "config.route.v3.Route.decorator")
@pytest.mark.parametrize("lines", [(), ("x-envoy-decorator-operation: mine",)])
@pytest.mark.parametrize("target", ["/", "/?header=x-envoy-decorator-operation:theirs"])
def test_decorator(pair: Pair, target: str, lines: tuple[str, ...]) -> None:
    ask(pair, "decorated", head(target, "a", *lines))
