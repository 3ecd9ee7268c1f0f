"""Descriptors that systemd hands us at the start, sd_listen_fds(3): of `.socket` units, and of our own fd store."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

from master.supervisor.committed import Address

FIRST_FD = 3
VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
UNNAMED = "unknown"  # what sd_listen_fds_with_names calls them
MAX_FDS = 65_536


def parse(environment: Mapping[str, str], pid: int) -> list[tuple[int, str]]:
    """(descriptor, name) of everything handed to process `pid`; nothing if it was meant for another one.

    Raises `ValueError` if the variables contradict each other: a descriptor under a wrong name would serve the wrong
    listener.
    """
    if environment.get("LISTEN_PID") != str(pid):
        return []
    text = environment.get("LISTEN_FDS", "")
    if not (text.isascii() and text.isdigit()) or int(text) > MAX_FDS:
        raise ValueError(f"LISTEN_FDS is {text!r}, not a number of descriptors")
    count = int(text)
    names = environment["LISTEN_FDNAMES"].split(":") if environment.get("LISTEN_FDNAMES") else [UNNAMED] * count
    if len(names) != count:
        raise ValueError(f"LISTEN_FDS says {count} descriptors, LISTEN_FDNAMES names {len(names)}")
    return [(FIRST_FD + number, name) for number, name in enumerate(names)]


@dataclass(frozen=True, slots=True, eq=False)
class Handed:
    """One listening stream socket that systemd handed us, bound to `address`."""

    name: str
    sock: socket.socket
    address: Address
    reuse_port: bool


def take(environment: MutableMapping[str, str], pid: int) -> tuple[list[Handed], list[str]]:
    """The sockets, and a complaint about each descriptor that is none (it is closed). No process inherits them by
    accident from now on: not by a fork, and not by the variables.
    """
    found = parse(environment, pid)
    for variable in VARIABLES:
        environment.pop(variable, None)
    handed, complaints = [], []
    for fd, name in found:
        try:
            handed.append(_look_at(fd, name))
        except ValueError as error:
            complaints.append(f"systemd handed us {name!r} (descriptor {fd}), which {error}; it is not used")
    return handed, complaints


def _look_at(fd: int, name: str) -> Handed:
    try:
        sock = socket.socket(fileno=fd)
    except OSError as error:
        if error.errno != errno.EBADF:
            os.close(fd)
        raise ValueError(f"is no socket ({error.strerror})") from error
    try:
        sock.set_inheritable(False)
        sock.setblocking(False)
        if sock.type != socket.SOCK_STREAM or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ValueError("is no listening stream socket")
        return Handed(name, sock, address_of(sock), _reuses_port(sock))
    except ValueError:
        sock.close()
        raise


def address_of(sock: socket.socket) -> Address:
    """Where `sock` is bound; raises `ValueError` for a family that no listener can have."""
    name = sock.getsockname()
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        return Address(host=name[0], port=name[1])
    if sock.family == socket.AF_UNIX:
        return Address(path="@" + os.fsdecode(name[1:]) if isinstance(name, bytes) else name)
    raise ValueError(f"has the address family {sock.family}")


def _reuses_port(sock: socket.socket) -> bool:
    return sock.family != socket.AF_UNIX and sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) != 0
