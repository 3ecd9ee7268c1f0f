"""`proxyctl restart --canary`: one worker of the new generation is tried first, and sent back if it does worse."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.integration.processes.family import one, titled
from tests.integration.restart.restarting import other_release, restart, status, wait_until_alone
from tests.kit.bootstrap import http_listener, one_origin, route, virtual_host
from tests.kit.client import Connection, get
from tests.kit.load import Load
from tests.kit.origin import Origin
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
REQUESTS = "http.ingress.downstream_rq_total"


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(params=[1, 2])
def proxy(origin: Origin, request: pytest.FixtureRequest) -> Iterator[Proxy]:
    with Proxy(one_origin(origin.port), concurrency=request.param) as proxy:
        yield proxy


@pytest.fixture
def single(origin: Origin) -> Iterator[Proxy]:
    with Proxy(one_origin(origin.port), concurrency=1) as proxy:
        yield proxy


def trying(proxy: Proxy) -> dict[str, Any] | None:
    """What both have done so far, while a canary is tried."""
    found = status(proxy)["canary"]
    assert found is None or isinstance(found, dict)
    return found


def wait_until_tried(proxy: Proxy) -> None:
    wait_for(lambda: trying(proxy) is not None, deadline=30, what="the canary serves")


def begin_canary(proxy: Proxy, seconds: int) -> None:
    """Ask for a restart with a canary without waiting for it."""
    answer = proxy.admin(f"/hot_restart/begin?canary={seconds}", "POST")
    assert answer.status == 200, answer.body


def wait_until_idle(proxy: Proxy) -> dict[str, Any]:
    wait_for(lambda: status(proxy)["phase"] == "idle", deadline=60, what="the restart is over")
    return status(proxy)


def break_upstream(proxy: Proxy, origin: Origin) -> None:
    """A configuration whose only fault is one that no check of a file can find."""
    text = proxy.config.read_text()
    assert f"port_value: {origin.port}" in text
    proxy.config.write_text(text.replace(f"port_value: {origin.port}", "port_value: 1"))


def test_a_good_one_serves_beside_the_old_ones_and_then_takes_over(proxy: Proxy) -> None:
    before = proxy.stats().get(REQUESTS, 0)
    with Load(proxy.address(), mode="new", connections=4) as load:
        done = restart(proxy, "--canary", "3s")
        report = load.finish()
    assert done.returncode == 0, done.stderr + proxy.output()
    assert report.failed.total() == 0, report.failed
    assert "one worker serves" in done.stderr
    assert "has taken over" in done.stderr
    (line,) = [line for line in proxy.output().splitlines() if "canary: " in line]
    mine, theirs = (int(part.split(" of ")[1].split()[0]) for part in line.split(": ", 1)[1].split(";"))
    assert mine > 20  # both got a share, with a single worker too
    assert theirs > 20
    wait_until_alone(proxy)
    assert proxy.stats()[REQUESTS] == before + report.ok
    assert status(proxy)["leader"] == 2


def test_one_that_fails_requests_is_sent_back_and_nobody_else_notices(proxy: Proxy, origin: Origin) -> None:
    pids = {each["pid"] for each in proxy.processes()}
    break_upstream(proxy, origin)
    with (
        Load(proxy.address(), mode="new", connections=3, pause=0.01) as load,
        Connection(proxy.address()) as kept,
    ):
        assert kept.request(GET).status == 200
        done = restart(proxy, "--canary", "60s")  # it does not take that long to see it
        report = load.finish()
        assert kept.request(GET).status == 200
    assert done.returncode == 1, done.stderr + proxy.output()
    assert "requests failed by its own doing" in done.stderr
    assert set(report.failed) == {"status 503"}  # each of them has an answer of the canary
    found = status(proxy)
    assert (found["outcome"], found["exit_code"], found["leader"]) == ("failed", 1, 1)
    wait_until_alone(proxy)
    assert {each["pid"] for each in proxy.processes()} == pids
    assert found["reason"] in proxy.output()


def test_what_a_canary_has_accepted_is_finished_after_it_is_sent_back(single: Proxy) -> None:
    """Its idle connections change back, a request in its hands ends well, and the next restart goes on meanwhile."""
    begin_canary(single, 60)
    wait_until_tried(single)
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(single.address())) for _ in range(16)]
        for connection in connections:
            assert connection.request(GET).status == 200
        canary, old = sorted(titled(single, "worker"), key=lambda process: "generation 2" not in process.cmdline()[0])
        wait_for(lambda: trying(single)["canary"]["requests"] > 0, deadline=10, what="the canary got some")  # type: ignore[index]
        for connection in connections[:8]:
            connection.send(b"GET /?delay=8 HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: single.stats()["http.ingress.downstream_rq_active"] == 8, deadline=10, what="requests in hand")
        single.admin("/drain_listeners?skip_exit&graceful", "POST")  # what an operator does instead ends the trial
        found = wait_until_idle(single)
        assert "drained meanwhile" in found["reason"]
        single.admin("/drain_listeners?undo", "POST")
        assert old.is_running()
        assert canary.is_running()
        for connection in connections[8:]:
            assert connection.request(GET).status == 200
        done = restart(single)
        assert done.returncode == 0, done.stderr
        assert status(single)["leader"] == 3
        for connection in connections[:8]:
            assert connection.receive().status == 200
        wait_until_alone(single)


def test_one_that_dies_is_sent_back(proxy: Proxy) -> None:
    begin_canary(proxy, 60)
    wait_until_tried(proxy)
    (victim,) = titled(proxy, "worker 0 (generation 2)")
    victim.kill()
    found = wait_until_idle(proxy)
    assert (found["outcome"], found["exit_code"]) == ("failed", 1)
    assert "1 of its processes died" in found["reason"]
    assert "worker 0 of generation 2: killed by SIGKILL" in found["reason"]
    wait_until_alone(proxy)
    assert get(proxy.address()).status == 200


def test_one_that_hangs_keeps_nobody_waiting_and_is_sent_back(single: Proxy) -> None:
    begin_canary(single, 2)  # the time alone does not pass it
    wait_until_tried(single)
    (victim,) = titled(single, "worker 0 (generation 2)")
    victim.suspend()
    with Load(single.address(), mode="new", connections=2, pause=0.01) as load:
        found = wait_until_idle(single)
        report = load.finish()
    assert found["outcome"] == "failed", found
    assert report.failed.total() == 0, report.failed
    wait_until_alone(single)


def test_one_whose_loop_is_late_is_sent_back(origin: Origin, tmp_path: Path) -> None:
    slow = other_release(
        tmp_path,
        (
            "workers/worker.py",
            "            nursery.start_soon(self._watch_departures)\n",
            "            nursery.start_soon(self._watch_departures)\n            nursery.start_soon(self._dawdle)\n",
        ),
        (
            "workers/worker.py",
            "    async def _beat(self) -> None:\n",
            "    async def _dawdle(self) -> None:\n        while True:\n            time.sleep(0.3)\n"
            "            await trio.sleep(0.1)\n\n    async def _beat(self) -> None:\n",
        ),
    )
    with Proxy(one_origin(origin.port), concurrency=1) as proxy:
        done = restart(proxy, "--exec", str(slow), "--canary", "60s")
        assert done.returncode == 1, done.stderr + proxy.output()
        assert "beats of its event loop were late" in done.stderr
        wait_until_alone(proxy)
        assert get(proxy.address()).status == 200


def test_a_worker_of_the_old_generation_that_dies_meanwhile_is_replaced_from_its_own_code(proxy: Proxy) -> None:
    """Before the new one is ready, and beside its canary: it is the old one that must not stop serving."""
    begin_canary(proxy, 6)
    wait_for(lambda: status(proxy)["phase"] == "starting", deadline=20, what="the new generation starts")
    victim = one(proxy, "worker 0 (generation 1)")
    victim.kill()
    wait_until_tried(proxy)
    victim = wait_for_successor(proxy, victim)
    with Load(proxy.address(), mode="new", connections=2) as load:
        victim.kill()
        wait_for_successor(proxy, victim)
        found = wait_until_done(proxy)
        report = load.finish()
    assert (found["outcome"], found["leader"]) == ("done", 2), found
    assert report.failed.total() <= 2, report.failed  # what was in the hands of the one that was killed


def wait_for_successor(proxy: Proxy, victim: psutil.Process) -> psutil.Process:
    """The next worker 0 of generation 1."""

    def successor() -> psutil.Process | None:
        return next((p for p in titled(proxy, "worker 0 (generation 1)") if p.pid != victim.pid), None)

    found = wait_for(successor, deadline=20, what="its successor is of its generation")
    assert isinstance(found, psutil.Process)
    return found


def wait_until_done(proxy: Proxy) -> dict[str, Any]:
    def done() -> bool:
        try:
            return bool(status(proxy)["phase"] == "idle")
        except (OSError, EOFError):
            return False

    wait_for(done, deadline=60, what="the restart is over")
    return status(proxy)


def test_a_listener_that_only_the_new_one_has_waits_for_its_turn(proxy: Proxy) -> None:
    tree = yaml.safe_load(proxy.config.read_text())
    tree["static_resources"]["listeners"].append(
        http_listener(virtual_host("all", ["*"], route("/", "origin")), name="second")
    )
    proxy.config.write_text(yaml.safe_dump(tree))
    done = restart(proxy, "--canary", "1s")
    assert done.returncode == 0, done.stderr + proxy.output()
    for _ in range(12):  # by every worker, the canary too
        assert get(proxy.address("second")).status == 200
    wait_until_alone(proxy)


def test_a_stop_during_the_trial_is_a_stop(single: Proxy) -> None:
    begin_canary(single, 60)
    wait_until_tried(single)
    with Connection(single.address()) as connection:
        connection.send(b"GET /?delay=1 HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: single.stats()["http.ingress.downstream_rq_active"] == 1, deadline=10, what="it is in hand")
        single.kill(signal.SIGTERM)
        assert connection.receive().status == 200
    single.stop()


def test_json_tells_both_sides_while_it_goes_on(single: Proxy) -> None:
    begin_canary(single, 60)
    wait_until_tried(single)
    get(single.address())
    found = wait_for(
        lambda: (now := trying(single)) and now["canary"]["beats"] > 3 and now["serving"]["beats"] > 3 and now,
        deadline=10, what="both count",
    )  # fmt: skip
    assert found["seconds"] == 60
    assert found["canary"]["requests_failed"] == found["serving"]["requests_failed"] == 0
    refused = restart(single)
    assert refused.returncode == 5
    assert "in progress (canary)" in refused.stderr


@pytest.mark.parametrize("time", ["forever", "2h"])
def test_a_time_that_is_none(single: Proxy, time: str) -> None:
    done = restart(single, "--canary", time)
    assert done.returncode == 2 if time == "forever" else done.returncode != 0
    assert status(single)["phase"] == "idle"
