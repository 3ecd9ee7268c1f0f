"""HTTP filters as onions: each calls the next one, and when that call returns the exchange is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from proxy.errors import ProxyError
from proxy.http.exchange import Exchange

CallNext = Callable[[Exchange], Awaitable[None]]


class HttpFilter(Protocol):
    """Read or edit `exchange.request`, then `await call_next(exchange)`, or answer and do not call it.

    When `call_next` returns the exchange is over: `try/finally` around it is the completion hook, and
    `exchange.info.status` is known there, after a time-out too. A `ProxyError` of the filters behind never comes back
    through `call_next`; it has become a local reply.
    """

    async def __call__(self, exchange: Exchange, call_next: CallNext) -> None: ...


def build_chain(filters: Sequence[HttpFilter]) -> CallNext:
    """`filters`, first to last, as one call. The last one must be terminal: it does not call its `call_next`."""
    chain: CallNext = _past_the_last
    for http_filter in reversed(filters):
        chain = _link(http_filter, chain)
    return chain


async def _past_the_last(exchange: Exchange) -> None:
    raise ProxyError("filter_chain_not_terminated", side="internal", status=500)


def _link(http_filter: HttpFilter, call_next: CallNext) -> CallNext:
    async def call(exchange: Exchange) -> None:
        try:
            await http_filter(exchange, call_next)
        except ProxyError as error:
            await exchange.reply(error)
        except BaseException:
            # Cancelled: the reply follows once all filters are unwound, but they want to know its status now.
            failure = exchange.failure()
            if failure is not None:
                exchange.note(failure)
            raise

    return call
