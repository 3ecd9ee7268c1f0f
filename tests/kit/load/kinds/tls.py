"""GETs over TLS: each on a connection of its own, or one after the other on the same. A connection resumes the session
of the one before. Whose certificate the peer shows is not looked at.
"""

from __future__ import annotations

import ssl

from tests.kit.client import Connection
from tests.kit.load.kinds.kind import Ask
from tests.kit.load.kinds.requests import KeepAlive


class KeepAliveTls(KeepAlive):
    def __init__(self, ask: Ask) -> None:
        super().__init__(ask)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname, self._context.verify_mode = False, ssl.CERT_NONE
        self._session: ssl.SSLSession | None = None

    def perform(self, connection: Connection) -> bool:
        if not isinstance(connection.sock, ssl.SSLSocket):
            connection.secure(self._context, self._session)
        stays = super().perform(connection)
        assert isinstance(connection.sock, ssl.SSLSocket)
        self._session = connection.sock.session
        return stays


class NewTls(KeepAliveTls):
    """The client closes after each response, without having said so before."""

    def perform(self, connection: Connection) -> bool:
        super().perform(connection)
        return False
