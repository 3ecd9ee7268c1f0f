"""What h2load prints, and what is made of it; and the heads that it is told to send."""

from __future__ import annotations

import pytest

from bench import requests
from bench.client import fields
from bench.figures import Unfit
from bench.h2load import parse

_OUTPUT = """\
Main benchmark duration is over for thread #0. Stopping all clients.

finished in 2.50s, 400.00 req/s, 758.42KB/s
requests: 1000 total, 1016 started, 1000 done, {succeeded} succeeded, {failed} failed, 0 errored, {timeout} timeout
status codes: 1003 2xx, 0 3xx, 0 4xx, {bad} 5xx
traffic: 758.42KB (776621) total, 167.50KB (171525) headers (space savings 91.98%), 181.69KB (186048) data
"""
_LOG = "".join(f"1795860164248685\t200\t{time}\n" for time in range(1000, 0, -1))


def output(*, succeeded: int = 1000, failed: int = 0, timeout: int = 0, bad: int = 0) -> str:
    return _OUTPUT.format(succeeded=succeeded, failed=failed, timeout=timeout, bad=bad)


def test_figures_are_those_of_all_requests() -> None:
    outcome = parse(output(), _LOG)
    assert (outcome.requests, outcome.seconds, outcome.rps) == (1000, 2.5, 400.0)
    assert (outcome.p50, outcome.p99, outcome.p999) == (501, 991, 1000)


@pytest.mark.parametrize(
    "printed", [output(succeeded=999, failed=1), output(timeout=1), output(bad=1)], ids=["failed", "timeout", "status"]
)
def test_one_error_of_any_kind_voids_the_run(printed: str) -> None:
    with pytest.raises(Unfit, match="errors: requests: 1000 total"):
        parse(printed, _LOG)


def test_what_was_printed_instead_of_figures_is_the_reason() -> None:
    with pytest.raises(Unfit, match="connect"):
        parse("unable to connect", "")
    with pytest.raises(Unfit, match="no request"):
        parse(output(), "")


def test_a_head_of_http1_is_one_of_http2() -> None:
    assert fields(requests.get("small")) == [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", requests.HOST),
        (":path", f"{requests.ROUTE}/small"),
        ("user-agent", "bench"),
        ("accept", "*/*"),
    ]
