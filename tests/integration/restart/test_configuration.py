"""What a restart does to listeners that come and go, and how the instance ends in the middle of one."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator

import pytest
import yaml

from tests.integration.restart.restarting import begin, restart, set_listeners, status, wait_until_alone
from tests.kit.bootstrap import http_listener, one_origin, route, virtual_host
from tests.kit.client import Connection, get
from tests.kit.load import Load
from tests.kit.origin import Origin
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy

KEEP_ALIVE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


def test_listeners_come_and_go(origin: Origin) -> None:
    with Proxy(one_origin(origin.port), concurrency=2) as proxy:
        first = yaml.safe_load(proxy.config.read_text())["static_resources"]["listeners"][0]
        second = http_listener(virtual_host("all", ["*"], route("/", "origin")), name="second")
        web = proxy.address("web")
        set_listeners(proxy, [first, second])
        with Load(web, mode="new", connections=2) as load:
            assert restart(proxy).returncode == 0
            assert proxy.address("web") == web  # a port 0 keeps what it got
            assert get(proxy.address("second"), "/").status == 200
            assert load.finish().failed.total() == 0
        added = proxy.address("second")
        with Connection(web) as open_one, Load(added, mode="new", connections=2) as load:
            open_one.request(KEEP_ALIVE)
            set_listeners(proxy, [second])
            assert restart(proxy).returncode == 0
            assert list(proxy.listeners()) == ["second"]
            wait_for(lambda: refused(web), deadline=10, what="the address that is gone refuses")
            assert open_one.request(KEEP_ALIVE).status == 200  # what was open stays until its next response
            assert load.finish().failed.total() == 0
        wait_until_alone(proxy)
        assert proxy.address("second") == added


def refused(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, 5).close()
    except (ConnectionRefusedError, ConnectionResetError):
        return True
    return False


def test_the_number_of_workers_that_was_chosen_stays(origin: Origin) -> None:
    with Proxy(one_origin(origin.port), concurrency=1) as proxy:
        proxy.admin("/workers?count=3", "POST")
        proxy.admin("/healthcheck/fail", "POST")
        assert restart(proxy).returncode == 0
        assert proxy.stats()["server.concurrency"] == 3
        assert proxy.ready() == "DRAINING"  # so does what an operator ordered


def test_a_stop_in_the_middle_is_a_stop(origin: Origin) -> None:
    with Proxy(one_origin(origin.port)) as proxy:
        begin(proxy)
        wait_for(lambda: status(proxy)["phase"] == "starting", deadline=20, what="the new generation starts")
        proxy.stop()


def test_a_supervisor_killed_in_the_middle_leaves_nobody(origin: Origin) -> None:
    with Proxy(one_origin(origin.port), concurrency=2) as proxy:
        begin(proxy)
        wait_for(lambda: status(proxy)["phase"] == "starting", deadline=20, what="the new generation starts")
        proxy.process.send_signal(signal.SIGKILL)
        proxy.process.wait()
        wait_for(lambda: not proxy.members(), deadline=20, what="all children have ended")
        with Proxy(arguments=["-c", str(proxy.config)], runtime=proxy.runtime) as again:
            assert get(again.address(), "/").status == 200
