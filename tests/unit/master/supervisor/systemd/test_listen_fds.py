"""LISTEN_FDS: whose they are, how they are called, and what is no listening socket."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.supervisor.committed import Address
from master.supervisor.systemd import listen_fds
from master.supervisor.systemd.listen_fds import address_of, parse
from tests.kit.process import ROOT

PID = 4242


def environment(count: object = 2, names: str | None = None, pid: object = PID) -> dict[str, str]:
    found = {"LISTEN_PID": str(pid), "LISTEN_FDS": str(count)}
    return found if names is None else {**found, "LISTEN_FDNAMES": names}


def test_descriptors_with_their_names() -> None:
    assert parse(environment(2, "web:admin"), PID) == [(3, "web"), (4, "admin")]
    assert parse(environment(2), PID) == [(3, "unknown"), (4, "unknown")]
    assert parse(environment(0), PID) == []


def test_what_is_meant_for_another_process_or_nobody() -> None:
    assert parse(environment(2, "a:b", pid=PID + 1), PID) == []
    assert parse({}, PID) == []


@pytest.mark.parametrize("wrong", [environment("two"), environment(-1), environment("²"), environment(10**9)])
def test_a_number_that_is_none(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="LISTEN_FDS"):
        parse(wrong, PID)


def test_names_that_do_not_fit_are_not_guessed() -> None:
    with pytest.raises(ValueError, match="2 descriptors, LISTEN_FDNAMES names 3"):
        parse(environment(2, "a:b:c"), PID)


@given(st.dictionaries(st.sampled_from(listen_fds.VARIABLES), st.text()))
def test_any_environment_gives_descriptors_from_3_on_or_an_error(variables: dict[str, str]) -> None:
    try:
        found = parse({**variables, "LISTEN_PID": str(PID)}, PID)
    except ValueError:
        return
    assert [fd for fd, _ in found] == list(range(3, 3 + len(found)))


def test_addresses(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        assert address_of(tcp) == Address(host="127.0.0.1", port=tcp.getsockname()[1])
        unix.bind(str(tmp_path / "sock"))
        assert address_of(unix) == Address(path=str(tmp_path / "sock"))
    with socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(f"\0trireme-{os.getpid()}")
        assert address_of(abstract) == Address(path=f"@trireme-{os.getpid()}")


PROGRAM = """
import os, socket, sys
from master.supervisor.systemd.listen_fds import take
server = socket.create_server(("127.0.0.1", 0), reuse_port=True)
plain = socket.socket()
udp = socket.socket(type=socket.SOCK_DGRAM)
null = os.open("/dev/null", os.O_RDONLY)
for number, fd in enumerate([server.fileno(), plain.fileno(), udp.fileno(), null]):
    os.dup2(fd, 50 + number)
for number in range(4):
    os.dup2(50 + number, 3 + number)  # those of the sockets above, which are not used any more
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "5", "LISTEN_FDNAMES": "web:plain:udp:null:closed"}
os.closerange(7, 60)
handed, complaints = take(os.environ, os.getpid())
print([(one.name, one.sock.get_inheritable(), one.reuse_port, one.address.host) for one in handed])
print(len(complaints), [word in line for word, line in zip(["plain", "udp", "null", "closed"], complaints)])
print([name for name in os.environ if name.startswith("LISTEN_")], flush=True)
os._exit(0)
"""


def test_only_listening_stream_sockets_are_taken_and_nobody_inherits_them() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "[('web', False, True, '127.0.0.1')]",
        "4 [True, True, True, True]",
        "[]",
    ]
