"""What `explain` says of a request, and what the real Envoy then does with it on the same configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest

from tests.kit.bootstrap import bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair

TELLS_CLUSTER = [{"header": {"key": "x-cluster-of", "value": "%UPSTREAM_CLUSTER%"}}]


def header(name: str, **match: Any) -> dict[str, Any]:
    return {"prefix": "/h", "headers": [{"name": name, "string_match": match}]}


ROUTES = (
    route(header("x-env", exact="prod"), "one"),
    route({**header("x-env", contains="a"), "query_parameters": [{"name": "q", "present_match": True}]}, "two"),
    route({"prefix": "/H", "case_sensitive": False, "runtime_fraction": {"default_value": {"numerator": 0}}}, "one"),
    route({"safe_regex": {"regex": "/h/[0-9]+"}}, "two", prefix_rewrite="/new"),
    {"match": {"path_separated_prefix": "/old"}, "redirect": {"prefix_rewrite": "/new", "https_redirect": True}},
    {"match": {"path": "/here"}, "direct_response": {"status": 201, "body": {"inline_string": "here"}}},
    route("/g", "one", cluster_not_found_response_code="NOT_FOUND"),
    {"match": {"prefix": "/lost"}, "route": {"cluster_header": "x-to", "cluster_not_found_response_code": "NOT_FOUND"}},
)


class Case(NamedTuple):
    target: str
    host: str = "v.test"
    headers: tuple[str, ...] = ()


CASES = {
    "an exact header": Case("/h", headers=("x-env: prod",)),
    "a query parameter": Case("/h?q", headers=("x-env: a",)),
    "neither": Case("/h", headers=("x-env: a",)),
    "a regex, rewritten": Case("/h/12?q"),
    "a path that is normalised first": Case("/x/../h/7"),
    "a redirect": Case("/old/a?b"),
    "no redirect beside its prefix": Case("/older"),
    "a direct response": Case("/here"),
    "a cluster of a header": Case("/lost", headers=("x-to: two",)),
    "a cluster that is not there": Case("/lost", headers=("x-to: none",)),
    "no virtual host": Case("/g", "other.test"),
    "a port that counts": Case("/g", "v.test:81"),
    "TLS that is asked for": Case("/g", "tls.test"),
    "an escaped null": Case("/h/%00"),
}


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    hosts = (
        {**virtual_host("v", ["v.test"], *ROUTES), "response_headers_to_add": TELLS_CLUSTER},
        {**virtual_host("tls", ["tls.*"], route("/", "one")), "require_tls": "ALL"},
    )
    with Origin() as origin:
        clusters = [static_cluster("one", origin.port), static_cluster("two", origin.port)]
        with run_pair(bootstrap([http_listener(*hosts, normalize_path=True)], clusters)) as found:
            yield found


@pytest.mark.parity(*(f"rule {number}" for number in range(1, 14)))
@pytest.mark.parametrize("case", list(CASES))
def test_the_verdict_is_what_envoy_does(pair: Pair, case: str) -> None:
    target, host, headers = CASES[case]
    query = {"method": "GET", "url": target, "header": "\n".join((f"host: {host}", *headers)), "format": "json"}
    told = json.loads(pair.ours.admin(f"/explain?{urlencode(query)}").body)
    lines = "".join(f"{line}\r\n" for line in (f"host: {host}", *headers))
    answer = pair.send(f"GET {target} HTTP/1.1\r\n{lines}\r\n".encode()).envoy
    seen = dict(answer.only.headers)
    if told["outcome"] == "forwarded":
        assert answer.status == 200
        assert told["cluster"]["name"] == seen["x-cluster-of"]
        assert told["upstream"]["path"] == answer.echo["target"]
        return
    reply = told["reply"]
    assert reply["status"] == answer.status
    assert reply["body"].encode() == answer.only.body
    assert dict(map(tuple, reply["headers"])).get("location") == seen.get("location")
