"""Starts that fail say why and leave nothing; stops are clean; signals do what `--help` says."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.processes.family import one, titled, wait_for_workers, with_patch, workers
from tests.kit.bootstrap import one_origin
from tests.kit.client import Connection, get
from tests.kit.origin import Origin
from tests.kit.process import wait_for
from tests.kit.proxy import PROXYCTL, Proxy, find_members, proxyctl


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture
def bootstrap(origin: Origin) -> str:
    return one_origin(origin.port)


def test_titles_name_every_process(bootstrap: str) -> None:
    with Proxy(bootstrap, concurrency=2) as proxy:
        assert one(proxy, "template")
        assert one(proxy, "controller (generation 1)")
        assert one(proxy, "worker 0 (generation 1)")
        assert one(proxy, "worker 1 (generation 1)")
        assert len(proxy.members()) == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_requests_in_hand_finish(bootstrap: str, number: signal.Signals) -> None:
    with Proxy(bootstrap, concurrency=2) as proxy, Connection(proxy.address()) as connection:
        connection.send(b"GET /?delay=1.5 HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: proxy.stats()["http.ingress.downstream_rq_active"] == 1, deadline=30, what="it is in hand")
        proxy.kill(number)
        assert connection.receive().status == 200
        assert proxy.process.wait(30) == 0
        proxy.assert_nothing_left()


def test_int_twice_stops_at_once(bootstrap: str) -> None:
    with Proxy(bootstrap) as proxy, Connection(proxy.address()) as connection:
        connection.send(b"GET /?delay=30 HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: proxy.stats()["http.ingress.downstream_rq_active"] == 1, deadline=30, what="it is in hand")
        proxy.kill(signal.SIGINT)
        wait_for(lambda: "once more to stop at once" in proxy.output(), deadline=30, what="the first was seen")
        proxy.kill(signal.SIGINT)
        assert proxy.process.wait(20) == 0
        proxy.assert_nothing_left()


def test_the_drain_at_shutdown_is_finite(bootstrap: str) -> None:
    with (
        Proxy(bootstrap, arguments=["--shutdown-drain-time-s", "0.5"]) as proxy,
        Connection(proxy.address()) as connection,
    ):
        connection.send(b"GET /?delay=30 HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: proxy.stats()["http.ingress.downstream_rq_active"] == 1, deadline=30, what="it is in hand")
        proxy.stop(deadline=20)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGHUP, "the configuration is the same"),
        (signal.SIGUSR1, "reopen their access logs"),
    ],
)
def test_a_signal_is_answered_in_the_log_and_costs_nothing(bootstrap: str, number: signal.Signals, words: str) -> None:
    with Proxy(bootstrap) as proxy:
        proxy.kill(number)
        wait_for(lambda: words in proxy.output(), deadline=30, what=words)
        assert get(proxy.address()).status == 200


def test_a_signal_to_the_whole_group_is_the_supervisors_to_handle(bootstrap: str) -> None:
    with Proxy(bootstrap, concurrency=2) as proxy, Connection(proxy.address()) as connection:
        connection.send(b"GET /?delay=1.5 HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: proxy.stats()["http.ingress.downstream_rq_active"] == 1, deadline=30, what="it is in hand")
        for member in proxy.members():  # as systemd's KillMode=control-group and a terminal's Ctrl-C do
            member.send_signal(signal.SIGTERM)
        assert connection.receive().status == 200
        assert proxy.process.wait(30) == 0


def test_a_worker_that_dies_at_start_is_reported_and_the_start_fails(bootstrap: str, tmp_path: Path) -> None:
    patch = (
        "import workers.entry\n"
        "async def broken(*_):\n    raise RuntimeError('broken on purpose')\n"
        "workers.entry._run = broken\n"
    )
    config = tmp_path / "envoy.yaml"
    config.write_text(bootstrap)
    done = subprocess.run(
        [*_run_command(config, tmp_path)],
        env={**os.environ, **with_patch(tmp_path, patch)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "RuntimeError: broken on purpose" in done.stderr
    assert "worker 0 died 3 times before it was ready" in done.stderr
    assert done.stderr.count("broken on purpose") < 10  # not a tight loop


def _run_command(config: Path, tmp_path: Path) -> list[str]:
    return [*PROXYCTL, "run", "-c", str(config), "--runtime-dir", str(tmp_path / "run"), "--concurrency", "1"]


def test_a_worker_that_keeps_dying_later_is_not_respawned_in_a_tight_loop(bootstrap: str, tmp_path: Path) -> None:
    patch = (
        "import os, workers.entry\noriginal = workers.entry._run\n"
        "async def _run(order, *rest):\n"
        f"    if order['index'] == 1 and os.path.exists({str(tmp_path / 'break')!r}):\n"
        "        raise RuntimeError('broken on purpose')\n"
        "    await original(order, *rest)\nworkers.entry._run = _run\n"
    )
    with Proxy(bootstrap, concurrency=2, environment=with_patch(tmp_path, patch)) as proxy:
        (tmp_path / "break").touch()
        one(proxy, "worker 1").kill()
        wait_for(lambda: proxy.output().count("worker 1 starts again in") >= 4, deadline=30, what="it is tried again")
        delays = [line.rpartition(" in ")[2] for line in proxy.output().splitlines() if "worker 1 starts again" in line]
        assert delays[:4] == ["0.1 s", "0.2 s", "0.4 s", "0.8 s"] or delays[:4] == ["0.2 s", "0.4 s", "0.8 s", "1.6 s"]
        for _ in range(20):  # its sibling serves its socket too
            assert get(proxy.address()).status == 200
        (tmp_path / "break").unlink()
        wait_for_workers(proxy, 2)


def test_a_damaged_metrics_region_does_not_keep_a_worker_down(bootstrap: str, tmp_path: Path) -> None:
    with Proxy(bootstrap, concurrency=2) as proxy:
        for _ in range(8):
            get(proxy.address())
        before = proxy.stats()["http.ingress.downstream_rq_total"]
        victim = one(proxy, "worker 1")
        victim.suspend()
        regions = [fd for fd in Path(f"/proc/{victim.pid}/fd").iterdir() if "memfd:metrics" in str(fd.readlink())]
        damaged = os.open(regions[0], os.O_RDWR)
        os.pwrite(damaged, bytes(64), 0)  # what a worker gone mad might do to its own region
        os.close(damaged)
        victim.kill()
        wait_for_workers(proxy, 2, but=frozenset([victim.pid]))
        for _ in range(8):
            assert get(proxy.address()).status == 200
        assert proxy.stats()["http.ingress.downstream_rq_total"] >= before  # what was seen once stays


def test_the_stack_of_a_hung_worker_is_printed(bootstrap: str, tmp_path: Path) -> None:
    patch = (
        "import workers.worker\noriginal = workers.worker.Worker._on_message\n"
        "def spin_for_ever(): \n    while True: pass\n"
        "def _on_message(self, received, *rest):\n"
        "    if received.message['type'] == 'reopen_logs' and self._index == 0: spin_for_ever()\n"
        "    original(self, received, *rest)\nworkers.worker.Worker._on_message = _on_message\n"
    )
    log = tmp_path / "log"
    arguments = ["--log-path", str(log)]
    with Proxy(bootstrap, concurrency=2, arguments=arguments, environment=with_patch(tmp_path, patch)) as proxy:
        victim = one(proxy, "worker 0")
        proxy.kill(signal.SIGUSR1)
        wait_for_workers(proxy, 2, but=frozenset([victim.pid]))
        assert "in spin_for_ever" in log.read_text()


def test_usr1_reopens_the_log_of_every_process(bootstrap: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    with Proxy(bootstrap, arguments=["--log-path", str(path)]) as proxy:
        path.rename(tmp_path / "log.1")
        proxy.kill(signal.SIGUSR1)
        wait_for(lambda: path.exists() and "reopened" in path.read_text(), deadline=30, what="the new file is written")
        for role in ("controller", "template", "worker 0"):
            logs = [fd.readlink() for fd in Path(f"/proc/{one(proxy, role).pid}/fd").iterdir() if fd.name == "2"]
            assert logs == [path], role
        assert "all dependencies initialized" in (tmp_path / "log.1").read_text()


def test_an_address_in_use_is_refused_before_anything_runs(bootstrap: str, tmp_path: Path) -> None:
    config = tmp_path / "envoy.yaml"
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        config.write_text(bootstrap.replace("port_value: 0", f"port_value: {port}"))
        done = proxyctl(*_run_command(config, tmp_path)[3:])
    assert done.returncode == 5
    assert f"cannot bind 127.0.0.1:{port}: the address is in use by pid {os.getpid()}" in done.stderr
    assert os.listdir(tmp_path / "run") == ["lock"]


def test_a_second_instance_in_the_same_directory_is_refused(bootstrap: str) -> None:
    with Proxy(bootstrap) as proxy:
        done = proxyctl("run", "-c", str(proxy.config), runtime=proxy.runtime)
        assert done.returncode == 5
        assert f"in use by another instance (pid {proxy.pid})" in done.stderr
        assert get(proxy.address()).status == 200


def test_a_bad_file_is_refused_before_a_socket_is_opened(bootstrap: str, tmp_path: Path) -> None:
    config = tmp_path / "envoy.yaml"
    with socket.create_server(("127.0.0.1", 0)) as holder:  # bound: a bind before the check would say so
        broken = bootstrap.replace("port_value: 0", f"port_value: {holder.getsockname()[1]}").replace(
            "prefix:", "prefiks:"
        )
        config.write_text(broken)
        done = proxyctl(*_run_command(config, tmp_path)[3:])
    assert done.returncode == 3
    assert "prefiks" in done.stderr
    assert "cannot bind" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], "nothing to run"),
        (["run", "--listen", "127.0.0.1:0"], "belong together"),
        (["run", "-c", "/nonexistent.yaml"], "does not exist"),
    ],
)
def test_wrong_usage_is_exit_2(arguments: list[str], words: str) -> None:
    done = proxyctl(*arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_listen_and_upstream_need_no_file(origin: Origin) -> None:
    with Proxy(arguments=["--listen", "127.0.0.1:0", "--upstream", f"127.0.0.1:{origin.port}"]) as proxy:
        assert get(proxy.address()).status == 200


def test_a_start_that_is_interrupted_leaves_nothing(bootstrap: str, tmp_path: Path) -> None:
    config = tmp_path / "envoy.yaml"
    config.write_text(bootstrap)
    for delay in (0.15, 0.4, 0.7, 1.0):
        process = subprocess.Popen(_run_command(config, tmp_path), stderr=subprocess.DEVNULL, start_new_session=True)
        time.sleep(delay)  # a different moment of the start each time; any outcome but a leftover is right
        process.terminate()
        process.wait(30)
        session = process.pid
        wait_for(lambda session=session: not _session_members(session), deadline=30, what="nobody is left")
        assert set(os.listdir(tmp_path / "run")) <= {"lock"} if (tmp_path / "run").exists() else True


def _session_members(session: int) -> list[int]:
    return [process.pid for process in find_members(Path("/nonexistent"), session)]


def test_workers_hold_no_descriptor_that_is_not_theirs(bootstrap: str) -> None:
    with Proxy(bootstrap, concurrency=2) as proxy:
        for worker in workers(proxy):
            links = [str(fd.readlink()) for fd in Path(f"/proc/{worker.pid}/fd").iterdir()]
            files = [link for link in links if link.startswith("/") and "memfd:" not in link]
            assert set(files) <= {"/dev/null", str(proxy.log)}, files
        template = titled(proxy, "template")[0]
        assert len(os.listdir(f"/proc/{template.pid}/fd")) <= 5
