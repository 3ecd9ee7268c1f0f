"""Lets in who has a key, and tells the service behind who that is. An example of a filter in Python."""

from __future__ import annotations

import hashlib
import hmac

from proxy.python_filter import CallNext, Exchange, Filter, FilterConfig, local_reply


class ApiKeys(Filter):
    """A key comes in a header and is taken out; the client's name goes on in `x-client`."""

    class Config(FilterConfig):
        """`keys` maps the SHA-256 of a key, in hexadecimal, to the name of the client that has it."""

        keys: dict[str, str]
        header: str = "x-api-key"

    class RouteConfig(FilterConfig):
        """Per route. `anyone`: no key is needed."""

        anyone: bool = False

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._header = config.header.lower().encode("ascii")
        self._names = [(bytes.fromhex(digest), name.encode("ascii")) for digest, name in config.keys.items()]

    async def __call__(self, exchange: Exchange, call_next: CallNext) -> None:
        headers = exchange.request.headers
        key = headers.get(self._header)
        headers.remove(self._header)
        headers.remove(b"x-client")  # a client must not name itself
        route = exchange.filter_config(self.name)
        if route is None or not route.anyone:
            name = self._name_of(key)
            if name is None:
                raise local_reply(401, "a valid key is needed\n", detail="api_key_missing_or_unknown")
            headers.add(b"x-client", name)
        exchange.on_response_headers(lambda head: head.headers.set(b"cache-control", b"private"))
        await call_next(exchange)

    def _name_of(self, key: bytes | None) -> bytes | None:
        """Compares with all keys, so that the time it takes tells nothing."""
        digest = hashlib.sha256(key or b"").digest()
        found = None
        for known, name in self._names:
            if hmac.compare_digest(known, digest):
                found = name
        return found
