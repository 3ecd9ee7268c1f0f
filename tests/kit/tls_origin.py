"""An HTTP/1.1 origin that speaks TLS, in threads of the test's own, and tells each client what it saw of it.

The body is JSON: `sni`, `client` (the common name of the client's certificate, or null), `version`, `alpn`, `resumed`,
and `request`, the number of the request on its connection. `/last` ends the connection.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from tests.kit.certificates import Authority, Pair


class TlsOrigin:
    """`with TlsOrigin(…) as origin: origin.port`. It presents the certificate of the name that is asked for, else the
    one of "". `authority` is whose clients' certificates it takes, if they have one.
    """

    def __init__(
        self,
        directory: Path,
        pairs: Mapping[str, Pair],
        authority: Authority,
        *,
        prepare: Callable[[ssl.SSLContext], None] = lambda _: None,
    ) -> None:
        self._contexts = {}
        for number, (name, pair) in enumerate(pairs.items()):
            path = directory / f"origin{number}.pem"
            path.write_text(pair.chain + pair.key)
            context = self._contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(path)
            context.set_alpn_protocols(["h2", "http/1.1", "other"])
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(cadata=authority.pem)
            context.sni_callback = self._on_name
            prepare(context)
        self._names: dict[ssl.SSLSocket, str | None] = {}
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _on_name(self, sock: Any, name: str | None, _: ssl.SSLContext) -> None:
        self._names[sock] = name
        if name in self._contexts:
            sock.context = self._contexts[name]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            secure = self._contexts[""].wrap_socket(sock, server_side=True)
            with secure:
                number = 0
                while head := _read_head(secure):
                    number += 1
                    body = json.dumps({**self._seen(secure), "request": number}).encode()
                    last = head.split(b" ")[1].endswith(b"/last")
                    end = b"connection: close\r\n" if last else b""
                    secure.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n%b\r\n%b" % (len(body), end, body))
                    if last:
                        secure.unwrap()
                        return

    def _seen(self, secure: ssl.SSLSocket) -> dict[str, Any]:
        certificate = secure.getpeercert()
        subject = dict(part[0] for part in certificate["subject"]) if certificate else {}  # type: ignore[misc]
        return {
            "sni": self._names.get(secure),
            "client": subject.get("commonName"),
            "version": secure.version(),
            "alpn": secure.selected_alpn_protocol(),
            "resumed": secure.session_reused,
        }


def _read_head(secure: ssl.SSLSocket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = secure.recv(65536)
        if not data:
            return b""
        head += data
    return head
