"""Requests from inside: the headers that Envoy's router obeys and consumes, and the stats of both kinds of callers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.kit.bootstrap import bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.origin import Origin
from tests.kit.parity import Answers, Pair, run_pair
from tests.kit.process import wait_for
from tests.parity.rules import of

EXPECTED = "x-envoy-expected-rq-timeout-ms"
# Who asks, by listener: the peer itself, or the one address in x-forwarded-for.
CALLERS = {
    "edge, nobody before": ("edge", []),
    "edge, inside address": ("edge", ["X-Forwarded-For: 10.0.0.3"]),
    "behind, inside address": ("behind", ["X-Forwarded-For: 10.0.0.3"]),
    "behind, two inside addresses": ("behind", ["X-Forwarded-For: 10.0.0.3, 10.0.0.4"]),
    "behind, outside address": ("behind", ["X-Forwarded-For: 1.1.1.1"]),
    "behind, no address": ("behind", []),
}
INTERNAL = {"edge, nobody before", "behind, inside address"}
WISHES = [
    ["X-Envoy-Max-Retries: 1", "X-Envoy-Retry-On: connect-failure", "X-Envoy-Retry-Grpc-On: cancelled"],
    ["X-Envoy-Retriable-Status-Codes: 599", "X-Envoy-Retriable-Header-Names: x", "X-Envoy-Hedge-On-Per-Try-Timeout: 1"],
    *([f"X-Envoy-Upstream-Rq-Timeout-Ms: {value}"] for value in ("7000", "+7000", "0", "", "-1", "7.5", "0x9", "1_0")),
    ["X-Envoy-Upstream-Rq-Timeout-Ms: 18446744073709551616"],
    ["X-Envoy-Upstream-Rq-Timeout-Ms: 5000", "X-Envoy-Upstream-Rq-Timeout-Ms: 7000"],
    ["X-Envoy-Upstream-Rq-Timeout-Ms: 5000", f"{EXPECTED}: 3"],
    ["X-Envoy-Upstream-Rq-Timeout-Ms: 0", f"{EXPECTED}: 3"],
    ["X-Envoy-Upstream-Rq-Timeout-Alt-Response: 1"],
    ["X-Envoy-Upstream-Stream-Duration-Ms: 60000"],
    [f"{EXPECTED}: 3"],
    ["X-Envoy-Internal: true"],
    [],
]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    everything = virtual_host(
        "everything",
        ["*"],
        route("/unlimited", "origin", timeout="0s"),
        route("/nobody", "nobody"),
        route("/", "origin"),
    )
    inside = {"cidr_ranges": [{"address_prefix": net, "prefix_len": 8} for net in ("10.0.0.0", "127.0.0.0")]}
    quiet = {"http_filters": [suppressing()]}
    listeners = [
        http_listener(everything, name="edge", use_remote_address=True, internal_address_config=inside),
        http_listener(everything, name="behind", internal_address_config=inside),
        http_listener(everything, name="quiet", use_remote_address=True, internal_address_config=inside, **quiet),
    ]
    with Origin() as origin:
        clusters = [static_cluster("origin", origin.port), static_cluster("nobody")]
        with run_pair(bootstrap(listeners, clusters)) as running:
            yield running


def suppressing() -> dict[str, object]:
    router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
    return {"name": "envoy.filters.http.router", "typed_config": {"@type": router, "suppress_envoy_headers": True}}


def head(target: str, *lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in (f"GET {target} HTTP/1.1", "Host: h", *lines, "")).encode("latin-1")


def told(answers: Answers) -> list[list[str]]:
    """What each origin was told of the timeout."""
    return [[value for name, value in answer.echo["headers"] if name == EXPECTED] for answer in answers]


@pytest.mark.parity("rule 24")
@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("target", ["/", "/unlimited"])
def test_wishes(pair: Pair, caller: str, target: str) -> None:
    listener, lines = CALLERS[caller]
    # What the origin is told of it differs without a timeout of the route (docs/parity.md).
    per_try = [["X-Envoy-Upstream-Rq-Per-Try-Timeout-Ms: 60000"]] if target == "/" else []
    for wish in WISHES + per_try:
        answers = pair.send(head(target, *lines, *wish), listener=listener)
        envoy, ours = told(answers)
        assert (wish, ours) == (wish, envoy)
        answers.assert_same()


@pytest.mark.parity("rule 27", *of("extensions.filters.http.router.v3.Router", "suppress_envoy_headers"))
def test_wishes_with_suppressed_headers(pair: Pair) -> None:
    for wish in WISHES:
        answers = pair.send(head("/", *wish), listener="quiet")
        envoy, ours = told(answers)
        assert (wish, ours) == (wish, envoy)
        answers.assert_same()


@pytest.mark.parity("rule 24")
@pytest.mark.parametrize("target", ["/?delay=1", "/unlimited?delay=1"])
@pytest.mark.parametrize("alternative", [[], ["X-Envoy-Upstream-Rq-Timeout-Alt-Response: yes"]])
def test_timeout_by_header(pair: Pair, target: str, alternative: list[str]) -> None:
    before = stats(pair)
    answers = pair.send(head(target, "X-Envoy-Upstream-Rq-Timeout-Ms: 50", *alternative), listener="edge")
    assert answers.ours.status == (204 if alternative else 504)
    answers.assert_same()
    assert_same_deltas(pair, before)


@pytest.mark.parity("rule 24")
def test_no_timeout_by_header_from_outside(pair: Pair) -> None:
    answers = pair.send(head("/?delay=0.1", "X-Envoy-Upstream-Rq-Timeout-Ms: 10"), listener="behind")
    assert answers.ours.status == 200
    answers.assert_same()


def stats(pair: Pair) -> list[dict[str, int]]:
    """Of both, what clusters count by callers."""
    return [
        {name: value for name, value in side.stats().items() if name.startswith("cluster.") and "_rq_" in name}
        for side in (pair.envoy, pair.ours)
    ]


def assert_same_deltas(pair: Pair, before: list[dict[str, int]]) -> dict[str, int]:
    """Gives our own."""

    def deltas() -> list[dict[str, int]]:
        return [
            {name: value - early.get(name, 0) for name, value in late.items() if value != early.get(name, 0)}
            for early, late in zip(before, stats(pair), strict=True)
        ]

    with contextlib.suppress(AssertionError):  # said better below
        wait_for(lambda: (now := deltas()) and now[0] == now[1] and any(now), deadline=30, what="the same deltas")
    envoy, ours = deltas()
    assert ours == envoy
    return ours


@pytest.mark.parity("rule 72")
@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(("target", "status"), [("/", 200), ("/?status=404&informational=103", 404), ("/nobody", 503)])
def test_stats(pair: Pair, caller: str, target: str, status: int) -> None:
    listener, lines = CALLERS[caller]
    before = stats(pair)
    answers = pair.send(head(target, "Connection: close", *lines), listener=listener)
    assert answers.ours.status == status
    ours = assert_same_deltas(pair, before)
    cluster, kind = "nobody" if target == "/nobody" else "origin", "internal" if caller in INTERNAL else "external"
    assert ours[f"cluster.{cluster}.{kind}.upstream_rq_{status}"] == 1


@pytest.mark.parity("rule 72")
@pytest.mark.parametrize("value", ["true", "false", "True", "1"])
def test_canary(pair: Pair, value: str) -> None:
    before = stats(pair)
    pair.send(
        head("/", f"x-script: status=201&header=x-envoy-upstream-canary:{value}", "Connection: close"), listener="edge"
    )
    ours = assert_same_deltas(pair, before)
    assert ours.get("cluster.origin.canary.upstream_rq_201", 0) == (value == "true")


@pytest.mark.parity("rule 72")
def test_times(pair: Pair) -> None:
    for listener in ("edge", "behind"):
        pair.send(head("/", "x-script: header=x-envoy-upstream-canary:true"), listener=listener)
    target = "/stats?filter=%5Ecluster.*rq_time%24&type=Histograms"
    envoy, ours = (
        [line.split(b": ")[0] for line in side.admin(target).body.splitlines()] for side in (pair.envoy, pair.ours)
    )
    assert ours == envoy
    assert len(ours) == 4
