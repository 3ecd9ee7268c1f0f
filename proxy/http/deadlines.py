"""The deadlines of one exchange on one cancel scope: the phase whose deadline fired names the reply (style rule 10)."""

from __future__ import annotations

import enum

import trio

from proxy.errors import Flag, ProxyError
from proxy.http.grpc import GrpcStatus
from proxy.net.peer import disconnected

NEVER = float("inf")


class Phase(enum.Enum):
    """What an exchange may be waiting too long for."""

    STREAM_IDLE = "stream_idle_timeout"
    REQUEST_HEADERS = "request_headers_timeout"
    REQUEST = "request_timeout"
    ROUTE = "timeout"
    STREAM_DURATION = "max_stream_duration"
    FLUSH = "stream_flush_timeout"


class Deadlines:
    """One `trio.CancelScope` whose deadline is always the earliest of the armed phases.

    `stream_idle` (seconds, 0: none) starts at once and starts again with every `touch`; touches within a hundredth of
    it count as one, so it may end that much early. Once the whole response has been sent (`end`), `flush` takes its
    place, if that is not None: how long the client may take to make room for what waits.
    Rewriting a deadline costs 2 µs where a nested scope costs 6.
    `asked_timeout`: seconds that the request itself asked for in place of the route's timeout, None if it did not, and
    `asked_per_try_timeout` in place of that of an attempt; `no_content_on_timeout`: an empty 204 answers that timeout.
    """

    __slots__ = (
        "_armed",
        "_client_gone",
        "_deadline",
        "_ended",
        "_idle",
        "_idle_at",
        "_sees_client",
        "_touch_at",
        "asked_per_try_timeout",
        "asked_timeout",
        "flush",
        "no_content_on_timeout",
        "scope",
        "started",
    )

    def __init__(self, stream_idle: float, now: float, flush: float | None = None) -> None:
        self.started = now
        self._idle = stream_idle if stream_idle > 0 else NEVER
        self._idle_at = now + self._idle
        self._touch_at = now + self._idle / 100
        self._armed: dict[Phase, float] = {}
        self._client_gone: ProxyError | None = None
        self._sees_client = True
        self._ended = False
        self.flush = flush
        self.asked_timeout: float | None = None
        self.asked_per_try_timeout: float | None = None
        self.no_content_on_timeout = False
        self._deadline = self._idle_at  # the scope's: trio takes 0.5 µs to tell it
        self.scope = trio.CancelScope(deadline=self._idle_at)

    def touch(self) -> None:
        """A byte moved in either direction."""
        now = trio.current_time()
        if now >= self._touch_at:
            self._touch_at = now + self._idle / 100
            self._idle_at = now + self._idle
            self._apply()

    def replace_idle(self, seconds: float) -> None:
        """From now on `seconds` are the stream's idle timeout; 0: none."""
        now = trio.current_time()
        self._idle = seconds if seconds > 0 else NEVER
        self._touch_at = now + self._idle / 100
        self._idle_at = now + self._idle
        self._apply()

    def end(self) -> None:
        """The whole response has been sent, though some of it may wait for the client's windows."""
        self._ended = True
        if self.flush is not None:
            self.replace_idle(self.flush)

    def arm(self, phase: Phase, seconds: float) -> None:
        """Start `phase`; 0 seconds mean that it has no limit."""
        self.arm_from(phase, trio.current_time(), seconds)

    def arm_from(self, phase: Phase, start: float, seconds: float) -> None:
        """The same for a phase that began at `start`."""
        if seconds > 0:
            self._armed[phase] = start + seconds
            self._apply()

    def disarm(self, phase: Phase) -> bool:
        """`phase` is over; says whether it was armed."""
        if self._armed.pop(phase, None) is None:
            return False
        self._apply()
        return True

    def remaining(self, phase: Phase) -> float:
        """Seconds left for `phase`; infinite if it is not armed."""
        return self._armed.get(phase, NEVER) - trio.current_time()

    def limits(self) -> dict[Phase, float]:
        """What is limited now: seconds from the beginning of the exchange, for STREAM_IDLE those without a byte."""
        limits = {phase: at - self.started for phase, at in self._armed.items()}
        return limits if self._idle == NEVER else {**limits, Phase.STREAM_IDLE: self._idle}

    @property
    def timeout_status(self) -> int:
        """The status that answers the route's timeout."""
        return 204 if self.no_content_on_timeout else 504

    def ignore_client(self) -> None:
        """From now on somebody else sees the client's end."""
        self._sees_client = False

    def client_gone(self, error: ProxyError | None = None) -> None:
        """End the exchange: its client has closed the connection, or given up in the way that `error` says."""
        if not self._sees_client:
            return
        self._client_gone = error or disconnected()
        self.scope.cancel()

    def failure(self, *, request_complete: bool) -> ProxyError | None:
        """Why the scope was cancelled; None if it was not (features §13 rule 28), or if it was for a client that made
        no room for the end of a response: to Envoy such an exchange has not failed.
        """
        if self._client_gone is not None:
            return self._client_gone
        phase = self.fired()
        if phase is None:
            return None
        return _failure(phase, request_complete=request_complete, timeout_status=self.timeout_status)

    def fired(self) -> Phase | None:
        """The phase whose deadline has passed and ended the exchange, or None."""
        if self._client_gone is not None or not self.scope.cancel_called:
            return None
        idle = Phase.FLUSH if self._ended else Phase.STREAM_IDLE
        phase = min(self._armed, key=self._armed.__getitem__, default=idle)
        return phase if self._armed.get(phase, NEVER) < self._idle_at else idle

    def _apply(self) -> None:
        earliest = min(self._idle_at, *self._armed.values()) if self._armed else self._idle_at
        if earliest != self._deadline:
            self.scope.deadline = self._deadline = earliest


def _failure(phase: Phase, *, request_complete: bool, timeout_status: int) -> ProxyError | None:
    match phase:
        case Phase.FLUSH:
            return None
        case Phase.STREAM_IDLE:
            return ProxyError(
                "stream_idle_timeout",
                side="downstream",
                status=504 if request_complete else 408,
                body="stream timeout",
                flag=Flag.STREAM_IDLE_TIMEOUT,
            )
        case Phase.REQUEST_HEADERS:
            return ProxyError(
                "request_header_timeout", side="downstream", status=408, body="request header timeout", close=True
            )
        case Phase.REQUEST:
            return ProxyError(
                "request_overall_timeout", side="downstream", status=408, body="request timeout", close=True
            )
        case Phase.STREAM_DURATION:
            return ProxyError(
                "max_duration_timeout",
                side="downstream",
                status=504 if request_complete else 408,
                body="downstream duration timeout",
                grpc_status=GrpcStatus.DEADLINE_EXCEEDED,
            )
        case Phase.ROUTE:
            return ProxyError(
                "response_timeout",
                side="upstream",
                status=timeout_status,
                body="upstream request timeout" if timeout_status == 504 else "",
                flag=Flag.UPSTREAM_REQUEST_TIMEOUT,
            )
