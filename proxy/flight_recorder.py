"""The flight recorder: what is known about each failed or slow request, kept in a ring that outlives its process.

A request that went well costs a comparison (`wanted` is asked only about the others). A record has a bound in every
part, since most of them come from the network, and the whole fits a slot of the ring (`encode`).
"""

from __future__ import annotations

import time
from typing import Literal, Protocol

import msgspec

from proxy.http.stream_info import Attempt, StreamInfo

SLOW = 1.0
"""Seconds from the first byte of a request to the head of its response, from which on it counts as slow. A response
that merely takes long to send (a stream, a download) does not."""

FAILED_STATUS = 400
"""From here on a status may be a failure of ours; an upstream's own status is not."""

NO_FAILURE = frozenset({"via_upstream", "direct_response", ""})
"""Details of answers that somebody meant to give, whatever their status."""

MAX_ATTEMPTS = 4
"""The first one and the last ones are kept."""

_LIMITS = {
    "request_id": 64, "method": 16, "authority": 128, "path": 256, "protocol": 12, "downstream": 64, "listener": 48,
    "route": 64, "virtual_host": 64, "cluster": 64, "upstream": 64, "detail": 160, "flags": 48, "cause": 480,
    "url": 256, "peer": 64,
}  # fmt: skip
_ATTEMPT_HOST, _ATTEMPT_ERROR = 64, 96

Kind = Literal["failed", "slow"]


class Record(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One request, or one TCP connection (`protocol` "TCP").

    Fields are only ever added, at the end and with a default: readers may be of another version.

    `when` is `time.time()` of the end; durations are milliseconds from the request's first byte, -1 where that was not
    reached: `request_ms` the request was complete, `response_ms` the response's head was on its way, `total_ms` the
    end. `limits` are the configured values that may have decided, by Envoy's field (`RouteAction.timeout`), in seconds
    or units. `cause` is the innermost error, or the traceback of an exception. `truncated`: a text was cut.
    `url` is what the client asked for, and `peer` the other end of its connection, where `authority` and `path` (by
    http) and `downstream` do not say it. `headers` are the lines that decide about its route; `reproducible`: all of
    them.
    """

    when: float
    kind: Kind
    worker: int
    request_id: str = ""
    method: str = ""
    authority: str = ""
    path: str = ""
    protocol: str = ""
    downstream: str = ""
    listener: str = ""
    route: str = ""
    virtual_host: str = ""
    cluster: str = ""
    upstream: str = ""
    status: int = 0
    flags: str = "-"
    detail: str = ""
    cause: str = ""
    attempts: tuple[Attempt, ...] = ()
    attempts_total: int = 0
    request_ms: float = -1.0
    response_ms: float = -1.0
    total_ms: float = 0.0
    bytes_received: int = 0
    bytes_sent: int = 0
    limits: dict[str, float] = {}
    truncated: bool = False
    url: str = ""
    peer: str = ""
    headers: tuple[str, ...] = ()
    reproducible: bool = False


class Recorder(Protocol):
    """Where records go. `slow` in seconds; infinite if slow requests are not recorded."""

    slow: float
    worker: int

    def add(self, record: Record) -> None: ...


class MemoryRecorder:
    """Records in plain memory: for tests, and for a server without shared memory."""

    def __init__(self, slow: float = SLOW, worker: int = 0, *, keep: int = 64) -> None:
        self.slow = slow
        self.worker = worker
        self.records: list[Record] = []
        self._keep = keep

    def add(self, record: Record) -> None:
        self.records.append(record)
        del self.records[: -self._keep]


class Ring(Protocol):
    """`shm.ring.RingWriter`, as far as it is used here."""

    @property
    def capacity(self) -> int: ...
    def append(self, payload: bytes) -> None: ...


class RingRecorder:
    """Records in a ring of shared memory."""

    def __init__(self, ring: Ring, *, slow: float, worker: int) -> None:
        self.slow = slow
        self.worker = worker
        self._ring = ring

    def add(self, record: Record) -> None:
        self._ring.append(encode(record, self._ring.capacity))


def kind_of(info: StreamInfo, slow: float) -> Kind | None:
    """Whether the exchange that has ended belongs on record, and as what. `slow` in seconds."""
    if info.flags or (info.status >= FAILED_STATUS and info.detail not in NO_FAILURE):
        return "failed"
    answered = info.response_begun or info.ended
    return "slow" if answered - info.started >= slow else None


def own_failure(info: StreamInfo) -> bool:
    """Whether an exchange that has ended got a 5xx that no upstream sent and no configuration asked for."""
    return info.status >= 500 and info.detail not in NO_FAILURE


def encode(record: Record, capacity: int) -> bytes:
    """MessagePack of at most `capacity` bytes; what does not fit is cut, and the record says so.

    `capacity` is at least 512: that much the smallest form needs.
    """
    record = _bounded(record, 1.0)
    data = msgspec.msgpack.encode(record)
    share = 1.0
    while len(data) > capacity and share > 0.01:  # many-byte characters
        share /= 2
        record = _bounded(record, share)
        data = msgspec.msgpack.encode(record)
    if len(data) > capacity:
        smallest = Record(record.when, record.kind, record.worker, status=record.status, truncated=True)
        data = msgspec.msgpack.encode(smallest)
    return data


def decode(data: bytes) -> Record:
    """The inverse of `encode`. Raises `msgspec.MsgspecError` on anything else."""
    return msgspec.msgpack.decode(data, type=Record)


def text(data: bytes) -> str:
    """What came from the network, as text that holds every byte: UTF-8, or `\\xff` where it is none."""
    return data.decode("utf-8", "backslashreplace")


def now() -> float:
    """Wall time of a record."""
    return time.time()


def _bounded(record: Record, share: float) -> Record:
    """`record` with each text cut to `share` of its limit."""
    cut: dict[str, object] = {}
    for name, limit in _LIMITS.items():
        value: str = getattr(record, name)
        if len(value) > limit * share:
            cut[name] = _cut(value, int(limit * share), tail=name == "cause")
    attempts = record.attempts
    if len(attempts) > MAX_ATTEMPTS:
        attempts = (attempts[0], *attempts[-(MAX_ATTEMPTS - 1) :])
    short = tuple(
        Attempt(
            _cut(attempt.host, int(_ATTEMPT_HOST * share)),
            attempt.phase,
            _cut(attempt.error, int(_ATTEMPT_ERROR * share)),
            attempt.seconds,
            attempt.errno,
        )
        for attempt in attempts
    )
    if share < 1 and record.headers:
        cut |= {"headers": (), "reproducible": False}
    if short != record.attempts:
        cut["attempts"] = short
    return msgspec.structs.replace(record, **cut, truncated=True) if cut else record


def _cut(value: str, length: int, *, tail: bool = False) -> str:
    """At most `length` characters; of a traceback the end says what happened."""
    if len(value) <= length:
        return value
    return "…" + value[len(value) - length + 1 :] if tail else value[: max(0, length - 1)] + "…"
