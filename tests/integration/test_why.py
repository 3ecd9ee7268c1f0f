"""`proxyctl why` of a running proxy: every failure is told, and outlives the worker that met it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.integration.processes.family import wait_for_workers, workers
from tests.kit.bootstrap import bootstrap, http_listener, route, socket_address, static_cluster, virtual_host
from tests.kit.client import fetch
from tests.kit.process import ROOT, wait_for
from tests.kit.proxy import Proxy, proxyctl

TCP_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
TO_REFUSING = {"stat_prefix": "t", "cluster": "refusing", "max_connect_attempts": 2}


class Failing(NamedTuple):
    """A proxy with a cluster that refuses connections, one that never answers, and one without hosts."""

    proxy: Proxy
    refusing: int
    silent: int

    def ask(self, path: str, request_id: str) -> int:
        request = f"GET {path} HTTP/1.1\r\nHost: h\r\nx-request-id: {request_id}\r\n\r\n".encode()
        return fetch(self.proxy.address("main"), request).status

    def why(self, *arguments: str) -> list[dict[str, Any]]:
        done = proxyctl("why", "--json", *arguments, runtime=self.proxy.runtime)
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)["data"]
        return found


@pytest.fixture(scope="module")
def failing() -> Iterator[Failing]:
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        ports = refusing.getsockname()[1], silent.getsockname()[1]
        routes = [route("/silent", "silent", timeout="0.3s"), route("/empty", "empty"), route("/", "refusing")]
        clusters = [static_cluster("refusing", ports[0]), static_cluster("silent", ports[1]), static_cluster("empty")]
        tcp = {
            "name": "tcp",
            "address": socket_address("127.0.0.1", 0),
            "filter_chains": [{"filters": [{"name": "tcp", "typed_config": {"@type": TCP_PROXY, **TO_REFUSING}}]}],
        }
        text = bootstrap([http_listener(virtual_host("v", ["*"], *routes)), tcp], clusters)
        with Proxy(text, concurrency=2) as proxy:
            yield Failing(proxy, *ports)


def test_each_failure_is_told_newest_first(failing: Failing) -> None:
    assert failing.ask("/refused", "refused-1") == 503
    assert failing.ask("/silent", "silent-1") == 504
    assert failing.ask("/empty", "empty-1") == 503
    assert [failure["request_id"] for failure in failing.why("--limit", "3")] == ["empty-1", "silent-1", "refused-1"]
    (refused,) = failing.why("refused-1")
    assert (refused["flags"], refused["words"]["fault"]) == ("UF", "upstream")
    assert refused["attempts"][0]["host"] == f"127.0.0.1:{failing.refusing}"
    assert "Connection refused" in refused["attempts"][0]["error"]
    assert (refused["attempts"][0]["phase"], refused["attempts"][0]["errno"]) == ("connect", "ECONNREFUSED")
    (silent,) = failing.why("--flag", "UT", "--limit", "1")
    assert silent["words"]["decided"] == ["the route's timeout of 0.3 s (RouteAction.timeout, configured)"]


def test_a_tcp_connection_that_found_no_host_is_told(failing: Failing) -> None:
    with socket.create_connection(failing.proxy.address("tcp")) as client:
        assert client.recv(1) == b""
    (record,) = [one for one in failing.why("--flag", "URX") if one["protocol"] == "TCP"]
    assert [(one["phase"], one["errno"]) for one in record["attempts"]] == [("connect", "ECONNREFUSED")] * 2
    assert record["words"]["fault"] == "upstream"
    assert record["words"]["decided"] == [
        "the TCP proxy's attempts to connect of 2 (TcpProxy.max_connect_attempts, configured)"
    ]
    shown = proxyctl("why", "--flag", "UF", "--limit", "1", runtime=failing.proxy.runtime).stdout
    assert "(a TCP connection)" in shown
    assert "(ECONNREFUSED, " in shown


def test_the_text_tells_a_person(failing: Failing) -> None:
    assert failing.ask("/silent", "told-1") == 504
    done = proxyctl("why", "told-1", runtime=failing.proxy.runtime)
    assert done.returncode == 0
    assert " UT 504  GET h/silent" in done.stdout
    assert f"1. 127.0.0.1:{failing.silent}, waiting for the response: response_timeout" in done.stdout
    assert "the route's timeout of 0.3 s (RouteAction.timeout, configured)" in done.stdout


def test_an_unknown_request_is_a_finding(failing: Failing) -> None:
    done = proxyctl("why", "no-such-request", runtime=failing.proxy.runtime)
    assert done.returncode == 1
    assert "nothing on record" in done.stderr


def test_nothing_of_the_network_reaches_the_terminal_as_it_is(failing: Failing) -> None:
    request = b"GET /\xe2\x80\xae HTTP/1.1\r\nHost: h\r\nx-request-id: esc-\xc2\x9b31m\r\n\r\n"
    fetch(failing.proxy.address("main"), request)
    shown = proxyctl("why", "--limit", "1", runtime=failing.proxy.runtime).stdout
    assert all(char.isprintable() or char == "\n" for char in shown)


def test_a_record_outlives_its_worker(failing: Failing) -> None:
    assert failing.ask("/refused", "before-the-crash") == 503
    (record,) = failing.why("before-the-crash")
    family = workers(failing.proxy)
    for victim in family:
        victim.kill()
    wait_for_workers(failing.proxy, 2, but=frozenset(victim.pid for victim in family))
    assert failing.why("before-the-crash") == [record]


def test_follow_shows_failures_as_they_happen(failing: Failing) -> None:
    command = [sys.executable, "-m", "master.cli.main", "--runtime-dir", str(failing.proxy.runtime)]
    with subprocess.Popen([*command, "why", "--follow", "--json"], cwd=ROOT, stdout=subprocess.PIPE) as following:
        try:
            assert failing.ask("/refused", "followed") == 503
            assert following.stdout is not None
            stdout = following.stdout
            seen: list[str] = []

            def followed() -> bool:
                seen.append(json.loads(stdout.readline())["request_id"])
                return seen[-1] == "followed"

            wait_for(followed, deadline=30, what="the failure is shown")
        finally:
            following.kill()
