"""`envoy.filters.listener.tls_inspector`: what a client asks for, before anybody has read a byte of it."""

from __future__ import annotations

from proxy.config.listener import TlsInspector as Config
from proxy.errors import ProxyError
from proxy.net.client_hello import ClientHello, NotTls, TooLarge, body_of, read
from proxy.net.connection import Connection
from proxy.net.peer import disconnected
from proxy.stats import Stats

_METHODS = (b"GET ", b"POST", b"HEAD", b"PUT ")  # those that BoringSSL knows
_FIRST_LOOK = 4096  # bytes; enough for what browsers send


class TlsInspector:
    """Peeks; the bytes stay in the socket for whoever reads it next."""

    def __init__(self, config: Config, stats: Stats) -> None:
        self._limit = config.max_client_hello_size
        self._fingerprints = config.fingerprints
        self._close_on_errors = config.close_on_errors
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
        connection.know_peer()
        size = _FIRST_LOOK
        while True:
            await watch.wait_readable()
            watch.readable = False  # the next edge says that there is more than now
            data = connection.peek(size)
            if data is None:
                continue
            try:
                body = body_of(data, self._limit)
                hello = None if body is None else self._read(body)
            except NotTls:
                if self._close_on_errors:
                    raise ProxyError("tls_not_tls", side="downstream", status=0) from None
                hello, connection.not_tls = None, _not_tls(data)
            except TooLarge:
                self._too_large.inc()
                raise ProxyError("client_hello_too_large", side="downstream", status=0) from None
            else:
                if hello is None:
                    if not data or watch.hang_up:
                        raise disconnected()
                    if len(data) == size:  # the rest may be there already, and no event would tell
                        size *= 4
                        watch.readable = True
                    continue
            watch.readable = True  # for whoever reads it
            connection.hello = hello
            self._charge(hello, len(data))
            return hello

    def _read(self, body: bytes) -> ClientHello:
        """Raises `NotTls`."""
        hello = read(body)
        if self._fingerprints:
            from proxy.net.fingerprints import ja3, ja4

            hello = hello._replace(
                ja3=ja3(body) if "ja3" in self._fingerprints else "",
                ja4=ja4(body) if "ja4" in self._fingerprints else "",
            )
        return hello

    def _charge(self, hello: ClientHello | None, size: int) -> None:
        self._bytes.record(size)
        if hello is None:
            self._not_found.inc()
            return
        self._found.inc()
        (self._name if hello.server_name else self._no_name).inc()
        (self._alpn if hello.applications else self._no_alpn).inc()


def _not_tls(data: bytes) -> str:
    """What is wrong with bytes that begin no TLS connection, in Envoy's words (`TlsInspector::Filter`)."""
    name = "HTTP_REQUEST" if data.startswith(_METHODS) else "HTTPS_PROXY_REQUEST" if data[:5] == b"CONNE" else ""
    return f"TLS_error|error:SSL routines:OPENSSL_internal:{name or 'WRONG_VERSION_NUMBER'}:TLS_error_end"
