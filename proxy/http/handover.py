"""What the express lane leaves to the general path: an exchange to begin, or to go on with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from proxy.http.exchange import Exchange
    from proxy.route.entry import RouteEntry


class Begun(NamedTuple):
    """An exchange whose filters have seen its request already; `rest` is what is left of their chain."""

    exchange: Exchange
    rest: Callable[[], Awaitable[None]]


class Handover:
    """`arrived` are the bytes of the request, empty at the connection's end.

    If `pool` is set, the balancer has picked its host for `entry`'s cluster. If `upstream` is set, the whole request
    went out on that connection at `sent_at` with the id `request_id` (empty: its own), as `sent` bytes with the path
    `path` and `values` in the holes of its plan; it is counted as begun, and `received` has come back. `unsent` is what
    the client has not taken of the answer; the rest of that, `answered` bytes, is with it. `begun`: filters have run.
    """

    __slots__ = (
        "answered",
        "arrived",
        "begun",
        "entry",
        "path",
        "pool",
        "received",
        "request_id",
        "sent",
        "sent_at",
        "started",
        "unsent",
        "upstream",
        "values",
    )

    def __init__(self, arrived: bytes, started: float) -> None:
        self.arrived = arrived
        self.started = started
        self.sent_at = 0.0
        self.begun: Begun | None = None
        self.entry: RouteEntry | None = None
        self.path = b""
        self.pool: Any = None
        self.upstream: Any = None
        self.request_id = b""
        self.sent = 0
        self.values: tuple[bytes, ...] = ()
        self.received = b""
        self.unsent = b""
        self.answered = 0
