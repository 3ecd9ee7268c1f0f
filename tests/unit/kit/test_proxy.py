"""Our proxy starts in a runtime directory of its own, is seen from outside, and leaves nothing behind."""

from __future__ import annotations

import psutil
import pytest

from tests.kit.bootstrap import one_cluster
from tests.kit.client import get
from tests.kit.origin import Origin
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy, proxyctl


def test_it_serves_and_leaves_nothing_behind() -> None:
    with Origin() as origin, Proxy(one_cluster(origin.port)) as proxy:
        assert get(proxy.address()).status == 200
        assert proxy.stats()["http.main.downstream_rq_total"] == 1
        members = proxy.members()
        assert {process["pid"] for process in proxy.processes()} <= {member.pid for member in members}
        runtime = proxy.runtime
    assert not any(member.is_running() for member in members)
    assert not runtime.exists()


def test_two_at_once() -> None:
    with Origin() as origin, Proxy(one_cluster(origin.port)) as one, Proxy(one_cluster(origin.port)) as other:
        assert one.address() != other.address()
        assert not {member.pid for member in one.members()} & {member.pid for member in other.members()}


def test_a_bad_bootstrap_shows_why() -> None:
    with pytest.raises(AssertionError, match="ended with 3") as ended:
        Proxy(one_cluster(1).replace("stat_prefix", "stat_prefixx"))
    assert "stat_prefixx" in "".join(ended.value.__notes__)


def test_what_is_left_behind_is_found() -> None:
    with Origin() as origin, Proxy(one_cluster(origin.port)) as proxy:
        proxy.stop()
        (proxy.runtime / "forgotten.sock").touch()
        with pytest.raises(AssertionError, match=r"forgotten\.sock"):
            proxy.assert_nothing_left()


def test_a_test_that_fails_leaves_nothing_either() -> None:
    members: list[psutil.Process] = []

    def test() -> None:
        with Origin() as origin, Proxy(one_cluster(origin.port)) as proxy:
            members.extend(proxy.members())
            raise KeyError("the test failed")

    with pytest.raises(KeyError):
        test()
    assert members
    wait_for(lambda: not any(map(_lives, members)), deadline=10, what="those that were killed are dead")


def _lives(member: psutil.Process) -> bool:
    try:
        return bool(member.is_running() and member.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_exit_code_of_a_signal_is_checked() -> None:
    with Origin() as origin, Proxy(one_cluster(origin.port)) as proxy:
        with pytest.raises(AssertionError, match="exit code 0, expected 7"):
            proxy.stop(code=7)
        assert proxy.process.returncode == 0


def test_proxyctl_gives_code_and_output() -> None:
    done = proxyctl("version")
    assert done.returncode == 0
    assert done.stdout
    assert proxyctl("no-such-command").returncode == 2
