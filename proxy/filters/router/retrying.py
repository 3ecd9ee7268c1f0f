"""Attempt after attempt, until one is for the client. What is retried is `proxy/route/retry.py`'s to say."""

from __future__ import annotations

import trio

from proxy.errors import Flag, ProxyError
from proxy.filters.router.forwarding import Forwarding
from proxy.filters.router.retries import Retries
from proxy.filters.router.upstream_request import UpstreamRequest
from proxy.upstream import failures
from proxy.upstream.pool import Pool


async def run(forwarding: Forwarding, retries: Retries) -> None:
    """Forward with `retries`. Raises `ProxyError`."""
    pool: Pool | None = None
    try:
        while True:
            retries.begin()
            try:
                return await UpstreamRequest(forwarding, retries.body.reader(), retries).run(pool)
            except ProxyError as error:
                if retries.wait is None:
                    if forwarding.exchange.info.upstream_attempts > 1:
                        failures.tell_as_retried(error)
                    raise
                after_timeout = error.flag is Flag.UPSTREAM_REQUEST_TIMEOUT
            await trio.sleep(retries.wait)
            pool = retries.next_pool(after_timeout=after_timeout)
    finally:
        retries.release()
