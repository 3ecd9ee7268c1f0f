"""The handshake of an upgrade or CONNECT: what the upstream is asked, and whether what it says is consent."""

from __future__ import annotations

from proxy.http import websocket
from proxy.http.headers import Headers


class Handshake:
    """Of one attempt. `upgrade` is what was asked for, `connect` for CONNECT. `client_has_keys`, `upstream_has_keys`:
    whether a WebSocket has a key in the HTTP that each of them speaks, which is HTTP/1.1 (`proxy/http/websocket.py`).
    """

    __slots__ = ("_client_has_keys", "_key", "_made", "_upgrade", "_upstream_has_keys")

    def __init__(self, upgrade: str, *, client_has_keys: bool, upstream_has_keys: bool) -> None:
        self._upgrade = upgrade
        self._client_has_keys = client_has_keys
        self._upstream_has_keys = upstream_has_keys
        self._key: bytes | None = None
        self._made = False

    def ask(self, headers: Headers) -> Headers:
        """The request's headers for the upstream: with a key, if it needs one."""
        if self._upgrade != "websocket":
            return headers
        self._key = headers.get(websocket.KEY)
        if self._key is not None or not self._upstream_has_keys or self._client_has_keys:
            return headers
        self._key, self._made = websocket.new_key(), True
        completed = headers.copy()
        completed.add(websocket.KEY, self._key)
        return completed

    def accept(self, status: int, headers: Headers) -> bool:
        """Make the headers of an answer that opens a tunnel those for the client; says whether the upstream has said
        what it changes to, and has understood a key that the client knows nothing of.
        """
        if status == 101 and b"upgrade" not in headers:
            return False
        if self._key is None:
            return True
        proof = websocket.answer_to(self._key)
        if self._made:
            answer = headers.get(websocket.ACCEPT)
            headers.remove(websocket.ACCEPT)
            return answer == proof
        if self._client_has_keys and not self._upstream_has_keys:
            headers.set(websocket.ACCEPT, proof)
        return True

    def misleads(self, status: int) -> bool:
        """Whether an answer that opens no tunnel could be taken for one that does: to a client of HTTP/2 any 2xx
        (RFC 8441 section 5), so that it would take a body for the tunnel's bytes; else a 200 to a WebSocket, as in
        Envoy.
        """
        return 200 <= status < 300 and (not self._client_has_keys or (self._upgrade == "websocket" and status == 200))
