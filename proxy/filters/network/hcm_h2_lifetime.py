"""When a downstream HTTP/2 connection has to end, or to say something, of itself.

That is: idle and duration timeouts, heads that do not come to their end, PINGs of the keep-alive, and both steps of a
drain.
"""

from __future__ import annotations

from typing import Protocol

import trio

from proxy.filters.network.hcm_config import Config
from proxy.filters.network.hcm_stats import HcmStats
from proxy.http.codec_h2_server import H2ServerCodec
from proxy.http.h2_keepalive import Keepalive
from proxy.net.bell import Bell

NEVER = float("inf")


class Connected(Protocol):
    """The session of the connection."""

    codec: H2ServerCodec

    @property
    def busy(self) -> bool:
        """Whether it has streams."""

    def wake_writer(self) -> None:
        """There is something to send."""

    def end_if_done(self) -> None:
        """End the connection if it takes no more streams and has none."""

    def lose(self) -> None:
        """The client does not answer."""


class Http2Lifetime:
    """One connection's. `closing`: it takes no stream any more."""

    def __init__(self, session: Connected, config: Config, stats: HcmStats) -> None:
        self.closing = False
        self._session = session
        self._config = config
        self._stats = stats
        self._bell = Bell()
        self._draining = False
        self._idle_since = trio.current_time()
        duration = config.max_connection_duration
        self._expires = self._idle_since + duration if duration else NEVER
        self._goaway_due = NEVER  # the second one of a drain
        self._head = 0  # the stream whose header block has begun and not ended
        self._head_due = NEVER
        self._keepalive = Keepalive(config.http2.keepalive, self._idle_since)

    def drain(self) -> None:
        """End the connection so that no request is lost: RFC 9113 6.8 in two steps, `drain_timeout` apart."""
        if not self._draining:
            self._draining = True
            self._session.codec.send_goaway(notice=True)
            self._session.wake_writer()
            self._goaway_due = trio.current_time() + self._config.drain_timeout
            self._bell.ring()

    def idle(self) -> None:
        """The last stream has ended."""
        self._idle_since = trio.current_time()

    def heard(self, pings_answered: int, head: int) -> None:
        """The client has spoken; the header block of stream `head` has not ended, 0 if that is none."""
        self._keepalive.heard(pings_answered)
        if head != self._head:
            self._head = head
            timeout = self._config.request_headers_timeout or self._config.stream_idle_timeout
            self._head_due = trio.current_time() + timeout if head and timeout else NEVER
            self._bell.ring()

    async def run(self) -> None:
        """Do what has to be done when its time has come, for as long as the connection lives."""
        while True:
            with trio.move_on_at(self._next_due()):
                await self._bell.wait()
            now = trio.current_time()
            if now >= self._goaway_due:
                self._goaway_due = NEVER
                self.closing = True
                self._session.codec.send_goaway()
                self._session.wake_writer()
                self._session.end_if_done()
            if self._keepalive.is_due(now):
                self._keep_alive(now)
            if now >= self._idle_due:
                self._stats.cx_idle_timeout.inc()
                self._idle_since = NEVER
                self.drain()
            if now >= self._head_due:
                self._head_due = NEVER
                self._stats.rq_header_timeout.inc()
                self.drain()  # no frame of any other stream may come before its end
            if now >= self._expires:
                self._expires = NEVER
                self._stats.cx_max_duration_reached.inc()
                self.drain()

    @property
    def _idle_due(self) -> float:
        timeout = self._config.idle_timeout
        return self._idle_since + timeout if timeout and not self._session.busy and not self._draining else NEVER

    def _next_due(self) -> float:
        # With streams nobody is idle; the last one's end may be as soon as now.
        idle = self._idle_due
        if idle == NEVER and self._session.busy and self._config.idle_timeout:
            idle = trio.current_time() + self._config.idle_timeout
        return min(self._goaway_due, idle, self._head_due, self._expires, self._keepalive.due)

    def _keep_alive(self, now: float) -> None:
        """Ask whether the client is there, or take it that it is not."""
        if self._keepalive.lost:
            self._session.codec.stats.keepalive_timeout.inc()
            self._keepalive.stop()
            self._session.lose()
        else:
            self._session.codec.send_ping(self._keepalive.ask(now))
            self._session.wake_writer()
