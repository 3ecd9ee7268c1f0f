"""What a peer may make a connection do for nothing: pure counts, whose end is a `ConnectionFailed`.

Names, defaults and formulas are Envoy's (`Http2::ProtocolConstraints`, `ConnectionManagerImpl::isPrematureRstStream`).
What Envoy does not bound (PING and SETTINGS of a peer that reads the answers, streams refused or failed) has a rate.
"""

from __future__ import annotations

from proxy.config.http2 import Http2Options
from proxy.http.h2_frames import ConnectionFailed, ErrorCode

PREMATURE_RESETS = 500
"""Envoy's `overload.premature_reset_total_stream_count`: of so many streams half may be reset before their answer."""

PREMATURE_AGE = 2.0
"""A stream that was open for this long (seconds) was meant; Envoy compares whole seconds with 1."""

ANSWERS_PER_SECOND = 1000
"""Frames in a second that ask for nothing but an answer (PING, SETTINGS), or that we answer with a reset. gRPC's
bandwidth estimate sends a PING per round trip."""


def _flood(stat: str) -> ConnectionFailed:
    return ConnectionFailed(ErrorCode.ENHANCE_YOUR_CALM, f"http2.{stat}", stat)


class Budget:
    """One connection's. `opened` and `ended` count its streams, `data_sent` the DATA frames that we sent."""

    __slots__ = (
        "_answers",
        "_empty",
        "_options",
        "_premature",
        "_priority",
        "_second",
        "_window_updates",
        "data_sent",
        "ended",
        "opened",
    )

    def __init__(self, options: Http2Options) -> None:
        self._options = options
        self.opened = 0
        self.data_sent = 0
        self._empty = 0
        self._priority = 0
        self._window_updates = 0
        self._answers = 0
        self._second = 0
        self.ended = 0
        self._premature = 0

    def payload(self, *, empty: bool) -> None:
        """A DATA, HEADERS or CONTINUATION frame came; `empty`: with nothing in it, and no end."""
        if not empty:
            self._empty = 0
            return
        self._empty += 1
        if self._empty > self._options.max_consecutive_inbound_frames_with_empty_payload:
            raise _flood("inbound_empty_frames_flood")

    def priority(self) -> None:
        self._priority += 1
        if self._priority > self._options.max_inbound_priority_frames_per_stream * (1 + self.opened):
            raise _flood("inbound_priority_frames_flood")

    def window_update(self) -> None:
        self._window_updates += 1
        each = self._options.max_inbound_window_update_frames_per_data_frame_sent
        if self._window_updates > 5 + 2 * (self.opened + each * self.data_sent):
            raise _flood("inbound_window_update_frames_flood")

    def answer(self, now: float, unsent: int) -> None:
        """A frame is to be answered by another; `unsent` such answers wait for the peer to read."""
        if unsent >= self._options.max_outbound_control_frames:
            raise _flood("outbound_control_flood")
        if int(now) != self._second:
            self._second = int(now)
            self._answers = 0
        self._answers += 1
        if self._answers > ANSWERS_PER_SECOND:
            raise _flood("inbound_control_frames_flood")

    def premature(self) -> bool:
        """A stream was reset before its answer, by the client or because of it. Says whether that was once too often:
        more than half of `PREMATURE_RESETS`, and of all streams that have `ended`.
        """
        self._premature += 1
        return self._premature >= max(PREMATURE_RESETS, self.ended) // 2
