"""The dynamic forward proxy: requests go to the hosts that they name, or learn why not."""

from __future__ import annotations

from collections.abc import Iterator

import dns.rcode
import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, socket_address, virtual_host
from tests.kit.dns_server import DnsServer
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair
from tests.parity.rules import of

FILTER = "envoy.extensions.filters.http.dynamic_forward_proxy.v3"
pytestmark = pytest.mark.parity(
    "rule 70",
    "config.cluster.v3.Cluster.cluster_type",
    *of("extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig", "dns_cache_config"),
    *of("extensions.common.dynamic_forward_proxy.v3.DnsCacheConfig", "dns_query_timeout", "max_hosts"),
    *of(FILTER.removeprefix("envoy.") + ".PerRouteConfig", "host_rewrite_literal", "host_rewrite_header"),
)
TYPES = "type.googleapis.com/envoy.extensions"
CASES = {
    "found": ("/", "web.example:%d"),
    "again": ("/", "web.example:%d"),
    "numeric": ("/", "127.0.0.2:%d"),
    "no_such_name": ("/", "nowhere.example"),
    "failing": ("/", "bad.example"),
    "silent": ("/", "slow.example"),
    "dead": ("/", "web.example:1"),
    "literal": ("/literal", "anything"),
    "header": ("/header", "anything"),
    "no_header": ("/header", "web.example:%d"),
    "elsewhere": ("/static", "nowhere.example"),
}
WORDS = "DNS failures are told in our words, not in c-ares'"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with Origin(host="127.0.0.2") as origin:
        yield origin.port


@pytest.fixture(scope="module")
def pair(port: int) -> Iterator[Pair]:
    with DnsServer() as server:
        server.add("web.example", "A", "127.0.0.2")
        server.fail("bad.example", dns.rcode.SERVFAIL)
        server.drop("slow.example")
        resolver = {
            "@type": f"{TYPES}.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
            "resolvers": [socket_address("127.0.0.1", server.port)],
            "dns_resolver_options": {"no_default_search_domain": True},
        }

        def cache(name: str, **fields: object) -> Fields:
            typed = {"name": "resolver", "typed_config": resolver}
            common: Fields = {"dns_lookup_family": "V4_ONLY", "dns_query_timeout": "1s"}
            return {"name": name, **common, "typed_dns_resolver_config": typed, **fields}

        caches = {"forward": cache("cache"), "small": cache("small", max_hosts=1)}
        clusters = [cluster(name, cache) for name, cache in caches.items()]
        endpoint = {"endpoint": {"address": socket_address("127.0.0.2", port)}}
        static: Fields = {
            "name": "static",
            "load_assignment": {"cluster_name": "static", "endpoints": [{"lb_endpoints": [endpoint]}]},
        }
        routes = [
            route("/static", "static"),
            rewritten("/literal", host_rewrite_literal=f"web.example:{port}"),
            rewritten("/header", host_rewrite_header="X-To"),
            route("/", "forward"),
        ]
        listeners = [
            listener("main", caches["forward"], *routes),
            listener("small", caches["small"], route("/", "small")),
        ]
        otherwise = {
            r'.*"dns_resolution_failure\{.*': WORDS,
            r"cluster\.\w+\.(membership_\w+|default\.total_match_count)": "docs/parity.md: one row for all hosts",
        }
        with run_pair(bootstrap(listeners, [*clusters, static]), otherwise=otherwise) as found:
            yield found


def listener(name: str, cache: Fields, *routes: Fields) -> Fields:
    told = {"header": {"key": "x-went-to", "value": "%UPSTREAM_HOST% %RESPONSE_FLAGS%"}}
    found = http_listener({**virtual_host("all", ["*"], *routes), "response_headers_to_add": [told]}, name=name)
    typed = {"@type": f"type.googleapis.com/{FILTER}.FilterConfig", "dns_cache_config": cache}
    filters = found["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
    filters.insert(0, {"name": "forward", "typed_config": typed})
    return found


def cluster(name: str, cache: Fields) -> Fields:
    typed = {"@type": f"{TYPES}.clusters.dynamic_forward_proxy.v3.ClusterConfig", "dns_cache_config": cache}
    custom = {"name": "envoy.clusters.dynamic_forward_proxy", "typed_config": typed}
    return {"name": name, "connect_timeout": "1s", "lb_policy": "CLUSTER_PROVIDED", "cluster_type": custom}


def rewritten(path: str, **fields: str) -> Fields:
    typed = {"@type": f"type.googleapis.com/{FILTER}.PerRouteConfig", **fields}
    return {**route(path, "forward"), "typed_per_filter_config": {"forward": typed}}


@pytest.mark.parametrize("case", CASES)
def test_where_requests_go(case: str, pair: Pair, port: int) -> None:
    path, authority = CASES[case]
    host = authority % port if "%d" in authority else authority
    more = f"X-To: web.example:{port}\r\n" if case == "header" else ""
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()
    pair.send(request, listener="main").assert_same()


def test_too_many_names(pair: Pair, port: int) -> None:
    for authority in (f"web.example:{port}", "one.more", f"web.example:{port}"):
        request = f"GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode()
        pair.send(request, listener="small").assert_same()


def test_the_counters_of_the_cache(pair: Pair) -> None:
    envoy, ours = (
        {name: value for name, value in proxy.stats().items() if name.startswith("dns_cache.")}
        for proxy in (pair.envoy, pair.ours)
    )
    breakers = {name for name in envoy if ".circuit_breakers." in name}
    assert ours == {name: value for name, value in envoy.items() if name not in breakers}
