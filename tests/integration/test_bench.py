"""The benchmark's own machinery, on the smallest of its subjects."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from bench import machine, requests, run
from bench.figures import Row
from bench.load import download
from bench.nginx import Nginx, free_port
from bench.recording import differences
from bench.scenarios import Scenario
from bench.scenarios.effort import Effort
from bench.scenarios.idle import BesideIdle
from bench.scenarios.under_load import Requests
from bench.subjects import Subjects
from bench.upstreams import Upstreams

EFFORT = Effort(repetitions=1, fresh=1, seconds=1, connections=10, downloads=1, references=False)


@pytest.fixture(scope="module")
def upstreams() -> Iterator[Upstreams]:
    if shutil.which("nginx") is None and shutil.which("nginx", path="/usr/sbin") is None:
        pytest.skip("nginx, the origin of the benchmark, is not installed")
    with Upstreams() as running:
        yield running


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_a_scenario_yields_figures_and_what_cannot_be_measured_its_reason(upstreams: Upstreams) -> None:
    scenario = Scenario("s", "title", Requests(requests.get("small"), 2), pair=("bare",), references=())
    elsewhere = Scenario("t", "title", Requests(requests.get("small"), listener="log"), pair=("bare",), references=())
    shown: list[Row] = []
    subjects = Subjects(upstreams, machine.choose_cores())
    try:
        table = run.run([scenario, elsewhere], subjects, EFFORT, lambda _, row: shown.append(row))
    finally:
        subjects.keep(())
    (sample,) = table["s"]["bare"].samples
    assert table["s"]["bare"].problem == ""
    assert sample["rps"] > 0
    assert sample["cpu"] == sample["user"] + sample["system"] > 0
    assert 0 < sample["p50"] <= sample["p99"] <= sample["p999"]
    assert table["t"]["bare"].problem == "the prototype knows plain requests alone"
    assert shown == list(table.values())


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_idle_connections_are_there_and_what_they_cost_others_is_said(upstreams: Upstreams) -> None:
    beside = Scenario("s", "title", BesideIdle(requests.get("small"), 2), pair=("bare",), references=())
    too_many = Effort(repetitions=1, fresh=1, seconds=1, connections=1 << 30, downloads=1, references=False)
    subjects = Subjects(upstreams, machine.choose_cores())
    try:
        row = run.run([beside], subjects, EFFORT, lambda *_: None)["s"]
        refused = run.run([beside], subjects, too_many, lambda *_: None)["s"]
    finally:
        subjects.keep(())
    assert row["bare"].problem == ""
    assert row["bare"].samples[0]["burden"] > 0
    assert "too few for 1073741824 connections" in refused["bare"].problem


def test_a_header_that_only_one_of_two_sends_is_found(upstreams: Upstreams) -> None:
    direct = ("127.0.0.1", upstreams.recorder)
    request = requests.get("small", requests.TEN)
    assert differences(direct, direct, request) == []
    port = free_port()
    adding = "proxy_http_version 1.1; proxy_set_header Host $host; proxy_set_header X-Extra 1"
    adding += f"; proxy_pass http://127.0.0.1:{upstreams.recorder};"
    with Nginx(f"server {{ listen 127.0.0.1:{port}; location / {{ {adding} }} }}", port):
        found = differences(("127.0.0.1", port), direct, request)
    assert "the origin received from ours alone: x-extra: 1" in found
    assert not [line for line in found if "accept" in line or "(request)" in line]


def test_the_origin_serves_what_the_scenarios_ask_for(upstreams: Upstreams) -> None:
    outcome = download(("127.0.0.1", upstreams.origin), requests.get("64k"), count=3)
    assert outcome.requests == 3
