"""HTTP filters as onions: each calls the next one, and when that call returns the exchange is over."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from proxy.errors import ProxyError
from proxy.http.exchange import Exchange
from proxy.http.headers import Headers
from proxy.http.response_edits import ResponseHead

CallNext = Callable[[Exchange], Awaitable[None]]
EditHeaders = Callable[[Headers], None]


class HttpFilter(Protocol):
    """Read or edit `exchange.request`, then `await call_next(exchange)`, or answer and do not call it.

    When `call_next` returns the exchange is over: `try/finally` around it is the completion hook, and
    `exchange.info.status` is known there, after a time-out too. An error of the filters behind never comes back through
    `call_next`; it has become a local reply.
    """

    async def __call__(self, exchange: Exchange, call_next: CallNext) -> None: ...


class HookFilter(Protocol):
    """A filter that never waits: either hook may be missing. It costs no coroutine.

    A `ProxyError` of `on_request_headers` becomes a local reply. `on_response_headers` sees that too.

    A filter with a `name` and a method `express(overrides)` may be part of the express lane. Given its per-route
    configurations (`Exchange.filter_configs`) it returns what its hooks do to the headers of requests and of responses,
    if they do the same to every exchange and to nothing else; None otherwise.
    """

    def on_request_headers(self, exchange: Exchange) -> None: ...
    def on_response_headers(self, exchange: Exchange, head: ResponseHead) -> None: ...


class ConditionalFilter(Protocol):
    """`wrapped` runs for exchanges to which it `applies`; all others go past it, and it hears of none of them."""

    wrapped: HttpFilter | HookFilter

    def applies(self, exchange: Exchange) -> bool: ...


def build_chain(filters: Sequence[HttpFilter | HookFilter | ConditionalFilter]) -> CallNext:
    """`filters`, first to last, as one call. The last one must be terminal: it does not call its `call_next`."""
    chain: CallNext = _past_the_last
    for http_filter in reversed(filters):
        chain = _link_any(http_filter, chain)
    return chain


def never_waits(http_filter: object) -> bool:
    """Whether it is a `HookFilter`, and runs always."""
    return not hasattr(http_filter, "wrapped") and (
        hasattr(http_filter, "on_request_headers") or hasattr(http_filter, "on_response_headers")
    )


def build_hooks(filters: Sequence[HookFilter]) -> Callable[[Exchange], Awaitable[None] | None]:
    """What these `filters` do before the next one in the chain is called: None if that is to be called now, else what
    settles the exchange instead.
    """
    chain: Any = _nothing_to_await
    for hook_filter in reversed(filters):
        chain = _link_any(hook_filter, chain)
    return chain  # type: ignore[no-any-return]


def _nothing_to_await(exchange: Exchange) -> None:
    """All hooks have run."""


def _link_any(http_filter: Any, call_next: CallNext) -> CallNext:
    wrapped = getattr(http_filter, "wrapped", None)
    if wrapped is not None:
        return _link_condition(http_filter.applies, _link_any(wrapped, call_next), call_next)
    on_request = getattr(http_filter, "on_request_headers", None)
    on_response = getattr(http_filter, "on_response_headers", None)
    if on_response is not None:
        return _link_response_hook(on_response, on_request, call_next)
    if on_request is not None:
        return _link_request_hook(on_request, call_next)
    assert callable(http_filter)
    return _link(http_filter, call_next)


def _link_condition(applies: Callable[[Exchange], bool], through: CallNext, past: CallNext) -> CallNext:
    return lambda exchange: through(exchange) if applies(exchange) else past(exchange)


async def _past_the_last(exchange: Exchange) -> None:
    raise ProxyError("filter_chain_not_terminated", side="internal", status=500)


def _link(http_filter: HttpFilter, call_next: CallNext) -> CallNext:
    async def call(exchange: Exchange) -> None:
        try:
            await http_filter(exchange, call_next)
        except (Exception, SystemExit) as error:
            await _settle(exchange, error)
        except BaseException:
            # Cancelled: the reply follows once all filters are unwound, but they want to know its status now.
            failure = exchange.failure()
            if failure is not None:
                exchange.note(failure)
            raise

    return call


async def _settle(exchange: Exchange, error: BaseException) -> None:
    """Answer `error`; if a response hook fails at that, answer this instead, to the hooks that are left."""
    try:
        await (exchange.reply(error) if isinstance(error, ProxyError) else exchange.fail(error))
    except (Exception, SystemExit) as another:
        await (exchange.reply(another) if isinstance(another, ProxyError) else exchange.fail(another))


def _link_request_hook(on_request: Callable[[Exchange], None], call_next: CallNext) -> CallNext:
    def call(exchange: Exchange) -> Awaitable[None]:
        try:
            on_request(exchange)
        except (Exception, SystemExit) as error:
            return _settle(exchange, error)
        return call_next(exchange)

    return call


def _link_response_hook(
    on_response: Callable[[Exchange, ResponseHead], None],
    on_request: Callable[[Exchange], None] | None,
    call_next: CallNext,
) -> CallNext:
    rest = call_next if on_request is None else _link_request_hook(on_request, call_next)

    def call(exchange: Exchange) -> Awaitable[None]:
        exchange.on_response_headers(functools.partial(on_response, exchange))
        return rest(exchange)

    return call
