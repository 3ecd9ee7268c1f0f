"""Stats of virtual clusters and routes. (tests/parity/test_route_options.py compares the numbers with Envoy's.)"""

from __future__ import annotations

from proxy.config.common import StringMatcher
from proxy.config.route import (
    ClusterAction,
    DirectResponseAction,
    HeaderMatcher,
    Route,
    RouteConfiguration,
    RouteMatch,
    VirtualCluster,
    VirtualHost,
)
from proxy.filters.network.hcm_route_stats import RouteStats, observed
from proxy.route.entry import RouteEntry
from proxy.stats import MemoryStats
from tests.unit.route.requests import request

USERS = VirtualCluster("users", (HeaderMatcher(":path", StringMatcher("prefix", "/users")), HeaderMatcher("x-mark")))
ANY = RouteMatch("prefix", "/")
PLAIN = Route(ANY, ClusterAction("c"))
NAMED = Route(ANY, ClusterAction("c"), stat_prefix="p")
ANSWERED = Route(ANY, DirectResponseAction(200), stat_prefix="d")


def built(
    *routes: Route, clusters: tuple[VirtualCluster, ...] = ()
) -> tuple[RouteStats, MemoryStats, list[RouteEntry]]:
    host = VirtualHost("v.test", ("*",), routes, virtual_clusters=clusters)
    config, stats = RouteConfiguration("rc", (host,)), MemoryStats()
    return RouteStats(config, stats), stats, [RouteEntry(config, host, route) for route in routes]


def test_nothing_is_observed_that_nobody_asked_for() -> None:
    found, stats, (entry,) = built(PLAIN)
    assert not found.observes
    assert not observed(entry)
    assert found.of(entry, request()) == ()
    assert not stats.words


def test_the_first_virtual_cluster_that_fits_else_the_other() -> None:
    found, stats, (entry,) = built(PLAIN, clusters=(USERS, VirtualCluster("marked", (HeaderMatcher("x-mark"),))))
    assert found.observes
    assert observed(entry)
    marked = (("x-mark", "1"),)
    chosen = [
        found.of(entry, request("/users", headers=marked)),
        found.of(entry, request("/other", headers=marked)),
        found.of(entry, request("/users")),
    ]
    assert len({id(one) for ones in chosen for one in ones}) == 3
    assert "vhost.v.test.vcluster.users.upstream_rq_total" in stats.words
    assert "vhost.v.test.vcluster.other.upstream_rq_retry" in stats.words


def test_a_request_may_count_for_its_route_and_its_virtual_cluster() -> None:
    found, _, (entry,) = built(NAMED, clusters=(USERS,))
    assert len(found.of(entry, request())) == 2


def test_a_route_that_answers_itself_has_stats_that_stay_0() -> None:
    found, stats, (entry,) = built(ANSWERED)
    assert found.of(entry, request()) == ()
    assert "vhost.v.test.route.d.upstream_rq_total" in stats.words
