"""The handshake of a WebSocket where client or upstream alone has keys (`proxy/http/websocket.py`)."""

from __future__ import annotations

from proxy.http import websocket
from proxy.http.headers import Headers


class Handshake:
    """Of one attempt. `client_has_keys`, `upstream_has_keys`: whether the HTTP that it speaks has some."""

    __slots__ = ("_asked", "_client_has_keys", "_made", "_upstream_has_keys")

    def __init__(self, *, client_has_keys: bool, upstream_has_keys: bool) -> None:
        self._client_has_keys = client_has_keys
        self._upstream_has_keys = upstream_has_keys
        self._asked: bytes | None = None
        self._made = b""

    def ask(self, headers: Headers) -> Headers:
        """The request's headers for the upstream: with a key, if it needs one."""
        self._asked = headers.get(websocket.KEY)
        if self._asked is not None or not self._upstream_has_keys or self._client_has_keys:
            return headers
        self._made = websocket.new_key()
        completed = headers.copy()
        completed.add(websocket.KEY, self._made)
        return completed

    def accept(self, headers: Headers) -> bool:
        """Make the headers of the upstream's consent those for the client; says whether the upstream has understood a
        key that the client knows nothing of.
        """
        if self._made:
            answer = headers.get(websocket.ACCEPT)
            headers.remove(websocket.ACCEPT)
            return answer == websocket.answer_to(self._made)
        if self._asked is not None and not self._upstream_has_keys and self._client_has_keys:
            headers.set(websocket.ACCEPT, websocket.answer_to(self._asked))
        return True
