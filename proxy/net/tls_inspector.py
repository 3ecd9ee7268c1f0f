"""`envoy.filters.listener.tls_inspector`: what a client asks for, before anybody has read a byte of it."""

from __future__ import annotations

from proxy.config.listener import TlsInspector as Config
from proxy.net.client_hello import ClientHello, NotTls, TooLarge, parse
from proxy.net.connection import Connection
from proxy.net.peer import disconnected
from proxy.stats import Stats

_FIRST_LOOK = 4096  # bytes; enough for what browsers send


class TlsInspector:
    """Peeks; the bytes stay in the socket for whoever reads it next."""

    def __init__(self, config: Config, stats: Stats) -> None:
        self._limit = config.max_client_hello_size
        counters = (
            stats.counter(f"tls_inspector.{name}")
            for name in (
                "tls_found", "tls_not_found", "sni_found", "sni_not_found", "alpn_found", "alpn_not_found",
                "client_hello_too_large",
            )
        )  # fmt: skip
        self._found, self._not_found, self._name, self._no_name, self._alpn, self._no_alpn, self._too_large = counters
        self._bytes = stats.histogram("tls_inspector.bytes_processed")

    async def inspect(self, connection: Connection) -> ClientHello | None:
        """None if it is not TLS. Raises `ProxyError` if the client has gone, or asks for too much."""
        watch = connection.watch()
        size = _FIRST_LOOK
        while True:
            await watch.wait_readable()
            watch.readable = False  # the next edge says that there is more than now
            data = connection.peek(size)
            if data is None:
                continue
            try:
                hello = parse(data, self._limit)
            except NotTls:
                hello = None
            except TooLarge:
                self._too_large.inc()
                raise disconnected() from None
            else:
                if hello is None:
                    if not data or watch.hang_up:
                        raise disconnected()
                    if len(data) == size:  # the rest may be there already, and no event would tell
                        size *= 4
                        watch.readable = True
                    continue
            watch.readable = True  # for whoever reads it
            self._charge(hello, len(data))
            return hello

    def _charge(self, hello: ClientHello | None, size: int) -> None:
        self._bytes.record(size)
        if hello is None:
            self._not_found.inc()
            return
        self._found.inc()
        (self._name if hello.server_name else self._no_name).inc()
        (self._alpn if hello.applications else self._no_alpn).inc()
