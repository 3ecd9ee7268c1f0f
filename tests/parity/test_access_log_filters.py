"""Filters of access logs on the real Envoy and on ours: which requests each of them lets through."""

from __future__ import annotations

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.origin import Origin
from tests.parity.log_lines import log, run_logs, text, with_end
from tests.parity.rules import of

IDS = [
    "00000000-0000-4000-8000-000000000000",
    "00000031-0000-4000-8000-000000000000",
    "00000032-0000-4000-8000-000000000000",
    "ffffffff-0000-4000-8000-000000000000",
    "00001388-0000-4000-8000-000000000000",
    "00000063-and-no-uuid",
    "0000002A-0000-4000-8000-000000000000",
]


def half(numerator: int, denominator: str) -> Fields:
    return {
        "runtime_filter": {"runtime_key": "k", "percent_sampled": {"numerator": numerator, "denominator": denominator}}
    }


FILTERS: dict[str, Fields] = {
    "half": half(50, "HUNDRED"),
    "half_of_10000": half(5000, "TEN_THOUSAND"),
    "half_of_a_million": half(500_000, "MILLION"),
    "no_share": {"runtime_filter": {"runtime_key": "k"}},
    "drawn_none": {"runtime_filter": {"runtime_key": "k", "use_independent_randomness": True}},
    "unknown_or_unavailable": {"grpc_status_filter": {"statuses": ["UNKNOWN", "UNAVAILABLE"]}},
    "not_ok": {"grpc_status_filter": {"statuses": ["OK"], "exclude": True}},
    "no_grpc_status": {"grpc_status_filter": {}},
    "ends": {"log_type_filter": {"types": ["DownstreamEnd"]}},
    "no_ends": {"log_type_filter": {"types": ["DownstreamEnd"], "exclude": True}},
    "starts": {"log_type_filter": {"types": ["DownstreamStart", "TcpConnectionEnd"]}},
    "no_types": {"log_type_filter": {}},
    "no_types_excluded": {"log_type_filter": {"exclude": True}},
}
REQUESTS = [f"GET /x?body=0 HTTP/1.1\r\nHost: a\r\nx-request-id: {one}\r\n\r\n".encode() for one in IDS] + [
    f"GET {target} HTTP/1.1\r\nHost: a\r\nx-request-id: {IDS[0]}\r\n\r\n".encode()
    for target in ("/x?body=0&header=grpc-status:0", "/x?body=0&header=grpc-status:13", "/x?status=404", "/down")
]


@pytest.fixture(scope="module")
def lines() -> dict[str, tuple[list[str], list[str]]]:
    """By filter: Envoy's lines and ours, for all requests."""
    with Origin() as origin:
        everything = virtual_host("v", ["*"], route("/down", "down"), route("/", "origin"))
        what = text("%REQ(X-REQUEST-ID)% %REQ(:PATH)% %RESPONSE_CODE%")
        without_probes = {"header_filter": {"header": {"name": ":path", "string_match": {"exact": "/probe?body=0"}}}}
        without_probes["header_filter"]["header"]["invert_match"] = True
        logs = with_end(
            *(log(name, what, {"and_filter": {"filters": [one, without_probes]}}) for name, one in FILTERS.items())
        )
        clusters = [static_cluster("origin", origin.port), static_cluster("down", 1)]
        with run_logs(bootstrap([http_listener(everything, access_log=logs)], clusters)) as both:
            for request in REQUESTS:
                both.send(request)
            return {name: both.lines(name) for name in FILTERS}


@pytest.mark.parity(
    *of("config.accesslog.v3.AccessLog", "filter"),
    *of(
        "config.accesslog.v3.AccessLogFilter",
        "runtime_filter",
        "grpc_status_filter",
        "log_type_filter",
        "and_filter",
        "header_filter",
    ),
    *of("config.accesslog.v3.RuntimeFilter", "percent_sampled", "use_independent_randomness"),
    *of("config.accesslog.v3.GrpcStatusFilter", "statuses", "exclude"),
    *of("config.accesslog.v3.LogTypeFilter", "types", "exclude"),
)
@pytest.mark.parametrize("name", FILTERS)
def test_the_same_requests_are_logged(lines: dict[str, tuple[list[str], list[str]]], name: str) -> None:
    envoy, ours = lines[name]
    assert ours == envoy
