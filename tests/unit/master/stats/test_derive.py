"""What readers sum up from the words of workers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from master.stats.derive import derive, derive_times

CODES = st.dictionaries(st.integers(100, 599), st.integers(0, 1 << 40), max_size=8)


@given(CODES)
def test_classes_and_totals_of_a_cluster_are_the_sums_of_its_codes(codes: dict[int, int]) -> None:
    derived = derive({f"cluster.c.d.internal.upstream_rq_{code}": value for code, value in codes.items()})
    for scope in ("cluster.c.d.", "cluster.c.d.internal."):
        for first in range(1, 6):
            expected = [value for code, value in codes.items() if code // 100 == first]
            assert derived.get(f"{scope}upstream_rq_{first}xx", 0) == sum(expected)
        assert derived.get(f"{scope}upstream_rq_completed", 0) == sum(codes.values())
        for code, value in codes.items():
            assert derived[f"{scope}upstream_rq_{code}"] == value


def test_a_connection_manager_completed_what_its_classes_say_in_both_scopes() -> None:
    derived = derive(
        {
            "http.ingress.downstream_rq_2xx": 5,
            "http.ingress.downstream_rq_5xx": 2,
            "listener.127.0.0.1_80.http.ingress.downstream_rq_2xx": 5,
            "http.ingress.downstream_rq_http1_total": 9,
            "http.ingress.downstream_rq_http2_total": 2,
        }
    )
    assert derived["http.ingress.downstream_rq_completed"] == 7
    assert derived["listener.127.0.0.1_80.http.ingress.downstream_rq_completed"] == 5
    assert derived["http.ingress.downstream_rq_total"] == 11


def test_virtual_clusters_and_routes_have_classes_but_no_external_scope() -> None:
    derived = derive({"vhost.v.vcluster.c.upstream_rq_404": 2, "vhost.v.route.r.upstream_rq_200": 1})
    assert derived["vhost.v.vcluster.c.upstream_rq_4xx"] == 2
    assert derived["vhost.v.vcluster.c.upstream_rq_completed"] == 2
    assert derived["vhost.v.route.r.upstream_rq_2xx"] == 1
    assert not [name for name in derived if "external" in name]


def test_a_sum_that_a_worker_writes_itself_stays_as_it_is() -> None:
    assert derive({"cluster.c.external.upstream_rq_200": 3, "cluster.c.upstream_rq_completed": 9}) == {
        "cluster.c.upstream_rq_200": 3,
        "cluster.c.upstream_rq_2xx": 3,
        "cluster.c.upstream_rq_completed": 9,
        "cluster.c.external.upstream_rq_200": 3,
        "cluster.c.external.upstream_rq_2xx": 3,
        "cluster.c.external.upstream_rq_completed": 3,
    }


def test_both_kinds_of_callers_and_canaries() -> None:
    kinds = {"internal": 2, "external": 3, "canary": 4}
    derived = derive({f"cluster.c.{kind}.upstream_rq_503": value for kind, value in kinds.items()})
    assert derived["cluster.c.upstream_rq_503"] == derived["cluster.c.upstream_rq_completed"] == 5
    for kind, value in kinds.items():
        assert derived[f"cluster.c.{kind}.upstream_rq_5xx"] == value
        assert derived[f"cluster.c.{kind}.upstream_rq_completed"] == value


def test_times_show_after_the_first_and_are_summed_up_over_callers() -> None:
    times: dict[str, dict[int, int]] = {
        "cluster.c.internal.upstream_rq_time": {1: 2},
        "cluster.c.external.upstream_rq_time": {1: 1, 2: 1},
        "cluster.c.canary.upstream_rq_time": {1: 1},
        "cluster.d.external.upstream_rq_time": {},
        "http.p.downstream_rq_time": {},
    }
    expected = {name: buckets for name, buckets in times.items() if not name.startswith("cluster.d")}
    assert derive_times(times) == {**expected, "cluster.c.upstream_rq_time": {1: 3, 2: 1}}


def test_names_with_dots() -> None:
    derived = derive({"cluster.a.b.upstream_rq_total": 1, "http.a.b.downstream_rq_2xx": 1})
    assert derived["cluster.a.b.upstream_rq_completed"] == 0
    assert derived["http.a.b.downstream_rq_completed"] == 1


def test_an_unused_cluster_has_completed_nothing_but_has_the_counter() -> None:
    assert derive({"cluster.c.upstream_rq_total": 4})["cluster.c.upstream_rq_completed"] == 0


def test_other_names_are_left_alone() -> None:
    counters = {"cluster.c.upstream_rq_timeout": 1, "cluster.c.retried.upstream_rq_503": 2, "upstream_rq_503": 3}
    assert derive(counters) == counters


def test_retried_responses_have_sums_of_their_own() -> None:
    derived = derive({"cluster.c.retry.upstream_rq_503": 2, "cluster.c.retry.upstream_rq_500": 1})
    assert derived["cluster.c.retry.upstream_rq_5xx"] == derived["cluster.c.retry.upstream_rq_completed"] == 3
    assert "cluster.c.upstream_rq_5xx" not in derived


def test_statuses_that_are_hidden_count_with_those_who_asked_and_not_in_the_sum() -> None:
    found = derive({"cluster.c.external.upstream_rq_503": 5, "cluster.c.hidden.upstream_rq_503": 3})
    assert found["cluster.c.external.upstream_rq_5xx"] == found["cluster.c.upstream_rq_completed"] == 5
    assert found["cluster.c.upstream_rq_503"] == found["cluster.c.upstream_rq_5xx"] == 2
    found = derive({"cluster.c.retry.upstream_rq_503": 1, "cluster.c.hidden.retry.upstream_rq_503": 3})
    assert (found["cluster.c.retry.upstream_rq_5xx"], found["cluster.c.retry.upstream_rq_completed"]) == (1, 4)
