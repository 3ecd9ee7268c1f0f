"""How an exchange goes on that the lane of hooks has begun: behind its request's hooks, with those of its response."""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Awaitable

from proxy.filters.http.router import Router
from proxy.filters.router.forwarding import Forwarding
from proxy.http.exchange import Exchange
from proxy.http.filter_chain import CallNext, HttpFilter, build_chain
from proxy.http.handover import Begun
from proxy.http.response_edits import ResponseHead


def settled(exchange: Exchange, context: contextvars.Context, settlement: Awaitable[None]) -> Begun:
    """A hook has answered, or failed: `settlement` sees to it."""
    return Begun(exchange, functools.partial(_settle, context, settlement))


def failed(exchange: Exchange, context: contextvars.Context, error: BaseException) -> Begun:
    """The router has nowhere to send the request."""
    return Begun(exchange, functools.partial(_go_on, context, functools.partial(_fail, error), exchange))


def forwarded(exchange: Exchange, context: contextvars.Context, router: Router, forwarding: Forwarding) -> Begun:
    """The request is the upstream's, and was sent or not."""
    last = functools.partial(_forward, router, forwarding)
    return Begun(exchange, functools.partial(_go_on, context, last, exchange))


def raise_in_place(exchange: Exchange, error: BaseException) -> None:
    """One of the hooks of the response's head has failed: the general path hears of it where it runs them."""
    exchange.on_response_headers(functools.partial(_raise, error))


def edited_already(exchange: Exchange, edited: ResponseHead) -> None:
    """They have made `edited` of it."""
    exchange.on_response_headers(functools.partial(_replace, edited))


def _raise(error: BaseException, head: ResponseHead) -> None:
    raise error


def _replace(edited: ResponseHead, head: ResponseHead) -> None:
    head.status, head.headers = edited.status, edited.headers


async def _settle(context: contextvars.Context, settlement: Awaitable[None]) -> None:
    _enter(context)
    await settlement


async def _go_on(context: contextvars.Context, last: HttpFilter, exchange: Exchange) -> None:
    """Run `last` in place of the chain's last filter."""
    _enter(context)
    await build_chain([last])(exchange)


def _enter(context: contextvars.Context) -> None:
    """What hooks have set in `context` is known in this task, too."""
    for variable, value in context.items():
        if variable.get(None) is not value:
            variable.set(value)


async def _forward(router: Router, forwarding: Forwarding, exchange: Exchange, call_next: CallNext) -> None:
    await router.forward(forwarding)


async def _fail(error: BaseException, exchange: Exchange, call_next: CallNext) -> None:
    raise error
