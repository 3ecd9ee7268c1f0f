"""Attempt after attempt, until one is for the client. What is retried is `proxy/route/retry.py`'s to say."""

from __future__ import annotations

import logging

import trio

from proxy.errors import Flag, ProxyError
from proxy.filters.http.router_headers import TIMEOUT_RETRY, tell_timeout
from proxy.filters.router.forwarding import Forwarding
from proxy.filters.router.request_body import KeptBody
from proxy.filters.router.upstream_request import UpstreamRequest
from proxy.http.headers import Headers
from proxy.route import backoff
from proxy.route.finish import ATTEMPT_COUNT
from proxy.route.retry import RetryState
from proxy.upstream import failures

log = logging.getLogger("proxy.http")


class Retries:
    """A `Judge` that spends the retries of one request, each under the breaker's `max_retries`, which it claims from
    the decision on and until the next one. `wait`: seconds before the attempt that was granted last; None if none was.
    """

    __slots__ = ("_asked", "_claimed", "_forwarding", "_state", "wait")

    def __init__(self, forwarding: Forwarding, state: RetryState) -> None:
        self._forwarding = forwarding
        self._state: RetryState | None = state
        self._claimed = False
        self._asked = False
        self.wait: float | None = None

    def response(self, status: int, headers: Headers) -> bool:
        self.wait = None
        state = self._state
        if state is None or not self._granted(state, wanted=state.wants_response(status, headers)):
            return False
        policy = state.policy
        asked = backoff.asked_interval(headers, policy.reset_headers, policy.reset_max_interval)
        self._set_wait(state, asked)
        return True

    def reset(self, error: ProxyError, *, request_started: bool) -> bool:
        self.wait = None
        state = self._state
        if state is None:
            return False
        if not self._granted(state, wanted=state.wants_reset(error, request_started=request_started)):
            return False
        self._set_wait(state, None)
        return True

    def charge(self) -> None:
        """The attempt that was granted last goes out, which is when it counts."""
        stats = self._forwarding.cluster.stats
        for counted in (stats, *self._forwarding.exchange.info.observed):
            counted.rq_retry.inc()
        (stats.rq_retry_backoff_ratelimited if self._asked else stats.rq_retry_backoff_exponential).inc()

    def give_up(self) -> None:
        """Nothing is retried any more."""
        self._state = None
        self.release()

    def release(self) -> None:
        """The retry that was claimed is over."""
        if self._claimed:
            self._claimed = False
            self._forwarding.breaker.release_retry()

    def _granted(self, state: RetryState, *, wanted: bool) -> bool:
        info, cluster = self._forwarding.exchange.info, self._forwarding.cluster
        counted = (cluster.stats, *info.observed)
        if self._claimed and not wanted:
            for stats in counted:
                stats.rq_retry_success.inc()
        self.release()
        if not wanted:
            return False
        if state.remaining == 0:
            for stats in counted:
                stats.rq_retry_limit_exceeded.inc()
            info.flags.add(Flag.UPSTREAM_RETRY_LIMIT_EXCEEDED)
            return False
        state.remaining -= 1
        if not self._forwarding.breaker.claim_retry():
            for observed in info.observed:
                observed.rq_retry_overflow.inc()
            info.flags.add(Flag.UPSTREAM_OVERFLOW)
            return False
        self._claimed = True
        return True

    def _set_wait(self, state: RetryState, asked: float | None) -> None:
        self._asked = asked is not None
        self.wait = state.backoff.next() if asked is None else backoff.ratelimited(asked)


async def run(forwarding: Forwarding, body: KeptBody, state: RetryState, *, tell_timeout_retry: bool) -> None:
    """Forward with the retries of `state`, for as long as `body` is kept. `tell_timeout_retry`: the upstream hears
    whether a timeout led to an attempt. Raises `ProxyError`.
    """
    exchange, cluster, policy = forwarding.exchange, forwarding.cluster, state.policy
    retries = Retries(forwarding, state)

    def give_up() -> None:
        retries.give_up()
        exchange.info.cause = (
            f"retry disabled: the request's body is larger than {body.limit} bytes "
            "(request_body_buffer_limit of route or virtual host, per_connection_buffer_limit_bytes of the listener)"
        )
        log.debug("cluster %s: %s", cluster.config.name, exchange.info.cause)

    body.overflow.append(give_up)
    tried: set[object] = set()
    entry_rejects = state.rejects
    pool = None
    try:
        while True:
            try:
                return await UpstreamRequest(forwarding, body.reader(), retries).run(pool)
            except ProxyError as error:
                if retries.wait is None:
                    if exchange.info.upstream_attempts > 1:
                        failures.tell_as_retried(error)
                    raise
                after_timeout = error.flag is Flag.UPSTREAM_REQUEST_TIMEOUT
            await trio.sleep(retries.wait)
            retries.charge()
            exchange.handover = None
            tried.add(exchange.info.upstream_tried)
            if entry_rejects is not None:
                pool = cluster.pick_another(
                    entry_rejects(tried),
                    policy.host_selection_retry_max_attempts,
                    labels=forwarding.labels,
                    high=forwarding.high,
                )
            _prepare(forwarding, after_timeout=after_timeout if tell_timeout_retry else None)
    finally:
        retries.release()


def _prepare(forwarding: Forwarding, *, after_timeout: bool | None) -> None:
    """Make the request's head that of the next attempt."""
    exchange = forwarding.exchange
    headers = exchange.request.headers
    if forwarding.entry.virtual_host.request_attempt_count:
        headers.set(ATTEMPT_COUNT, b"%d" % (exchange.info.upstream_attempts + 1))
    if after_timeout is not None:
        headers.set(TIMEOUT_RETRY, b"true" if after_timeout else b"false")
    tell_timeout(headers, forwarding.terms, forwarding.elapsed())
