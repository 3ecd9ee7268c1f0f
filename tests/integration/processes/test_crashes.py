"""kill -9 and SIGSTOP, of each kind of process, at any moment, under load: what may fail, and what may not."""

from __future__ import annotations

import random
import resource
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from master.supervisor.hang import HUNG_AFTER_NS
from tests.integration.processes.family import one, titled, wait_for_workers, with_patch, workers
from tests.kit.bootstrap import one_origin
from tests.kit.client import Connection, get
from tests.kit.load import Load
from tests.kit.origin import Origin
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy

CONNECTIONS = 4
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
REQUESTS = "http.ingress.downstream_rq_total"


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(one_origin(origin.port), concurrency=2) as proxy:
        yield proxy


def run_on(load: Load, seconds: float) -> None:
    """Let the load run; nothing is asserted about the time itself."""
    time.sleep(seconds)


def test_a_killed_worker_fails_only_the_requests_in_its_hands(proxy: Proxy) -> None:
    with Load(proxy.address(), mode="new", connections=CONNECTIONS) as load:
        kills = 5
        for _ in range(kills):
            run_on(load, 0.3)
            victim = workers(proxy)[0]
            victim.kill()
            wait_for_workers(proxy, 2, but=frozenset([victim.pid]))
        report = load.finish()
    assert set(report.failed) <= {"closed", "cut", "not connected"}, report.failed
    # Each kill can cost at most the requests that were in the victim's hands: one for each connection of the load.
    assert report.failed.total() <= kills * CONNECTIONS
    assert report.ok > 10 * report.failed.total()
    # No counter is lost with its process: whatever a client got an answer to has been counted.
    assert proxy.stats()[REQUESTS] >= report.ok


def test_keep_alive_connections_of_the_other_worker_do_not_notice(proxy: Proxy) -> None:
    with Load(proxy.address(), mode="keep-alive", connections=8) as load:
        run_on(load, 0.5)
        victim = workers(proxy)[0]
        victim.kill()
        wait_for_workers(proxy, 2, but=frozenset([victim.pid]))
        run_on(load, 0.3)
        report = load.finish()
    assert report.failed.total() <= 8
    assert set(report.failed) <= {"closed idle", "closed", "cut"}


@pytest.mark.parametrize("role", ["controller", "template"])
def test_the_death_of_a_helper_process_costs_no_request_and_no_counter(proxy: Proxy, role: str) -> None:
    with Load(proxy.address(), mode="new", connections=CONNECTIONS) as load:
        run_on(load, 0.3)
        before = proxy.stats()[REQUESTS]
        victim = one(proxy, role)
        victim.kill()
        wait_for(
            lambda: [p.pid for p in titled(proxy, role)] not in ([], [victim.pid]), deadline=30, what=f"a new {role}"
        )
        wait_for(lambda: proxy.ready() == "LIVE", deadline=30, what="the admin interface is back")
        assert proxy.stats()[REQUESTS] >= before
        run_on(load, 0.3)
        report = load.finish()
    assert report.failed.total() == 0, report.failed
    assert proxy.stats()[REQUESTS] >= report.ok


def test_a_worker_dies_while_there_is_no_template(proxy: Proxy) -> None:
    victims = [one(proxy, "template"), *workers(proxy)]
    for victim in victims:
        victim.kill()
    wait_for_workers(proxy, 2, but=frozenset(victim.pid for victim in victims))


def test_everything_but_the_supervisor_dies_at_once(proxy: Proxy) -> None:
    with Load(proxy.address(), mode="new", connections=CONNECTIONS) as load:
        run_on(load, 0.3)
        victims = [p for p in proxy.members() if p.pid != proxy.pid]
        for victim in victims:  # none of them may take what another one's death has thrown out
            victim.suspend()
        for victim in victims:
            victim.kill()
        wait_for_workers(proxy, 2, but=frozenset(v.pid for v in victims))
        after = time.monotonic()
        run_on(load, 0.3)
        report = load.finish()
    # Connections that come meanwhile wait in the sockets' queues, which are the supervisor's.
    assert "refused" not in report.failed
    assert report.failed.total() <= CONNECTIONS
    assert report.since(after).failed.total() == 0
    assert proxy.stats()[REQUESTS] >= report.ok


def test_random_victims_at_random_moments(proxy: Proxy) -> None:
    seed = random.SystemRandom().randrange(1 << 32)  # another one in every run
    print(f"seed {seed}")
    dice = random.Random(seed)
    kills = 0
    counted = 0
    with Load(proxy.address(), mode="new", connections=CONNECTIONS) as load:
        end = time.monotonic() + 6
        while time.monotonic() < end:
            run_on(load, dice.uniform(0, 0.4))
            candidates = [p for p in proxy.members() if p.pid != proxy.pid]
            if candidates:
                try:
                    dice.choice(candidates).kill()
                except psutil.NoSuchProcess:
                    continue
                kills += 1
            if proxy.ready():
                now = proxy.stats().get(REQUESTS, 0)
                assert now >= counted, "a counter fell"
                counted = now
        wait_for_workers(proxy, 2)
        after = time.monotonic()
        run_on(load, 0.3)
        report = load.finish()
    assert "refused" not in report.failed
    assert report.failed.total() <= kills * CONNECTIONS
    assert report.since(after).failed.total() == 0
    assert proxy.stats()[REQUESTS] >= report.ok


def test_no_orphan_survives_the_supervisor(origin: Origin) -> None:
    with Proxy(one_origin(origin.port), concurrency=2) as proxy:
        proxy.kill(signal.SIGKILL)
        proxy.process.wait()
        wait_for(lambda: not proxy.members(), deadline=30, what="all children ended")
        # What it left behind does not keep the next one from starting in the same place.
        with Proxy(arguments=["-c", str(proxy.config)], runtime=proxy.runtime) as successor:
            assert get(successor.address()).status == 200


def test_a_successor_starts_at_once_while_orphans_finish(origin: Origin) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = ["--config-yaml", one_origin(origin.port).replace("port_value: 0", f"port_value: {port}")]
    address = ("127.0.0.1", port)
    with Proxy(arguments=arguments, concurrency=2) as proxy, Connection(address) as connection:
        connection.send(b"GET /?delay=3 HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: proxy.stats()["http.ingress.downstream_rq_active"] == 1, deadline=30, what="it is in hand")
        proxy.kill(signal.SIGKILL)
        proxy.process.wait()
        with Proxy(arguments=arguments, runtime=proxy.runtime):
            assert get(address).status == 200
            assert connection.receive().status == 200


def test_a_stopped_worker_does_not_hold_new_connections(proxy: Proxy) -> None:
    stopped = workers(proxy)[0]
    stopped.suspend()
    with Load(proxy.address(), mode="new", connections=CONNECTIONS, pause=0.01) as load:
        run_on(load, 1.5)
        report = load.finish()
    # Whoever had waited for the stopped worker would have waited until it was killed and replaced.
    assert stopped.status() == psutil.STATUS_STOPPED
    assert report.failed.total() == 0, report.failed
    assert report.ok > 0
    stopped.resume()
    wait_for_workers(proxy, 2)


def test_a_hung_worker_is_killed_and_replaced(proxy: Proxy) -> None:
    stopped = workers(proxy)[0]
    stopped.suspend()
    wait_for_workers(proxy, 2, but=frozenset([stopped.pid]))
    assert "no sign of life" in proxy.output()
    assert not stopped.is_running()


def test_a_hung_controller_is_killed_and_replaced(proxy: Proxy) -> None:
    stopped = one(proxy, "controller")
    stopped.suspend()
    wait_for(
        lambda: [p.pid for p in titled(proxy, "controller")] not in ([], [stopped.pid]), deadline=30, what="a new one"
    )
    wait_for(lambda: proxy.ready() == "LIVE", deadline=30, what="it answers")


def test_a_pause_of_the_whole_machine_is_not_a_hang(proxy: Proxy) -> None:
    """As a suspended laptop, a frozen container or a migrated machine: all stand still, and nobody is accused."""
    before = {member.pid for member in proxy.members()}
    for member in proxy.members():
        member.suspend()
    time.sleep(HUNG_AFTER_NS / 1e9 + 0.5)
    for member in proxy.members():
        member.resume()
    assert get(proxy.address()).status == 200
    time.sleep(1)  # several looks of the supervisor
    assert "no sign of life" not in proxy.output()
    assert {member.pid for member in proxy.members()} == before


def test_a_worker_that_leaks_is_replaced_and_no_request_fails(origin: Origin, tmp_path: Path) -> None:
    patch = (
        "import workers.worker\noriginal = workers.worker.Worker._on_message\nleaked = []\n"
        "def _on_message(self, received, *rest):\n"
        "    if received.message['type'] == 'reopen_logs' and self._index == 0: leaked.append(b'x' * (150 << 20))\n"
        "    original(self, received, *rest)\nworkers.worker.Worker._on_message = _on_message\n"
    )
    environment = with_patch(tmp_path, patch)
    arguments = ["--worker-max-rss", "160M"]
    with Proxy(one_origin(origin.port), concurrency=2, arguments=arguments, environment=environment) as proxy:
        old = one(proxy, "worker 0")
        with (
            Load(proxy.address(), mode="keep-alive", connections=CONNECTIONS) as kept,
            Load(proxy.address(), mode="new", connections=2) as new,
        ):
            proxy.kill(signal.SIGUSR1)
            wait_for(lambda: "more than --worker-max-rss" in proxy.output(), deadline=30, what="the leak is seen")
            wait_for_workers(proxy, 2, but=frozenset([old.pid]))
            reports = [kept.finish(), new.finish()]
        assert [report.failed.total() for report in reports] == [0, 0]
        assert "died" not in proxy.output()


def test_descriptors_that_run_short_make_connections_wait_and_fail_no_request(origin: Origin) -> None:
    with Proxy(one_origin(origin.port)) as proxy:
        (worker,) = workers(proxy)
        limit = worker.num_fds() + 60
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (limit, limit))
        clients = [Connection(proxy.address()) for _ in range(120)]
        for client in clients:  # those who wait are accepted as others leave
            assert client.request(GET).status == 200  # there is a descriptor for its upstream connection
            client.close()
        assert proxy.ready() == "LIVE"
        assert proxy.output().count("descriptors run short") < 60


def test_a_hung_template_is_replaced_when_it_is_needed(proxy: Proxy) -> None:
    stopped, victim = one(proxy, "template"), workers(proxy)[0]
    stopped.suspend()
    victim.kill()
    wait_for_workers(proxy, 2, but=frozenset([victim.pid]))
    assert "the template has not answered" in proxy.output()
