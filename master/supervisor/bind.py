"""Binding one socket: TCP with or without SO_REUSEPORT, Unix. Every failure is a `BindError` that helps."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat

from master.supervisor.committed import Address
from master.supervisor.port_holder import holder


class BindError(Exception):
    """An address cannot be had; the text names it, the reason and the remedy."""


def somaxconn() -> int:
    with open("/proc/sys/net/core/somaxconn", encoding="ascii") as file:
        return int(file.read())


def tcp(address: Address, port: int, *, reuse_port: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((address.host, port))
    except OSError as error:
        sock.close()
        raise _bind_error(address, error) from error
    return sock


def _bind_error(address: Address, error: OSError) -> BindError:
    if error.errno == errno.EADDRINUSE:
        return BindError(
            f"cannot bind {address}: the address is in use by {holder(address.port)}; stop it or choose another port"
        )
    if error.errno == errno.EACCES:
        return BindError(
            f"cannot bind {address}: permission denied; ports below 1024 need root or CAP_NET_BIND_SERVICE "
            "(start as root with --user, or choose a higher port)"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return BindError(f"cannot bind {address}: no interface of this machine has that address")
    return BindError(f"cannot bind {address}: {error.strerror}")


def probe(address: Address) -> None:
    """Fail if anybody listens on the TCP `address`: with SO_REUSEPORT two instances would share it silently."""
    if address.port:
        tcp(address, address.port, reuse_port=False).close()


def unix(address: Address) -> socket.socket:
    """A bound Unix socket. A stale file is removed; a live or foreign one is an error; links are not followed."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    name = "\0" + address.path[1:] if address.path.startswith("@") else address.path
    try:
        if not address.path.startswith("@"):
            _remove_stale(address)
        # bind() applies the umask once; a chmod afterwards would leave a moment with wider rights
        mask = os.umask(0o777 & ~address.mode) if address.mode else None
        try:
            sock.bind(name)
        finally:
            if mask is not None:
                os.umask(mask)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise BindError(f"cannot bind {address}: another process listens there") from error
        raise BindError(f"cannot bind {address}: {error.strerror or error}") from error
    except BindError:
        sock.close()
        raise
    return sock


def _remove_stale(address: Address) -> None:
    try:
        status = os.lstat(address.path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise BindError(f"cannot bind {address}: a file that is no socket is there; it was left untouched")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(1.0)
        try:
            client.connect(address.path)
        except (ConnectionRefusedError, FileNotFoundError):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(address.path)
            return
        except TimeoutError:
            pass  # somebody listens and its queue is full
    raise BindError(f"cannot bind {address}: another process listens there")
