"""The proxy as a service of a real systemd: what its unit promises, and that no connection is refused meanwhile."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, socket_address, virtual_host
from tests.kit.load import Load, Report
from tests.kit.process import wait_for
from tests.kit.systemd import PROXYCTL, Bed

UNIT = "trireme.service"
PIPE = "/run/trireme/web.sock"
DEADLINE = 60.0  # seconds for what takes two, on a machine that has other things to do
CONFIG = "/etc/trireme/envoy.yaml"
GATE = "/run/gate"  # while this file is not there, the service does not start
WAIT = f"until test -e {GATE}; do sleep 0.02; done"


def listener(name: str, address: Fields) -> Fields:
    """Answers `ok` itself."""
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}
    return http_listener(virtual_host("all", ["*"], answer), name=name) | {"address": address}


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    with Bed() as bed:
        yield bed


@pytest.fixture(scope="module")
def installed(bed: Bed) -> Bed:
    """`proxyctl systemd install` has written the unit: two workers on port 80, and a Unix socket."""
    listeners = [listener("web", socket_address("0.0.0.0", 80)), listener("pipe", {"pipe": {"path": PIPE}})]
    bed.write(CONFIG, bootstrap(listeners, []))
    done = bed.run(PROXYCTL, "systemd", "install", "-c", CONFIG, "--", "--concurrency", "2")
    assert done.returncode == 0, done.stderr
    bed.write(GATE, "")
    bed.write(f"/run/systemd/system/{UNIT}.d/gate.conf", f"[Service]\nExecStartPre=/bin/sh -c '{WAIT}'\n")
    bed.systemctl("daemon-reload")
    return bed


@pytest.fixture
def service(installed: Bed) -> Bed:
    """The service runs."""
    installed.systemctl("start", UNIT)
    return installed


def connect(bed: Bed, address: tuple[str, int] = ("127.0.0.1", 80)) -> socket.socket:
    sock = bed.socket()
    sock.settimeout(DEADLINE)
    try:
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def ask(sock: socket.socket) -> bytes:
    """The body of the answer; the connection is closed."""
    with sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    return answer.rpartition(b"\r\n\r\n")[2]


def load(bed: Bed) -> Load:
    """New connections, all the time."""
    return Load(("127.0.0.1", 80), mode="new", connections=4, pause=0.01, timeout=DEADLINE, within=bed.within)


def start_again_with_a_queue(bed: Bed, begin: Callable[[], object]) -> None:
    """`begin` makes the service start again. 22 connections are made while nobody serves; all are answered later."""
    old, gate = bed.main_pid(UNIT), bed.root / GATE.lstrip("/")
    gate.unlink()
    begin()
    wait_for(lambda: not psutil.pid_exists(old), deadline=DEADLINE, what="the old supervisor is gone")
    with ExitStack() as stack:
        waiting = [stack.enter_context(connect(bed)) for _ in range(20)]
        for _ in range(2):
            pipe = stack.enter_context(socket.socket(socket.AF_UNIX))
            pipe.settimeout(DEADLINE)
            pipe.connect(str(bed.root / PIPE.lstrip("/")))
            waiting.append(pipe)
        gate.touch()
        assert [ask(sock) for sock in waiting] == [b"ok"] * 22
    wait_for(lambda: bed.show(UNIT, "ActiveState") == "active", deadline=DEADLINE, what="it is active again")


def refused(report: Report) -> int:
    return report.failed["refused"] + report.failed["not connected"]


def test_a_dynamic_user_serves_on_port_80(service: Bed) -> None:
    assert ask(connect(service)) == b"ok"
    assert 0 not in {Path(f"/proc/{pid}").stat().st_uid for pid in service.members(UNIT)}
    assert len(service.members(UNIT)) == 5
    assert service.show(UNIT, "StatusText") == f"serving with 2 workers: web 0.0.0.0:80, pipe {PIPE}"
    assert service.show(UNIT, "Type").startswith("notify")
    assert service.run(PROXYCTL, "ps").returncode == 0


def test_the_sandbox_is_tight(service: Bed) -> None:
    text = service.run("systemd-analyze", "--no-pager", "security", UNIT).stdout
    (exposure,) = re.findall(rf"Overall exposure level for {UNIT}: ([\d.]+)", text)
    assert float(exposure) <= 2.0, text


def test_doctor_finds_no_fault_in_the_unit(service: Bed) -> None:
    text = service.run(PROXYCTL, "doctor", "-c", CONFIG).stdout
    assert "keeps its sockets" in text
    assert [line for line in text.splitlines() if line.startswith("fault")] == []


def test_a_reload_ends_and_the_process_stays(service: Bed) -> None:
    before = service.main_pid(UNIT)
    service.systemctl("reload", UNIT)  # before 253 it returns once the signal is sent
    wait_for(lambda: service.show(UNIT, "ActiveState") == "active", deadline=DEADLINE, what="the reload has ended")
    assert service.main_pid(UNIT) == before
    assert ask(connect(service)) == b"ok"


def test_a_hot_restart_is_none_for_systemd(service: Bed) -> None:
    before = service.main_pid(UNIT)
    with load(service) as running:
        done = service.run(PROXYCTL, "restart")
        assert done.returncode == 0, done.stderr
        report = running.finish()
    assert not report.failed
    assert service.main_pid(UNIT) == before
    assert service.show(UNIT, "ActiveState") == "active"
    assert service.show(UNIT, "NFileDescriptorStore") == "3"
    wait_for(
        lambda: service.show(UNIT, "StatusText").startswith("serving with 2 workers"),
        deadline=DEADLINE,
        what="it says so",
    )


def test_a_restart_refuses_no_connection_even_with_fewer_workers(service: Bed) -> None:
    one_worker = (
        f"[Service]\nExecStart=\nExecStart={PROXYCTL} run -c {CONFIG} --runtime-dir %t/trireme --concurrency 1\n"
    )
    with load(service) as running, service.drop_in(UNIT, one_worker):
        start_again_with_a_queue(service, lambda: service.systemctl("restart", "--no-block", UNIT))
        report = running.finish()
    assert report.ok
    assert not report.failed
    assert service.show(UNIT, "NFileDescriptorStore") == "3"


def test_a_killed_supervisor_is_replaced_and_no_connection_refused(service: Bed) -> None:
    members, restarts = service.members(UNIT), int(service.show(UNIT, "NRestarts"))
    with load(service) as running:
        start_again_with_a_queue(service, lambda: os.kill(service.main_pid(UNIT), signal.SIGKILL))
        report = running.finish()
    assert int(service.show(UNIT, "NRestarts")) == restarts + 1
    assert not set(members) & set(service.members(UNIT))
    assert refused(report) == 0
    # What was in the hands of two workers is lost with them, and nothing else: of four clients one request each.
    assert report.failed.total() <= 8


def test_closed_listeners_leave_the_store_and_a_stop_leaves_nothing(service: Bed) -> None:
    supervisor = service.main_pid(UNIT)
    assert service.run(PROXYCTL, "drain").returncode == 0
    wait_for(lambda: service.show(UNIT, "NFileDescriptorStore") == "0", deadline=DEADLINE, what="the store is empty")
    wait_for(
        lambda: service.show(UNIT, "StatusText").endswith("listeners closed"),
        deadline=DEADLINE,
        what="the status says it",
    )
    service.systemctl("stop", UNIT)
    assert service.show(UNIT, "Result") == "success"
    assert service.members(UNIT) == []
    assert not psutil.pid_exists(supervisor)
    with pytest.raises(ConnectionRefusedError):
        connect(service)


@pytest.fixture(scope="module")
def activated(installed: Bed) -> Bed:
    """`act.service` runs only when somebody connects: 81 goes to a listener by address, 1082 by name, 1083 to none."""
    bed, config = installed, "/etc/trireme/act.yaml"
    listeners = [
        listener("by_address", socket_address("127.0.0.1", 81)),
        listener("by_name", socket_address("127.0.0.1", 82)),
    ]
    bed.write(config, bootstrap(listeners, []))
    done = bed.run(
        PROXYCTL, "systemd", "install", "-c", config, "--name", "act", "--socket", "81", "--", "--concurrency", "1"
    )
    assert done.returncode == 0, done.stderr
    further = "[Socket]\nListenStream=127.0.0.1:{}\nService=act.service\n{}"
    bed.write("/run/systemd/system/act-named.socket", further.format(1082, "FileDescriptorName=by_name\n"))
    bed.write("/run/systemd/system/act-unused.socket", further.format(1083, ""))
    bed.write("/run/systemd/system/act.service.d/watchdog.conf", "[Service]\nWatchdogSec=4\n")
    bed.systemctl("daemon-reload")
    bed.systemctl("start", "act.socket", "act-named.socket", "act-unused.socket")
    return bed


def test_a_connection_starts_the_service_and_its_sockets_find_their_listeners(activated: Bed) -> None:
    assert activated.show("act.service", "ActiveState") == "inactive"
    assert ask(connect(activated, ("127.0.0.1", 81))) == b"ok"
    assert ask(connect(activated, ("127.0.0.1", 1082))) == b"ok"
    with pytest.raises(ConnectionRefusedError):
        connect(activated, ("127.0.0.1", 82))
    wait_for(
        lambda: "serving with 1 worker: by_address 127.0.0.1:81, by_name 127.0.0.1:1082"
        in activated.show("act.service", "StatusText"),
        deadline=DEADLINE, what="it serves",
    )  # fmt: skip
    warning = "systemd listens on 127.0.0.1:1083 for us (act-unused.socket), but no listener has this address or name"
    assert warning in activated.journal("act.service")


def test_the_watchdog_replaces_a_supervisor_that_hangs(activated: Bed) -> None:
    activated.systemctl("start", "act.service")
    before = activated.main_pid("act.service")
    os.kill(before, signal.SIGSTOP)
    wait_for(lambda: not psutil.pid_exists(before), deadline=DEADLINE, what="systemd has killed it")
    assert ask(connect(activated, ("127.0.0.1", 81))) == b"ok"
    assert activated.main_pid("act.service") != before
    journal = activated.journal("act.service")
    assert "Watchdog timeout" in journal
    assert "Fatal Python error: Aborted" in journal  # with the stack: where it hung


def test_nothing_of_the_machine_was_touched() -> None:
    assert not Path("/run/systemd/system/act-named.socket").exists()
