"""`ssl.SSLSocket` with the manners of a non-blocking `socket.socket`, as `proxy/net/connection.py` uses one.

A TLS record says nothing about what the kernel still holds, so a reader goes on until nothing comes (EAGAIN).
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from proxy.net.tls import libssl

if TYPE_CHECKING:
    from proxy.net.tls.session import TlsSession

_WAITS = (ssl.SSLWantReadError, ssl.SSLWantWriteError)
_ENDS = (ssl.SSLZeroReturnError, ssl.SSLEOFError)
_PEEK_SIZE = 16 * 1024  # a record


class TlsSocket(ssl.SSLSocket):
    """Its handshake is whoever made it's to run. `server_name` is what the client asks for, "" for nothing; `resuming`
    is what is offered to a server, `agreed` what came of it. `on_error` hears of a peer that breaks the protocol later.
    `owner` made it, and lives as long: OpenSSL may call it back.
    """

    server_name = ""
    resuming: libssl.Session | None = None
    agreed: TlsSession | None = None
    on_error: Callable[[ssl.SSLError], None] | None = None
    owner: object = None
    _ahead = b""  # what a peek has read
    _sslobj: Any  # the base class's: its own methods are as many calls more

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """`socket.recv`; of flags there is MSG_PEEK alone. b"" if the peer has finished, with or without a goodbye."""
        if flags or self._ahead:
            return self._recv_ahead(buflen, flags)
        engine = self._sslobj
        if engine is None:  # `ssl` looks, on its way: the peer was gone before there was any TLS
            return b""
        try:
            return engine.read(buflen)  # type: ignore[no-any-return]
        except _WAITS:
            raise BlockingIOError from None
        except ssl.SSLError as error:
            return self._end(error)

    def _recv_ahead(self, size: int, flags: int) -> bytes:
        if not self._ahead:
            self._ahead = self.recv(_PEEK_SIZE)
        data = self._ahead[:size]
        if not flags & socket.MSG_PEEK:
            self._ahead = self._ahead[size:]
        return data

    def send(self, data: Any, flags: int = 0) -> int:
        """`socket.send`. What was refused for want of room must come again, from its first byte."""
        try:
            return self._sslobj.write(data)  # type: ignore[no-any-return]
        except _WAITS:
            raise BlockingIOError from None
        except ssl.SSLError as error:
            self._told(error)
            raise OSError(errno.EPIPE, os.strerror(errno.EPIPE)) from error

    def sendmsg(self, buffers: Iterable[Any], *_: Any) -> int:  # type: ignore[override]
        return self.send(b"".join(buffers))

    def shutdown(self, how: int) -> None:
        """The end of our side, told in TLS and in TCP; the peer's can still be read."""
        if how != socket.SHUT_RD:
            self._say_goodbye()
        socket.socket.shutdown(self, how)

    def close(self) -> None:
        if self.fileno() >= 0:
            self._say_goodbye()
        self.agreed = self.on_error = None  # which know this socket: nothing is to wait for the garbage collector
        super().close()

    def _say_goodbye(self) -> None:
        if self._sslobj is not None:
            libssl.close_notify(self._sslobj)

    def _end(self, error: ssl.SSLError) -> bytes:
        """What a failed read comes to. A peer that breaks the protocol has gone as far as we are concerned."""
        if isinstance(error, _ENDS):
            return b""
        self._told(error)
        raise OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)) from error

    def _told(self, error: ssl.SSLError) -> None:
        if self.on_error is not None and not isinstance(error, _ENDS):
            self.on_error(error)

    @property
    def engine(self) -> Any:
        """For `libssl`, and to be asked also after `close`; None if the peer had gone before there was one."""
        return self._sslobj
