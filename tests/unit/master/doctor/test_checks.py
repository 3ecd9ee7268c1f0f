"""Each check of `proxyctl doctor` on the fault that it looks for."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from master.doctor import access, instance, kernel, limits, ports, systemd
from master.doctor.finding import Finding
from master.supervisor.bind import BindError
from proxy.config.common import SocketAddress
from proxy.config.listener import Listener
from tests.kit.view import configuration

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def listener(backlog: int = 0, port: int = 0) -> Listener:
    return Listener("web", (SocketAddress("127.0.0.1", port),), "p", (), backlog=backlog)


@pytest.mark.parametrize(("hard", "level"), [(1024, "fault"), (20_000, "warning"), (1_048_576, "ok")])
def test_open_files(hard: int, level: str) -> None:
    found = limits.open_files(hard)
    assert found.level == level
    assert bool(found.remedy) == (level != "ok")


@pytest.mark.parametrize(
    ("somaxconn", "wanted", "level", "words"),
    [
        (4096, 0, "ok", ""), (128, 0, "warning", "dropped"), (4096, 8192, "warning", "tcp_backlog_size of 8192"),
        (4096, 4096, "ok", ""),
    ],
)  # fmt: skip
def test_accept_queue(somaxconn: int, wanted: int, level: str, words: str) -> None:
    found = limits.backlog(somaxconn, (listener(wanted),))
    assert found.level == level
    assert words in found.text


def test_features_of_this_kernel() -> None:
    assert {found.level for found in kernel.features()} == {"ok"}


def test_a_feature_that_is_refused_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> int:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    found = {finding.check: finding for finding in kernel.features()}["pidfd"]
    assert found.level == "fault"
    assert "seccomp" in found.remedy


@contextmanager
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]


def test_a_port_in_use_names_its_holder() -> None:
    with taken() as port:
        (found,) = ports.check(configuration([], listeners=(listener(port=port),)), ours=())
    assert found.level == "fault"
    assert f"127.0.0.1:{port}" in found.check
    assert f"pid {os.getpid()} (" in found.text
    assert found.remedy


def test_a_port_of_the_running_proxy_is_no_fault() -> None:
    with taken() as port:
        (found,) = ports.check(configuration([], listeners=(listener(port=port),)), ours={os.getpid()})
    assert found.level == "ok"


def test_a_port_that_systemd_holds_for_a_socket_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "probe", refuse_for("pid 1 (systemd)"))
    (found,) = ports.check(configuration([], listeners=(listener(port=80),)), ours=())
    assert found.level == "ok"
    assert ".socket unit" in found.text


def refuse_for(holder: str) -> Callable[[object], None]:
    def probe(_: object) -> None:
        raise BindError(f"cannot bind 127.0.0.1:80: the address is in use by {holder}; stop it")

    return probe


def test_a_free_port_and_the_admin() -> None:
    config = configuration([], listeners=(listener(),), admin_address=SocketAddress("127.0.0.1", 0))
    assert [(found.level, found.text) for found in ports.check(config, ours=())] == [
        ("ok", "listener web: free"), ("ok", "admin: free"),
    ]  # fmt: skip


def test_a_directory_that_is_not_there_can_be_made(tmp_path: Path) -> None:
    assert instance.check(str(tmp_path / "run")).level == "ok"


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    assert instance.check(str(tmp_path / "run")).level == "fault"


def test_a_free_a_held_and_an_abandoned_directory(tmp_path: Path) -> None:
    assert "free" in instance.check(str(tmp_path)).text
    (tmp_path / "supervisor.pid").write_text(f"{os.getpid()}\n")
    (tmp_path / "lock").write_text("")
    found = instance.check(str(tmp_path))
    assert (found.level, instance.holder(str(tmp_path))) == ("warning", None)
    with (tmp_path / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = instance.check(str(tmp_path))
        assert found.level == "ok"
        assert f"pid {os.getpid()}" in found.text
        assert instance.holder(str(tmp_path)) == os.getpid()


def test_the_family_of_an_instance() -> None:
    assert os.getpid() in instance.family(os.getpid())
    assert instance.family(None) == set()
    assert instance.family(2**22 + 1) == set()


@pytest.mark.parametrize(
    ("text", "level", "words"),
    [
        (None, "ok", "not here"), ("systemd 252 (252)\n+PAM", "ok", "Type=notify ("),
        ("systemd 255 (255.4)", "ok", "255"), ("something else", "ok", "not here"),
    ],
)  # fmt: skip
def test_systemd(text: str | None, level: str, words: str) -> None:
    found = systemd.check(text)
    assert found.level == level
    assert words in found.text


GOOD_UNIT = {
    "ActiveState": "active", "NeedDaemonReload": "no", "Type": "notify-reload", "FileDescriptorStoreMax": "4096",
    "WatchdogUSec": "30s", "LimitNOFILE": "1048576",
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Type": "simple"}, "before it serves"), ({"FileDescriptorStoreMax": "0"}, "refuse connections"),
        ({"WatchdogUSec": "0"}, "nobody restarts"), ({"NeedDaemonReload": "yes"}, "newer"),
        ({"ActiveState": "failed", "Result": "watchdog"}, "failed (watchdog)"), ({"LimitNOFILE": "1024"}, "1024 desc"),
    ],
)  # fmt: skip
def test_what_a_unit_denies(change: dict[str, str], words: str) -> None:
    assert levels(systemd.service("x.service", GOOD_UNIT)) == ["ok", "ok"]
    (found,) = [one for one in systemd.service("x.service", GOOD_UNIT | change) if one.level != "ok"]
    assert words in found.text
    assert found.remedy


def levels(found: Iterator[Finding]) -> list[str]:
    return [finding.level for finding in found]


def test_this_user_may_read_everything(tmp_path: Path) -> None:
    (tmp_path / "envoy.yaml").write_text("")
    assert levels(access.check("", "", str(tmp_path / "envoy.yaml"))) == ["ok", "ok", "ok"]


@as_root
def test_a_file_below_a_private_directory_is_a_fault(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    config = private / "envoy.yaml"
    config.write_text("")
    config.chmod(0o644)
    *_, found = access.check("65534", "65534", str(config))
    assert found.level == "fault"
    assert str(config) in found.text


@as_root
@pytest.mark.parametrize(("user", "group"), [("no-such-user", ""), ("", "no-such-group")])
def test_an_unknown_user_or_group(user: str, group: str) -> None:
    (found,) = access.check(user, group, None)
    assert found.level == "fault"
    assert f"{user or group} on this machine" in found.text


def test_without_root_nobody_else_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (found,) = access.check("nobody", "", None)
    assert found.level == "warning"
