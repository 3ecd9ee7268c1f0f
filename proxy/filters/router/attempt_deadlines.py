"""The deadlines of one attempt, on one cancel scope of its own: they end it and not the exchange."""

from __future__ import annotations

import enum

import trio

from proxy.errors import Flag, ProxyError

NEVER = float("inf")


class Limit(enum.Enum):
    """What an attempt may take too long for."""

    PER_TRY = "per_try_timeout"
    PER_TRY_IDLE = "per_try_idle_timeout"
    STREAM_DURATION = "max_stream_duration"


class AttemptDeadlines:
    """`scope`'s deadline is the earliest of the limits that run."""

    __slots__ = ("_at", "_idle", "scope")

    def __init__(self) -> None:
        self._at: dict[Limit, float] = {}
        self._idle = 0.0
        self.scope = trio.CancelScope()

    def start(self, limit: Limit, seconds: float, since: float) -> None:
        """`limit` runs, since `since`; 0 seconds: it never ends."""
        if seconds > 0:
            self._at[limit] = since + seconds
            self._apply()
        if limit is Limit.PER_TRY_IDLE:
            self._idle = seconds

    def heard(self) -> None:
        """Something of the response has come."""
        if self._idle:
            self._at[Limit.PER_TRY_IDLE] = trio.current_time() + self._idle
            self._apply()

    def answered(self) -> None:
        """The response goes to the client: the timeout of a try is no longer asked for."""
        if self._at.pop(Limit.PER_TRY, None) is not None:
            self._apply()

    def fired(self) -> Limit:
        """The limit that ended the attempt."""
        return min(self._at, key=self._at.__getitem__)

    def _apply(self) -> None:
        self.scope.deadline = min(self._at.values(), default=NEVER)


def failure(limit: Limit, *, request_complete: bool, timeout_status: int) -> ProxyError:
    """The error of an attempt that `limit` ended (features §13 rules 28 and 42)."""
    if limit is Limit.STREAM_DURATION:
        return ProxyError(
            "upstream_max_stream_duration_reached",
            side="upstream",
            status=504 if request_complete else 408,
            body="upstream max stream duration reached",
            flag=Flag.UPSTREAM_MAX_STREAM_DURATION_REACHED,
        )
    return ProxyError(
        "upstream_per_try_timeout" if limit is Limit.PER_TRY else "upstream_per_try_idle_timeout",
        side="upstream",
        status=timeout_status,
        body="upstream request timeout" if timeout_status == 504 else "",
        flag=Flag.UPSTREAM_REQUEST_TIMEOUT,
    )
