"""Reloads that cannot be, and processes that hang or die in the middle of one."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from tests.integration.reload.reloading import (
    apply,
    asked,
    clusters,
    control,
    listener,
    refuse,
    reload,
    status,
    write,
)
from tests.integration.restart.restarting import restart
from tests.kit.bootstrap import bootstrap
from tests.kit.client import Connection
from tests.kit.load import Load
from tests.kit.origin import Origin
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin("one", "two") as origin:
        yield origin


@pytest.fixture
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(bootstrap([listener("one")], clusters(origin, "one")), concurrency=2) as proxy:
        yield proxy


def pids(proxy: Proxy, role: str) -> list[int]:
    return [process["pid"] for process in proxy.processes() if process["role"] == role]


def test_an_invalid_file_changes_nothing_and_names_its_place(proxy: Proxy, origin: Origin) -> None:
    with Connection(proxy.address()) as client:
        before = asked(client)
        write(proxy, [listener("nowhere")], clusters(origin, "one"))
        words = refuse(proxy, 3)
        assert f"{proxy.config}:" in words
        assert "unknown cluster 'nowhere'" in words
        assert control(proxy, "diff").returncode == 3
        assert asked(client) == before
    assert len(status(proxy)["history"]) == 1


def test_an_address_that_is_in_use_changes_nothing(proxy: Proxy, origin: Origin) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        write(proxy, [listener("two"), listener("one", name="taken", port=port)], clusters(origin, "one", "two"))
        assert "address is in use" in refuse(proxy, 5)
    assert asked(proxy.address("web"))[0] == "one"
    assert list(proxy.listeners()) == ["web"]
    assert reload(proxy)["outcome"] == "done"  # now it is free
    assert asked(proxy.address("taken"))[0] == "one"


def test_a_worker_that_is_stopped_is_replaced_and_all_serve_the_same(proxy: Proxy, origin: Origin) -> None:
    victim = pids(proxy, "worker")[0]
    write(proxy, [listener("two")], clusters(origin, "two"))
    os.kill(victim, signal.SIGSTOP)
    done = reload(proxy)
    assert done["outcome"] == "done"
    # Where checking the file takes longer than the 5 s of the hang watch, that one has been first.
    assert len(done["replaced"]) == 1 or "no sign of life" in proxy.output()
    wait_for(lambda: len(pids(proxy, "worker")) == 2, deadline=20, what="it has a successor")
    assert victim not in pids(proxy, "worker")
    assert {asked(proxy.address())[0] for _ in range(20)} == {"two"}


@pytest.mark.parametrize("role", ["worker", "controller", "template"])
def test_whoever_is_killed_in_the_middle_all_end_at_one_version(proxy: Proxy, origin: Origin, role: str) -> None:
    """At ever other moments of a reload, while clients go on. An answer of either version is good before the end."""
    web = proxy.address()
    for turn, name in enumerate(["two", "one"] * 2):
        write(proxy, [listener(name)], clusters(origin, name))
        (victim, *_) = pids(proxy, role)
        assert proxy.admin("/reload/begin", "POST").status == 200
        time.sleep(0.13 * turn)
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: _ended(proxy), deadline=30, what="the reload has ended")
        wait_for(lambda: _complete(proxy), deadline=30, what="all are back")
        outcome = status(proxy)["outcome"]
        assert outcome in ("done", "failed")
        served = {asked(web)[0] for _ in range(10)}
        assert len(served) == 1
        if outcome == "failed":
            assert reload(proxy)["outcome"] == "done"
        assert {asked(web)[0] for _ in range(10)} == {name}


def _complete(proxy: Proxy) -> bool:
    """Whether everybody lives."""
    if not _ended(proxy):
        return False
    roles = sorted(process["role"] for process in proxy.processes())
    return roles == ["controller", "supervisor", "template", "worker", "worker"]


def _ended(proxy: Proxy) -> bool:
    try:
        return bool(status(proxy)["phase"] == "idle")
    except (OSError, EOFError, ValueError):
        return False


def test_one_after_the_other(proxy: Proxy, origin: Origin) -> None:
    """A dozen in a row under load, each with other clusters; nothing fails, and no row of the tables is lost."""
    web = proxy.address()
    with Load(web, connections=2) as load, Load(web, mode="new", connections=1) as new:
        for turn in range(12):
            name = ("two", "one")[turn % 2]
            apply(proxy, [listener(name)], clusters(origin, name))
            assert asked(web)[0] == name
        assert load.finish().failed.total() == new.finish().failed.total() == 0
    history = status(proxy)["history"]
    assert [entry["version"] for entry in history] == list(range(4, 14))


def test_rollback_and_history_over_a_hot_restart(proxy: Proxy, origin: Origin) -> None:
    web = proxy.address()
    apply(proxy, [listener("two")], clusters(origin, "two"))
    assert asked(web)[0] == "two"
    done = control(proxy, "config", "rollback")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "version 3 is in effect in 2 worker(s)")
    assert asked(web)[0] == "one"
    assert "not kept" in control(proxy, "config", "rollback", "9").stderr
    assert restart(proxy).returncode == 0
    assert asked(web)[0] == "two"  # the file
    assert [entry["why"] for entry in status(proxy)["history"]] == ["start", "reload", "rollback", "restart"]
    assert control(proxy, "config", "rollback", "1").returncode == 0
    assert asked(web)[0] == "one"
    assert "rollback" in control(proxy, "config", "history").stdout


def test_sighup_reloads_and_the_log_tells_the_outcome(proxy: Proxy, origin: Origin) -> None:
    write(proxy, [listener("two")], clusters(origin, "two"))
    proxy.kill(signal.SIGHUP)
    wait_for(lambda: "version 2 is in effect" in proxy.output(), deadline=30, what="it has been reloaded")
    assert asked(proxy.address())[0] == "two"
    write(proxy, [listener("nowhere")], [])
    proxy.kill(signal.SIGHUP)
    wait_for(lambda: "unknown cluster 'nowhere'" in proxy.output(), deadline=30, what="it has been refused")


def test_one_at_a_time(proxy: Proxy, origin: Origin) -> None:
    write(proxy, [listener("two")], clusters(origin, "two"))
    assert proxy.admin("/reload/begin", "POST").status == 200
    again = proxy.admin("/reload/begin", "POST")
    assert (again.status, b"in progress" in again.body) == (409, True)
    resized = proxy.admin("/workers?count=3", "POST")
    restarted = proxy.admin("/hot_restart/begin", "POST")
    assert {resized.status, restarted.status} == {409}
    wait_for(lambda: _ended(proxy), deadline=30, what="the first has ended")
    assert asked(proxy.address())[0] == "two"
