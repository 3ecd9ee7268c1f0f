"""What one response head comes to, worked out once: hosts that answer alike within the same second pay for one of them.
It comes as bytes of HTTP/1, or decoded of HTTP/2.

As `express_request`: the general path's functions decide, their result is kept with one hole, the service time.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from proxy.http import h1_connection, h1_head, h1_outgoing
from proxy.http.codec import CodecError
from proxy.http.h1_writer import render_head
from proxy.http.h2_heads import ResponseHead as DecodedHead
from proxy.http.headers import Headers, KeyFormat
from proxy.http.response_head import ResponseRules, http_date

SERVICE_TIME = b"x-envoy-upstream-service-time"

_ABOUT_THE_HOST = (b"x-envoy-upstream-canary", b"x-envoy-immediate-health-check-fail")
"""What a cluster wants to know of a response is the general path's to tell it."""

_BODILESS = (204, 304)

_MAX_PLANS = 512
_MAX_HEAD = 4096
"""Together, what the plans of one connection manager may hold: 2 MiB of heads, and about as much again of answers."""


class Shelf:
    """Where the plans of all clusters and routes of a connection manager stand. A host whose every head is another one
    fills it, and then all begin anew: what is in use is back with its next response.
    """

    __slots__ = ("_all", "_count")

    def __init__(self) -> None:
        self._all: list[dict[Any, Any]] = []
        self._count = 0

    def board(self) -> dict[Any, Any]:
        """A dict that is emptied with the others; `count` is called for each entry."""
        board: dict[Any, Any] = {}
        self._all.append(board)
        return board

    def count(self) -> None:
        """One more plan is about to be kept."""
        self._count += 1
        if self._count > _MAX_PLANS:
            self._count = 1
            for board in self._all:
                board.clear()


class ResponsePlan:
    """A response with the head `head_size` bytes long, 0 if it came decoded, and `content_length` bytes of body, -1 if
    it does not say. Its `headers` are those for the client; if `timed`, they have a service time of 0.
    """

    __slots__ = ("_date", "content_length", "head_size", "headers", "size", "status", "timed")

    def __init__(
        self, status: int, content_length: int, head_size: int, headers: Headers, *, timed: bool, date: bytes | None
    ) -> None:
        self.status = status
        self.content_length = content_length
        self.head_size = head_size
        self.size = head_size + content_length
        self.headers = headers
        self.timed = timed
        self._date = date

    @property
    def fresh(self) -> bool:
        """Whether the `date` that we added, if we did, is still the time."""
        return self._date is None or self._date is http_date()


class WrittenPlan(ResponsePlan):
    """A response of HTTP/1. `before` and `after` stand around the service time, of which there is none if `after` is
    empty.
    """

    __slots__ = ("after", "before")

    before: bytes
    after: bytes

    def write(self, rendered: bytes, service_time: bytes) -> None:
        """It looks like this, less its body; `service_time` is how the name of that is written."""
        self.before, self.after = rendered, b""
        if self.timed:
            before, name, after = rendered.partition(b"\r\n%b: " % service_time)
            self.before, self.after = before + name, after[1:]  # behind the "0" that stands for the time

    def render(self, service_time: int) -> bytes:
        """The head for the client."""
        return b"%b%d%b" % (self.before, service_time, self.after) if self.after else self.before


Plan = TypeVar("Plan", bound=ResponsePlan)


class ResponsePlans(abc.ABC, Generic[Plan]):
    """The plans for the responses of one cluster on a route; `edits` are what filters do to their heads. What `refused`
    says true of has none. `to_head`: they answer HEAD, so they have no body, whatever they say.
    """

    knows_bodiless = True
    """Whether 204 and 304 may have plans."""

    __slots__ = (
        "_closing",
        "_decoded",
        "_edits",
        "_max_bytes",
        "_max_count",
        "_plans",
        "_refused",
        "_remember",
        "_rules",
        "_service_time",
        "_shelf",
        "_to_head",
    )

    def __init__(
        self,
        shelf: Shelf,
        rules: ResponseRules,
        edits: Sequence[Callable[[Headers], None]] = (),
        *,
        max_bytes: int,
        max_count: int,
        service_time: bool,
        refused: Callable[[int, Headers], bool] | None = None,
        remember: h1_head.Remember | None = None,
        to_head: bool = False,
    ) -> None:
        self._to_head = to_head
        self._remember = remember
        self._refused = refused
        self._rules = rules
        self._edits = edits
        self._max_bytes = min(max_bytes, _MAX_HEAD)
        self._max_count = max_count
        self._service_time = service_time
        self._shelf = shelf
        self._plans: dict[bytes, Plan | None] = shelf.board()
        self._closing: dict[bytes, Plan | None] = shelf.board()
        self._decoded: dict[tuple[DecodedHead, bool, bool], Plan | None] = shelf.board()

    def find(self, data: bytes, *, close: bool = False) -> Plan | None:
        """The plan for the response that begins with `data`; None if that is not of the plainest kind, or not all of
        its head has come. `close`: the client is told that its connection ends.
        """
        end = data.find(b"\r\n\r\n", 0, self._max_bytes) + 4
        if end < 4:
            return None
        head = data[:end]
        plans = self._closing if close else self._plans
        plan = plans.get(head)
        if plan is None or not plan.fresh:
            if head not in plans:
                self._shelf.count()
            plan = plans[head] = self._plan(head, close=close)
        return plan

    def find_decoded(self, head: DecodedHead, *, ended: bool, close: bool = False) -> Plan | None:
        """The same for a response of HTTP/2; `ended`: it is its head alone."""
        key = (head, ended, close)
        plan = self._decoded.get(key)
        if plan is None or not plan.fresh:
            if key not in self._decoded:
                if sum([len(name) + len(value) for name, value in head.items]) > self._max_bytes:
                    return None
                self._shelf.count()
            headers, length = Headers(head.items), head.content_length
            if head.status not in _BODILESS:
                plan = self._judge(head.status, headers, length, 0, ended=ended, close=close)
            self._decoded[key] = plan
        return plan

    def _plan(self, head: bytes, *, close: bool) -> Plan | None:
        try:
            parsed = h1_head.parse_response(
                head, max_headers_count=self._max_count, upgrading=False, remember=self._remember
            )
        except CodecError:
            return None
        status, headers, length = parsed.status, parsed.headers, parsed.content_length
        if status in _BODILESS and not self.knows_bodiless:
            return None
        bodiless = self._to_head or status in _BODILESS
        if length is None:
            length = -1
        if (length < 0 and not bodiless) or h1_connection.closes(headers, parsed.version):
            return None
        return self._judge(status, headers, length, len(head), ended=bodiless or not length, close=close)

    def _judge(
        self, status: int, headers: Headers, length: int, head_size: int, *, ended: bool, close: bool
    ) -> Plan | None:
        if status < 200 or any(name in headers for name in _ABOUT_THE_HOST):
            return None
        if self._refused is not None and self._refused(status, headers):
            return None
        if self._service_time:
            headers.set(SERVICE_TIME, b"0")
        for edit in self._edits:
            edit(headers)
        if headers.get_all(b"content-length") != ([b"%d" % length] if length >= 0 else []):
            return None
        if ended:
            length = 0
        date = None if b"date" in headers else http_date()
        self._rules.clean(headers, close=False)
        timed = self._service_time and headers.get_all(SERVICE_TIME) == [b"0"]
        return self._finished(status, length, head_size, headers, timed=timed, date=date, ended=ended, close=close)

    @abc.abstractmethod
    def _finished(
        self,
        status: int,
        content_length: int,
        head_size: int,
        headers: Headers,
        *,
        timed: bool,
        date: bytes | None,
        ended: bool,
        close: bool,
    ) -> Plan | None:
        """The plan of a response with these headers, which are all of it if it has `ended`; None if they cannot be
        written.
        """


def written(
    status: int,
    headers: Headers,
    key_format: KeyFormat | None,
    *,
    end_stream: bool,
    close: bool,
    method: bytes = b"GET",
) -> bytes:
    """The head of a response to `method` on the wire. One that must not be sent raises `CodecError` (502)."""
    fields, framing, _ = h1_outgoing.frame_response(
        status, headers, method=method, version=b"1.1", opens_tunnel=False, end_stream=end_stream
    )
    if close:
        fields.append((b"connection", b"close"))
    line = h1_outgoing.status_line(status, reason=headers.reason)
    return render_head(line, fields + framing, status=502, key_format=key_format)


class WrittenPlans(ResponsePlans[WrittenPlan]):
    """Those of HTTP/1. `key_format` is how names are written to clients."""

    def __init__(self, *arguments: Any, key_format: KeyFormat | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._key_format = key_format

    def _finished(
        self,
        status: int,
        content_length: int,
        head_size: int,
        headers: Headers,
        *,
        timed: bool,
        date: bytes | None,
        ended: bool,
        close: bool,
    ) -> WrittenPlan | None:
        if content_length < 0:  # its chunks depend on the pieces in which it comes
            return None
        key_format, method = headers.key_format or self._key_format, b"HEAD" if self._to_head else b"GET"
        try:
            rendered = written(status, headers, key_format, end_stream=ended, close=close, method=method)
        except CodecError:
            return None
        plan = WrittenPlan(status, content_length, head_size, headers, timed=timed, date=date)
        plan.write(rendered, SERVICE_TIME if key_format is None else key_format(SERVICE_TIME))
        return plan
