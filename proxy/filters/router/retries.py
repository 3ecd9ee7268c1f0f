"""The retries of one request: whether, when and whereto another attempt goes, and what it sends."""

from __future__ import annotations

import logging

from proxy.config.cluster import Host
from proxy.errors import Flag, ProxyError
from proxy.filters.http.router_headers import TIMEOUT_RETRY, tell_timeout
from proxy.filters.router.forwarding import Forwarding
from proxy.filters.router.request_body import KeptBody
from proxy.http.headers import Headers
from proxy.route import backoff
from proxy.route.finish import ATTEMPT_COUNT
from proxy.route.retry import RetryState
from proxy.upstream.judge import Verdict
from proxy.upstream.pool import Pool
from proxy.upstream.previous_priorities import PreviousPriorities

log = logging.getLogger("proxy.http")


def _nobody(_: Host) -> bool:
    """Every host will do."""
    return False


class Retries:
    """A `Judge` that spends the retries of one request, each under the breaker's `max_retries`, which it claims from
    the decision on and until the next one.

    `wait`: seconds before the attempt that was granted last; None if none was. `refused`: what was decided last would
    have been retried, but there are none left. `body` is what attempts send, for as long as it is kept.
    `tell_timeout_retry`: the upstream hears whether a timeout led to an attempt.
    """

    __slots__ = (
        "_asked",
        "_claimed",
        "_forwarding",
        "_priorities",
        "_state",
        "_tell_timeout_retry",
        "_terms",
        "_tried",
        "body",
        "refused",
        "wait",
    )

    def __init__(self, forwarding: Forwarding, body: KeptBody, state: RetryState, *, tell_timeout_retry: bool) -> None:
        self._forwarding = forwarding
        self._terms = state
        self._state: RetryState | None = state
        self._tell_timeout_retry = tell_timeout_retry
        self._tried: set[object] = set()
        frequency = state.policy.leave_priorities_after
        self._priorities = PreviousPriorities(frequency) if frequency else None
        self._claimed = False
        self._asked = False
        self.body = body
        body.overflow.append(self._abandon)
        self.refused = False
        self.wait: float | None = None

    def begin(self) -> None:
        """An attempt begins of which nothing has been decided."""
        self.wait = None

    def response(self, status: int, headers: Headers) -> Verdict:
        state = self._state
        if state is None or not self._granted(state, wanted=state.wants_response(status, headers)):
            return Verdict.DELIVER
        policy = state.policy
        self._set_wait(state, backoff.asked_interval(headers, policy.reset_headers, policy.reset_max_interval))
        return Verdict.RETRY

    def informational(self) -> None:
        """What follows cannot be retried, as the client may have seen its beginning."""
        self.give_up()

    def reset(self, error: ProxyError, *, request_started: bool) -> bool:
        state = self._state
        if state is None or not self._granted(state, wanted=state.wants_reset(error, request_started=request_started)):
            return False
        self._set_wait(state, None)
        return True

    def hedge(self) -> bool:
        """An attempt takes too long: whether another one may go out beside it, whatever is retried else."""
        state = self._state
        if state is None or not self._granted(state, wanted=True):
            return False
        self._set_wait(state, None)
        return True

    def would(self, status: int, headers: Headers) -> bool:
        """Whether a response of this head is one to be retried, without deciding anything."""
        return self._state is not None and self._state.wants_response(status, headers)

    def next_pool(self, *, after_timeout: bool) -> Pool | None:
        """The attempt that was granted last goes out, which is when it counts. Makes the request's head its own. The
        pool of the host that it is to go to; None if any will do.
        """
        forwarding, exchange = self._forwarding, self._forwarding.exchange
        stats = forwarding.cluster.stats
        for counted in (stats, *exchange.info.observed):
            counted.rq_retry.inc()
        (stats.rq_retry_backoff_ratelimited if self._asked else stats.rq_retry_backoff_exponential).inc()
        exchange.handover = None
        headers = exchange.request.headers
        if forwarding.entry.virtual_host.request_attempt_count:
            headers.set(ATTEMPT_COUNT, b"%d" % (exchange.info.upstream_attempts + 1))
        if self._tell_timeout_retry:
            headers.set(TIMEOUT_RETRY, b"true" if after_timeout else b"false")
        tell_timeout(headers, forwarding.terms, forwarding.elapsed())
        self._tried.add(exchange.info.upstream_tried)
        rejects, attempts = self._terms.rejects, self._terms.policy.host_selection_retry_max_attempts
        if self._priorities is not None and exchange.info.upstream_tried is not None:
            self._priorities.tried(exchange.info.upstream_tried)
        elif rejects is None:
            return None
        return forwarding.cluster.pick_another(
            rejects(self._tried) if rejects is not None else _nobody,
            attempts,
            forwarding.context,
            self._priorities,
        )

    def give_up(self) -> None:
        """Nothing is retried any more."""
        self._state = None
        self.release()

    def release(self) -> None:
        """The retry that was claimed is over."""
        if self._claimed:
            self._claimed = False
            self._forwarding.breaker.release_retry()

    def _abandon(self) -> None:
        self.give_up()
        cluster, info = self._forwarding.cluster, self._forwarding.exchange.info
        info.cause = (
            f"retry disabled: the request's body is larger than {self.body.limit} bytes "
            "(request_body_buffer_limit of route or virtual host, per_connection_buffer_limit_bytes of the listener)"
        )
        log.debug("cluster %s: %s", cluster.config.name, info.cause)

    def _granted(self, state: RetryState, *, wanted: bool) -> bool:
        info, cluster = self._forwarding.exchange.info, self._forwarding.cluster
        counted = (cluster.stats, *info.observed)
        self.wait = None
        self.refused = wanted
        if not wanted:
            if self._claimed:
                for stats in counted:
                    stats.rq_retry_success.inc()
            self.release()
            return False
        if state.remaining == 0:
            for stats in counted:
                stats.rq_retry_limit_exceeded.inc()
            info.flags.add(Flag.UPSTREAM_RETRY_LIMIT_EXCEEDED)
            return False
        self.release()
        state.remaining -= 1
        if not self._forwarding.breaker.claim_retry():
            for observed in info.observed:
                observed.rq_retry_overflow.inc()
            info.flags.add(Flag.UPSTREAM_OVERFLOW)
            return False
        self._claimed = True
        self.refused = False
        return True

    def _set_wait(self, state: RetryState, asked: float | None) -> None:
        self._asked = asked is not None
        self.wait = state.backoff.next() if asked is None else backoff.ratelimited(asked)
