"""The express lane and the general path are one proxy: the same traffic through both, with and without the lane.

Requests and answers are drawn from what clients and hosts say, plain and less plain, mixed on one connection. Compared
are the bytes at the origin and at the client, every stat, every word of the shared tables, and the access log.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from proxy.config.header_mutation import Mutation
from proxy.config.http1 import HeaderCase, Http1Options, UpstreamHttp1Options
from proxy.config.identity import Identity
from proxy.config.route import HostRewrite
from proxy.filters.http.header_mutation import HeaderMutation
from proxy.filters.network import hcm_express
from tests.property.express.proxied import TLS, assert_same, run
from tests.property.express.routings import (
    CASES,
    CONSTANT,
    CONSTANT_ROUTING,
    EDITS,
    HASHES,
    HEADER_MUTATION,
    PLAIN_ROUTING,
    REWRITTEN,
    ROUTINGS,
    Routing,
)
from tests.property.express.traffic import GET, LONG, OF_MANY_PATHS, PLAIN, POST, SCRIPTS, TRACED, Answer, Step
from tests.unit.proxy.rig import plugin, router


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=SCRIPTS, remote=st.booleans(), suppress=st.booleans(), edits=EDITS)
@example(script=[Step(GET, PLAIN)] * 4, remote=True, suppress=False, edits=())
@example(script=[Step(GET, PLAIN)] * 4, remote=True, suppress=False, edits=CONSTANT)
@example(script=[Step(GET, LONG), Step(POST, LONG)], remote=True, suppress=False, edits=())
@example(script=[Step(GET, PLAIN), Step(POST, PLAIN)] * 2, remote=False, suppress=True, edits=())
def test_the_lane_changes_nothing(
    script: list[Step],
    remote: bool,
    suppress: bool,
    edits: tuple[Mutation, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mutation = plugin("m", HEADER_MUTATION, HeaderMutation.Config(request=edits, response=edits))
    options = {
        "identity": Identity(use_remote_address=remote),
        "last": router(suppress_envoy_headers=suppress),
        "filters": [mutation] if edits else [],
    }
    with_lane = run(script, tmp_path / "with", lane=True, monkeypatch=monkeypatch, **options)
    without = run(script, tmp_path / "without", lane=False, monkeypatch=monkeypatch, **options)
    assert_same(with_lane, without, service_time=not suppress)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=SCRIPTS, suppress=st.booleans(), edits=EDITS, routing=ROUTINGS)
@example(script=[Step(GET, PLAIN)] * 4, suppress=False, edits=(), routing=CONSTANT_ROUTING)
@example(
    script=TRACED, suppress=False, edits=(), routing=Routing({"host_rewrite": HostRewrite("header", "traceparent")})
)
@example(script=[Step(POST, PLAIN)] * 4, suppress=False, edits=CONSTANT, routing=CONSTANT_ROUTING)
@example(script=OF_MANY_PATHS, suppress=False, edits=(), routing=REWRITTEN[0])
@example(script=[*TRACED, *OF_MANY_PATHS], suppress=False, edits=CONSTANT, routing=REWRITTEN[1])
@example(script=OF_MANY_PATHS, suppress=True, edits=(), routing=REWRITTEN[0])
@example(script=TRACED, suppress=False, edits=(), routing=Routing({"hash_policies": (HASHES[0],)}))
@example(script=[Step(GET, PLAIN)] * 3, suppress=False, edits=(), routing=Routing({"hash_policies": (HASHES[4],)}))
def test_the_lane_changes_nothing_of_what_routes_do(
    script: list[Step],
    suppress: bool,
    edits: tuple[Mutation, ...],
    routing: Routing,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {
        "last": router(suppress_envoy_headers=suppress),
        "filters": [plugin("m", HEADER_MUTATION, HeaderMutation.Config(request=edits, response=edits))],
        "routing": routing,
    }
    with_lane = run(script, tmp_path / "with", lane=True, monkeypatch=monkeypatch, **options)
    without = run(script, tmp_path / "without", lane=False, monkeypatch=monkeypatch, **options)
    assert_same(with_lane, without, service_time=not suppress)


@pytest.mark.parametrize(
    "routing",
    [PLAIN_ROUTING, CONSTANT_ROUTING, *REWRITTEN, Routing({"hash_policies": (HASHES[1], HASHES[5])})],
    ids=["plain", "constant", "prefix", "regex", "hashed"],
)
@pytest.mark.parametrize("answer", [PLAIN, LONG], ids=["short", "long"])
def test_plain_requests_take_the_lane(
    answer: Answer, routing: Routing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_taken(answer, tmp_path, monkeypatch, routing=routing)


def test_plain_requests_over_tls_take_the_lane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_taken(PLAIN, tmp_path, monkeypatch, tls=TLS)


def assert_taken(answer: Answer, directory: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    taken = 0
    respond = hcm_express.Lane._respond

    def counted(self: hcm_express.Lane, *arguments: Any) -> bool:
        nonlocal taken
        taken += 1
        return respond(self, *arguments)

    monkeypatch.setattr(hcm_express.Lane, "_respond", counted)
    query = Step(GET.replace(b"/ ", b"/a?b "), answer)
    browser = Step(GET[:-2] + b"Upgrade-Insecure-Requests: 1\r\n\r\n", answer)
    script = [Step(GET, answer)] * 3 + [Step(POST, answer)] * 2 + [query, browser]
    run(script, directory / "log", lane=True, monkeypatch=monkeypatch, **options)
    assert taken == len(script) - 1  # the first one has to open a connection


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=SCRIPTS, listener=CASES, cluster=CASES, whole=st.booleans())
@example(script=[Step(GET, PLAIN)] * 4, listener=HeaderCase(preserves=True), cluster=HeaderCase(True), whole=False)
@example(script=TRACED, listener=HeaderCase(proper=True), cluster=HeaderCase(proper=True), whole=False)
def test_the_lane_changes_nothing_of_how_names_are_written(
    script: list[Step],
    listener: HeaderCase | None,
    cluster: HeaderCase | None,
    whole: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {
        "http1": Http1Options(header_case=listener),
        "upstream": UpstreamHttp1Options(header_case=cluster, send_fully_qualified_url=whole),
        "identity": Identity(use_remote_address=True, preserve_external_request_id=True),
    }
    with_lane = run(script, tmp_path / "with", lane=True, monkeypatch=monkeypatch, **options)
    without = run(script, tmp_path / "without", lane=False, monkeypatch=monkeypatch, **options)
    assert_same(with_lane, without, service_time=True)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=SCRIPTS, remote=st.booleans())
@example(script=[Step(GET, PLAIN)] * 4, remote=True)
@example(script=[Step(GET, LONG), Step(POST, LONG)], remote=False)
def test_the_lane_changes_nothing_over_tls(
    script: list[Step], remote: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"identity": Identity(use_remote_address=remote), "tls": TLS}
    with_lane = run(script, tmp_path / "with", lane=True, monkeypatch=monkeypatch, **options)
    without = run(script, tmp_path / "without", lane=False, monkeypatch=monkeypatch, **options)
    assert_same(with_lane, without, service_time=True)
    assert with_lane.words["listener.127.0.0.1_0.ssl.handshake"] > 0
