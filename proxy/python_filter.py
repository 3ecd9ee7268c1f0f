"""Everything that a filter written in Python needs, and the only module of ours that it should import.

docs/python-filters.md is the manual, `proxy.testing` runs a filter without a proxy. What stands in `__all__` stays as
it is through all versions of one major number.

    from proxy.python_filter import CallNext, Exchange, Filter, FilterConfig, local_reply

    class Deny(Filter):
        class Config(FilterConfig):
            prefix: str

        async def __call__(self, exchange: Exchange, call_next: CallNext) -> None:
            if exchange.request.path.startswith(self.config.prefix.encode()):
                raise local_reply(403, "not here\\n", detail="denied")
            await call_next(exchange)
"""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.errors import Flag, ProxyError
from proxy.http.body import RequestBody, Transform
from proxy.http.exchange import Exchange
from proxy.http.filter_chain import CallNext
from proxy.http.headers import Headers
from proxy.http.request import Request
from proxy.http.response_edits import ResponseEdit, ResponseHead
from proxy.http.stream_info import StreamInfo

__all__ = [
    "CallNext",
    "Exchange",
    "Filter",
    "FilterConfig",
    "Flag",
    "Headers",
    "ProxyError",
    "Request",
    "RequestBody",
    "ResponseEdit",
    "ResponseHead",
    "StreamInfo",
    "Transform",
    "local_reply",
]


class FilterConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of a filter's `Config`: typed fields, and a field that it does not have is an error of the configuration."""


class Filter:
    """A filter's base class. What it does is `__call__`, or the hooks of `HookFilter` for one that never waits.

    One object serves all requests of a connection manager in one worker. It is also made once, and thrown away, when
    the configuration is checked: an exception of `__init__` is an error of the configuration. `name` is the filter's
    name in `http_filters`, set once it is made.
    """

    name: str = ""

    def __init__(self, config: Any) -> None:
        self.config = config

    def config_for(self, exchange: Exchange) -> Any:
        """The most specific per-route configuration of this filter for the request, else its own."""
        override = exchange.filter_config(self.name)
        return self.config if override is None else override


def local_reply(
    status: int,
    body: str | bytes = "",
    *,
    detail: str = "dynamic_module",
    flag: Flag | None = None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    close: bool = False,
) -> ProxyError:
    """An answer of the filter's own, to be raised before the response has begun: `raise local_reply(403, "no")`.

    `detail` is `%RESPONSE_CODE_DETAILS%`, spaces become `_`; `flag` joins `%RESPONSE_FLAGS%`. `headers` have lower-case
    names. `close` ends the client's connection with the reply.
    """
    return ProxyError(
        detail.replace(" ", "_"), side="internal", status=status, body=body, flag=flag, headers=headers, close=close
    )
