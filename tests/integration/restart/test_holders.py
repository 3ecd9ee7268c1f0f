"""Who holds a drain is told while it goes on, in the log, and when its time is over; and then it is over."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.integration.processes.family import one
from tests.integration.restart.restarting import restart, status, wait_until_alone
from tests.kit.bootstrap import one_origin
from tests.kit.client import Connection, ConnectionEnded
from tests.kit.load import Load
from tests.kit.origin import Origin
from tests.kit.process import ROOT, wait_for
from tests.kit.proxy import PROXYCTL, Proxy, proxyctl

ACTIVE = "http.ingress.downstream_rq_active"
SLOW = b"GET /slow?delay=60 HTTP/1.1\r\nHost: a\r\n\r\n"
QUICK = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture
def proxy(origin: Origin) -> Iterator[Proxy]:
    arguments = ["--parent-shutdown-time-s", "8", "--shutdown-drain-time-s", "1"]
    with Proxy(one_origin(origin.port), concurrency=2, arguments=arguments) as proxy:
        yield proxy


def sessions(proxy: Proxy, *arguments: str) -> dict[str, Any]:
    done = proxyctl("sessions", "--json", *arguments, runtime=proxy.runtime)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["data"]
    assert isinstance(found, dict)
    return found


@contextlib.contextmanager
def slow_request(proxy: Proxy) -> Iterator[Connection]:
    """A connection whose request is in hand."""
    before = proxy.stats().get(ACTIVE, 0)
    with Connection(proxy.address(), timeout=40) as connection:
        connection.send(SLOW)
        wait_for(lambda: proxy.stats()[ACTIVE] == before + 1, deadline=20, what="the request is in hand")
        yield connection


def peer(connection: Connection) -> str:
    return "{}:{}".format(*connection.sock.getsockname())


def test_every_worker_tells_its_connections(proxy: Proxy) -> None:
    with slow_request(proxy) as slow, contextlib.ExitStack() as stack:
        idle = [stack.enter_context(Connection(proxy.address())) for _ in range(6)]
        for connection in idle:
            assert connection.request(QUICK).status == 200
        found = sessions(proxy)
        assert found["total"] == 7
        assert found["silent"] == []
        assert {each["peer"] for each in found["sessions"]} == {peer(each) for each in (slow, *idle)}
        first = found["sessions"][0]
        assert first["peer"] == peer(slow)
        assert (first["kind"], first["listener"], first["cluster"]) == ("request", "web", "origin")
        assert first["request"].startswith("GET /slow")
        assert first["waits_for"] == "the upstream's response"
        assert {each["kind"] for each in found["sessions"][1:]} == {"idle"}
        assert sessions(proxy, "--older", "1h")["total"] == 0
        assert sessions(proxy, "--listener", "other")["total"] == 0
        assert len(sessions(proxy, "--limit", "2")["sessions"]) == 2
        table = proxyctl("sessions", "--listener", "web", runtime=proxy.runtime)
        assert peer(slow) in table.stdout
        assert "the upstream's response" in table.stdout


def test_a_worker_that_hangs_is_named_and_holds_nobody_up(proxy: Proxy) -> None:
    stopped = one(proxy, "worker 0")
    stopped.suspend()
    try:
        found = sessions(proxy)
        assert [each["worker"] for each in found["silent"]] == [0]
        done = proxyctl("sessions", runtime=proxy.runtime)
        assert "worker 0 of generation 1" in done.stderr
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):  # on a slow machine it has been replaced by now
            stopped.resume()


def test_what_is_left_when_its_time_is_over_is_closed_and_named(proxy: Proxy) -> None:
    with slow_request(proxy) as slow, Load(proxy.address(), mode="new", connections=2, pause=0.01) as load:
        command = [*PROXYCTL, "--runtime-dir", str(proxy.runtime), "restart", "--wait"]
        waiting = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        old = wait_for(lambda: draining(proxy, 1), deadline=30, what="the old one drains")
        assert 0 < old["ends_in_s"] <= 13
        first = sessions(proxy)["sessions"][0]
        assert (first["peer"], first["generation"]) == (peer(slow), 1)
        listed = proxyctl("ps", runtime=proxy.runtime)
        assert "generation 1 drains" in listed.stderr
        assert f"held by {peer(slow)} on listener web" in listed.stderr
        with pytest.raises(ConnectionEnded):
            slow.receive()
        _, said = waiting.communicate(timeout=30)
        report = load.finish()
    assert waiting.returncode == 0, said
    assert report.failed.total() == 0, report.failed
    assert "generation 1 drains: 1 connections, 1 requests" in said
    assert f"held by {peer_of(first)} on listener web" in said
    assert "waits for the upstream's response" in said
    wait_until_alone(proxy)
    (line,) = [line for line in proxy.output().splitlines() if "the drain is over after 8 s" in line]
    assert peer_of(first) in line
    assert "GET /slow" in line
    assert "has not ended in time" not in proxy.output()  # nobody had to be killed


def draining(proxy: Proxy, generation: int) -> dict[str, Any] | None:
    """The generation as `/hot_restart` has it, once it drains and one connection is left."""
    with contextlib.suppress(OSError, EOFError, ConnectionEnded):
        for each in status(proxy)["generations"]:
            if each["generation"] == generation and each["state"] == "draining" and each["connections"] == 1:
                assert isinstance(each, dict)
                return each
    return None


def peer_of(session: dict[str, Any]) -> str:
    found = session["peer"]
    assert isinstance(found, str)
    return found


def test_a_worker_that_does_not_end_in_time_is_killed(origin: Origin) -> None:
    with Proxy(one_origin(origin.port), arguments=["--parent-shutdown-time-s", "1"]) as proxy:
        with slow_request(proxy) as slow:
            proxy.admin("/hot_restart/begin?canary=2", "POST")
            wait_for(lambda: status(proxy)["phase"] == "canary", deadline=30, what="the canary serves")
            one(proxy, "worker 0 (generation 1)").suspend()  # it will not hear that it is to drain
            with pytest.raises(ConnectionEnded):
                slow.receive()
        wait_until_alone(proxy)
        assert "no sign of life" in proxy.output() or "has not ended in time: killing" in proxy.output()


def test_generations_end_in_the_order_in_which_they_drain(origin: Origin) -> None:
    with (
        Proxy(one_origin(origin.port), arguments=["--parent-shutdown-time-s", "10"]) as proxy,
        contextlib.ExitStack() as s,
    ):
        first = s.enter_context(slow_request(proxy))
        assert restart(proxy).returncode == 0
        second = s.enter_context(slow_request(proxy))
        assert restart(proxy).returncode == 0
        found = status(proxy)["generations"]
        assert [(each["generation"], each["state"]) for each in found] == [
            (1, "draining"), (2, "draining"), (3, "serving"),
        ]  # fmt: skip
        assert found[0]["ends_in_s"] < found[1]["ends_in_s"]
        stats = proxy.stats()
        assert stats["server.parent_connections"] == stats["server.total_connections"] == 2
        assert (stats["server.hot_restart_epoch"], stats["server.hot_restart_generation"]) == (2, 3)
        with pytest.raises(ConnectionEnded):
            first.receive()
        wait_for(
            lambda: {each["generation"] for each in status(proxy)["generations"]} == {2, 3},
            deadline=20, what="the first one is gone, before the second",
        )  # fmt: skip
        with pytest.raises(ConnectionEnded):
            second.receive()
    assert proxy.process.returncode == 0


def test_a_drain_of_a_listener_names_who_holds_it(proxy: Proxy) -> None:
    with slow_request(proxy) as slow:
        done = proxyctl("drain", "web", "--wait", "--timeout", "3", runtime=proxy.runtime)
        assert done.returncode == 6
        assert done.stderr.count(f"{peer(slow)} on listener web") >= 2  # while it goes on, and in the end
        (item,) = json.loads(proxy.admin("/drains?holders").body)["listeners"]
        assert [each["peer"] for each in item["held_by"]] == [peer(slow)]


def test_what_a_shutdown_cuts_off_is_named(proxy: Proxy) -> None:
    with slow_request(proxy) as slow:
        proxy.stop()
        assert f"the drain is over after 1 s: closing 1 connection(s): {peer(slow)}" in proxy.output()
