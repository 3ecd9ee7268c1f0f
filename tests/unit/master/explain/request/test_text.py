"""Answers for a person: the decision comes first, and long lists are cut."""

from __future__ import annotations

import typing

import msgspec
import pytest

from master.explain.request.answer import Answer, Candidate
from master.explain.request.cluster import PROTOCOLS
from master.explain.request.place import DEFAULT
from master.explain.request.text import lines, verdict
from proxy.config.cluster import Cluster
from tests.unit.master.explain.request.test_explain import ask


def text(answer: Answer) -> str:
    return "\n".join(line.text for line in lines(answer))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://shop.test/api", "cluster origin, which takes 90 % of the requests: 1 host"),
        ("http://shop.test/old", "302, to http://shop.test/new, by the route itself"),
        ("http://shop.test/none", "404: no route of the virtual host takes it"),
        ("http://none.test/", "404: no virtual host has this authority"),
        ("http://shop.test/lost", "503: cluster_not_found"),
        ("http://shop.test/a%00", "400: path_normalization_failed before it is routed"),
    ],
)
def test_the_verdict_comes_first(url: str, words: str) -> None:
    answer = ask(url)
    assert verdict(answer).startswith(words)
    first, second = list(lines(answer))[:2]
    assert (first.text, second.text) == (f"GET {url}", f"  → {verdict(answer)}")
    assert first.heading
    assert second.heading


def test_what_led_to_it_follows_with_its_places() -> None:
    told = text(ask("http://shop.test/api", "x-env: dev"))
    for heading in ("routes tried before", "timeouts", "retries", "edits by the route, in this order", "upstream gets"):
        assert f"\n\n{heading}\n" in told
    assert "header x-env is 'dev', wants exact 'prod'  envoy.yaml:" in told.replace("   ", "  ")
    assert "none" in told
    assert "(default)" in told


def test_routes_for_other_paths_are_counted_if_they_are_many() -> None:
    few, many = (
        tuple(Candidate(number, "", f"path {number}", True, DEFAULT) for number in range(count)) for count in (5, 6)
    )
    by_header = Candidate(9, "near", "header", False, DEFAULT)
    answer = ask("http://shop.test/none")
    assert "path 4" in text(msgspec.structs.replace(answer, tried=few))
    told = text(msgspec.structs.replace(answer, tried=(*many, by_header)))
    assert "path 4" not in told
    assert "and 6 for other paths" in told
    assert "9 near" in told


def test_the_head_says_what_the_hosts_are_spoken_to_by() -> None:
    answer = ask("http://shop.test/api")
    assert answer.cluster is not None
    assert "GET /v1 HTTP/1.1" in text(answer)
    cluster = msgspec.structs.replace(answer.cluster, protocol="HTTP/2")
    assert "GET /v1 HTTP/2" in text(msgspec.structs.replace(answer, cluster=cluster))
    protocols = typing.get_args(typing.get_type_hints(Cluster)["protocol"])
    assert set(PROTOCOLS) == set(protocols)
