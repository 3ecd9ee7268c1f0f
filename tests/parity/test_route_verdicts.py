"""Which routes are refused: the real Envoy (`--mode validate`) and we, on the same text."""

from __future__ import annotations

from typing import Any

import pytest
from _pytest.mark.structures import ParameterSet

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.config import findings
from tests.kit.envoy import validate
from tests.kit.routing import add, on, regex

EXTENSIONS = "type.googleapis.com/envoy.extensions.path"


def config(*routes: Fields, host: Fields | None = None, route_config: Fields | None = None, **hcm: Any) -> str:
    v = virtual_host("v", ["*"], *(routes or [route("/", "origin")])) | (host or {})
    listener = http_listener(v, **hcm)
    listener["filter_chains"][0]["filters"][0]["typed_config"]["route_config"].update(route_config or {})
    return bootstrap([listener], [static_cluster("origin", 80)])


def template(path: str, rewrite: str = "") -> str:
    kind = f"{EXTENSIONS}.match.uri_template.v3.UriTemplateMatchConfig"
    match = {"path_match_policy": {"name": "t", "typed_config": {"@type": kind, "path_template": path}}}
    return config(route(match, "origin", **(by_template(rewrite) if rewrite else {})))


def by_template(path: str) -> Fields:
    kind = f"{EXTENSIONS}.rewrite.uri_template.v3.UriTemplateRewriteConfig"
    return {"path_rewrite_policy": {"name": "t", "typed_config": {"@type": kind, "path_template_rewrite": path}}}


def weighted(**entry: Any) -> str:
    return config(on("/", route={"weighted_clusters": {"clusters": [{"weight": 1, **entry}]}}))


BOTH_TAKE = {
    **{
        f"template {path}": template(path)
        for path in (
            *("/", "/a", "/a/", "/a=b", "/*.html", "/{a}b", "/{a}b/c", "/x{a}", "/x{a=**}y/z", "/{a=x/*}/y", "/**/b"),
            "/{a}/{b}/{c}/{d}/{e}",
        )
    },
    **{f"rewrite {path}": template("/x/{a}", path) for path in ("/{a}", "/x{a}y", "/a{a}{a}", "/a=b", "/")},
    "no host rewrite": config(route("/", "origin", auto_host_rewrite=False)),
    "prefix_rewrite of a regex": config(on({"safe_regex": {"regex": "/a.*"}}, redirect={"prefix_rewrite": "/x"})),
    "prefix_rewrite of CONNECT": config(route({"connect_matcher": {}}, "origin", prefix_rewrite="/x")),
    "cluster of the path": config(on("/", route={"cluster_header": ":path"})),
    "stat_prefix of a direct response": config(on("/", direct_response={"status": 200}, stat_prefix="x")),
    "two virtual clusters of one name": config(
        host={"virtual_clusters": [{"name": "x", "headers": [{"name": name}]} for name in ("a", "b")]}
    ),
    "vhost_header": config(route_config={"vhost_header": "x", "ignore_port_in_host_matching": True}),
}
BOTH_REFUSE = {
    **{
        f"template {path}": template(path)
        for path in (
            *("a", "//a", "/a//b", "/a b", "/{a", "/{1a}", "/{a=}", "/{abcdefghijklmnopq}", "/{a}/{a}", "/{a=*}{b}"),
            *("/**/*", "/{a=**}/{b}", "/{a}/{b}/{c}/{d}/{e}/{f}", "/**b/c", "/x{a}y{b}", "/{a}-{b}/c"),
        )
    },
    **{f"rewrite {path}": template("/x/{a}", path) for path in ("/{b}", "{a}", "/{a", "/a b")},
    "two rewrites of the path": config(route("/", "origin", prefix_rewrite="/a", regex_rewrite=regex("a", "b"))),
    "path_rewrite_policy without a template": config(route("/", "origin", **by_template("/a"))),
    "a virtual cluster of everything": config(host={"virtual_clusters": [{"name": "x"}]}),
    "a share with both names": weighted(name="origin", cluster_header="x"),
    "a share without a name": weighted(),
    "two ways to strip ports": config(strip_any_host_port=True, strip_matching_host_port=True),
    "adds host": config(host={"request_headers_to_add": [add("host", "x")]}),
    "adds :path": config(route_config={"request_headers_to_add": [add(":path", "x")]}),
    "removes host": config(host={"request_headers_to_remove": ["Host"]}),
    "removes host from responses": config(host={"response_headers_to_remove": ["host"]}),
    "removes :status": config(on("/", route={"cluster": "origin"}, response_headers_to_remove=[":status"])),
    "an unknown operator": config(host={"response_headers_to_add": [add("x", "%FOO%")]}),
    "no action": config({"match": {"prefix": "/"}}),
}
WE_REFUSE_MORE = {
    "append_x_forwarded_host alone": config(route("/", "origin", append_x_forwarded_host=True)),
    "a group that is none": config(route("/", "origin", regex_rewrite=regex("a", r"\2"))),
    "a backslash before a letter": config(route("/", "origin", regex_rewrite=regex("a", r"\z"))),
    "* in a literal": template("/a*"),
    "***": template("/***"),
    "* in a rewrite": template("/x/{a}", "/*"),
    "path_redirect without a slash": config(on("/", redirect={"path_redirect": "abc"})),
    "host_redirect with a space": config(on("/", redirect={"host_redirect": "a b"})),
    "host_rewrite_literal with a space": config(route("/", "origin", host_rewrite_literal="a b")),
    "cluster_header with a space": config(on("/", route={"cluster_header": "a b"})),
    "vhost_header with a space": config(route_config={"vhost_header": "a b"}),
}


def cases(texts: dict[str, str]) -> list[ParameterSet]:
    return [pytest.param(text, id=name, marks=pytest.mark.parity("rule 66")) for name, text in texts.items()]


@pytest.mark.parametrize("text", cases(BOTH_TAKE))
def test_both_take_it(text: str) -> None:
    assert findings(text) == []
    accepted, output = validate(text)
    assert accepted, output


@pytest.mark.parametrize("text", cases(BOTH_REFUSE))
def test_both_refuse_it(text: str) -> None:
    assert findings(text)
    accepted, output = validate(text)
    assert not accepted, output


@pytest.mark.parametrize("text", cases(WE_REFUSE_MORE))
def test_we_refuse_what_envoy_takes(text: str) -> None:
    """The rows of docs/parity.md."""
    assert findings(text)
    accepted, output = validate(text)
    assert accepted, output
