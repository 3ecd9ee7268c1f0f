"""Opening one TCP or Unix connection without blocking."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING

import trio

from proxy.config.common import Address, PipeAddress, SocketAddress
from proxy.config.upstream_socket import UpstreamSocket
from proxy.upstream.announced import Announced

if TYPE_CHECKING:
    from proxy.net.tls.client import Peer
    from proxy.net.tls.session import TlsSession
    from proxy.upstream.announced import Manner


_IP_BIND_ADDRESS_NO_PORT = 24
_UNSENDABLE = "Failed to create upstream TLS due to failure setting SNI: \
SSL routines:OPENSSL_internal:SSL3_EXT_INVALID_SERVERNAME"


class ConnectFailed(Exception):
    """No connection. `cause` is Envoy's transport failure reason; "" if `timed_out`. `errno` is the kernel's
    error, if it was one. `local`: we have not tried, as our own settings do not let us; `bind`: for want of an address.
    """

    def __init__(
        self,
        cause: str,
        *,
        timed_out: bool = False,
        errno: int | None = None,
        local: bool = False,
        bind: bool = False,
    ) -> None:
        super().__init__(cause or ("connection timeout" if timed_out else ""))
        self.cause = cause
        self.timed_out = timed_out
        self.errno = errno
        self.local = local
        self.bind = bind

    @property
    def remote(self) -> bool:
        """Whether it was the host, or the network, that refused."""
        return not (self.timed_out or self.local)


async def connect(
    address: Address, timeout: float, tls: Manner | None = None, settings: UpstreamSocket | None = None
) -> socket.socket:
    """A connected non-blocking socket to `address` that speaks `tls`, within `timeout` seconds; raises `ConnectFailed`.

    An error of connect(2) itself is "immediate", one that SO_ERROR brings later is "delayed", as Envoy words them.
    """
    if tls is None:
        return await _connect(address, timeout, settings)
    end = trio.current_time() + timeout
    sock = await _connect(address, timeout, settings)
    if isinstance(tls, Announced):
        _announce(sock, tls)
        if tls.peer is None:
            return sock
        tls = tls.peer
    with trio.move_on_at(end):
        return await _secure(sock, tls)
    raise ConnectFailed("", timed_out=True)


def agreed(sock: socket.socket) -> TlsSession | None:
    """What was agreed on with the host of a connected socket; None if it speaks no TLS."""
    return getattr(sock, "agreed", None)


def _announce(sock: socket.socket, host: Announced) -> None:
    """Say whose connection it is. Nothing has been sent yet, so there is room. Raises `ConnectFailed`."""
    try:
        sock.send(host.header(sock))
    except OSError as error:  # the host has accepted, and gone
        sock.close()
        raise ConnectFailed(f"delayed connect error: {error.strerror}", errno=error.errno) from error


async def _secure(sock: socket.socket, tls: Peer) -> socket.socket:
    """`sock`, which is taken over, with the handshake done."""
    try:
        handshake = tls.begin(sock)
    except ValueError as error:  # a client may ask for any name
        raise ConnectFailed(_UNSENDABLE) from error
    except OSError as error:  # the host has accepted, and gone
        raise ConnectFailed(f"delayed connect error: {error.strerror}", errno=error.errno) from error
    try:
        while True:
            try:
                handshake.step()
                return handshake.sock
            except ssl.SSLWantReadError:
                await trio.lowlevel.wait_readable(handshake.sock)
            except ssl.SSLWantWriteError:
                await trio.lowlevel.wait_writable(handshake.sock)
    except OSError as error:
        words = handshake.failure(error)
        handshake.sock.close()
        # What `ssl` has to say of its own errors is in the words already.
        raise ConnectFailed(words) from None if isinstance(error, ssl.SSLError) else error
    except BaseException:
        handshake.sock.close()
        raise


async def _connect(address: Address, timeout: float, settings: UpstreamSocket | None) -> socket.socket:
    try:
        sock = _socket_for(address)
    except OSError as error:  # no file descriptor left, or an address family that the kernel lacks
        raise ConnectFailed(_immediate(error.errno, address), errno=error.errno) from error
    try:
        if settings is not None and not isinstance(address, PipeAddress):
            _apply(settings, sock)
        code = _begin(sock, address)
        if code == errno.EINPROGRESS:
            with trio.move_on_after(timeout) as scope:
                await trio.lowlevel.wait_writable(sock)
            if scope.cancelled_caught:
                raise ConnectFailed("", timed_out=True)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise ConnectFailed(f"delayed connect error: {os.strerror(code)}", errno=code)
        elif code:
            raise ConnectFailed(_immediate(code, address), errno=code)
    except BaseException:
        sock.close()
        raise
    return sock


def _socket_for(address: Address) -> socket.socket:
    if isinstance(address, PipeAddress):
        return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _apply(settings: UpstreamSocket, sock: socket.socket) -> None:
    """Raises `ConnectFailed` if the kernel does not take them."""
    try:
        for option in settings.options:
            sock.setsockopt(option.level, option.name, option.value)
    except OSError as error:
        raise ConnectFailed("", local=True, errno=error.errno) from error
    if settings.sources:
        _bind(sock, settings.sources)


def _bind(sock: socket.socket, sources: Sequence[SocketAddress]) -> None:
    """A port is taken once the host is known: there are as many connections as ports for each host, not for all."""
    own = [source for source in sources if (":" in source.host) is (sock.family == socket.AF_INET6)]
    source = own[0] if own else sources[0]
    try:
        if not own:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        if not source.port:
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((source.host, source.port))
    except OSError as error:
        words = f"failed to bind to {source}: {os.strerror(error.errno or 0)}"
        raise ConnectFailed(words, local=True, bind=True, errno=error.errno) from error


def _begin(sock: socket.socket, address: Address) -> int:
    """What connect(2) says. Raises `ConnectFailed` if no such address can be (a zone that is no interface)."""
    try:
        return sock.connect_ex(_target(address))
    except OSError as error:  # `gaierror`, whose number is not the kernel's
        words = f"immediate connect error: {error.strerror or error}|remote address:{address}"
        raise ConnectFailed(words, local=True) from error


def _target(address: Address) -> str | tuple[str, int]:
    if isinstance(address, PipeAddress):  # "@name" lives in the abstract namespace, which the kernel spells "\0name"
        return f"\0{address.path[1:]}" if address.path.startswith("@") else address.path
    return (address.host, address.port)


def _immediate(code: int | None, address: Address) -> str:
    return f"immediate connect error: {os.strerror(code or 0)}|remote address:{address}"
