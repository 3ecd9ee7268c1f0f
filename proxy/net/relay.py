"""Bytes between two connections, both ways, until both have finished (half-closes are passed on)."""

from __future__ import annotations

import errno
import functools
import math
from typing import Literal, Protocol

import trio

from proxy.limits import FAIR_BURST, IDLE_SLACK, READ_SIZE
from proxy.net.peer import PEER_GONE
from proxy.net.pipe import Memory, Pipe, PipePool
from proxy.net.relay_end import Count, End

Side = Literal["downstream", "upstream"]

_GONE = PEER_GONE | {errno.ENETRESET, errno.EHOSTDOWN, errno.ECONNREFUSED, errno.EPROTO}
"""The network's errors on a connected socket, those included that a late ICMP message brings."""


class Touched(Protocol):
    """Whoever wants to know that bytes have moved."""

    def touch(self) -> None: ...


class Idle:
    """One deadline for both directions, written at most once in `slack` seconds: it is late by that much at most and
    never early. `timeout` 0 means none. `end` bounds the scope whatever moves.
    """

    __slots__ = ("_end", "_next", "_scope", "_slack", "_timeout")

    def __init__(self, scope: trio.CancelScope, timeout: float, *, end: float = math.inf) -> None:
        self._scope = scope
        self._timeout = timeout or math.inf
        self._slack = min(IDLE_SLACK, timeout / 32) if timeout else IDLE_SLACK
        self._end = end
        self._next = -math.inf
        self.touch()

    def touch(self) -> None:
        """Bytes have moved."""
        now = trio.current_time()
        if now >= self._next:
            self._next = now + self._slack
            self._scope.deadline = min(now + self._timeout + self._slack, self._end)


class Direction:
    """`source` is read only when `sink` took what came before: that is the back-pressure. `first` has come from
    `source` already and is sent before anything else. `blocked` is told how many bytes (negative: no longer) wait for a
    slow sink.
    """

    __slots__ = ("blocked", "first", "sink", "sink_side", "source", "source_side", "splices")

    def __init__(
        self, source_side: Side, source: End, sink: End, *, first: bytes = b"", blocked: Count | None = None
    ) -> None:
        self.source_side: Side = source_side
        self.sink_side: Side = "upstream" if source_side == "downstream" else "downstream"
        self.source = source
        self.sink = sink
        self.splices = source.splices and sink.splices
        self.first = first
        self.blocked = blocked


class Lost(Exception):
    """A side reset its connection, or the network lost it."""

    def __init__(self, side: Side) -> None:
        super().__init__(side)
        self.side: Side = side


class Relay:
    """Runs two directions. Afterwards `reset_by` names the side that broke off, and `last` the side that was the last
    one to finish sending; None where that did not happen. `ended_by` is the first one that did either.
    """

    def __init__(self, first: Direction, second: Direction, pipes: PipePool, idle: Touched) -> None:
        self._first = first
        self._second = second
        self._pipes = pipes
        self._idle = idle
        self.reset_by: Side | None = None
        self.last: Side | None = None
        self.ended_by: Side | None = None

    async def run(self) -> None:
        """Until both sides have finished, or one is lost. Closes neither."""
        try:
            await self._run()
        finally:
            for direction in (self._first, self._second):
                direction.source.on_loss(None)  # nobody waits for the garbage collector

    async def _run(self) -> None:
        async with trio.open_nursery() as nursery:

            def lose(side: Side) -> None:
                self.reset_by = self.reset_by or side
                self.ended_by = self.ended_by or side
                nursery.cancel_scope.cancel()

            async def carry(direction: Direction) -> None:
                direction.source.on_loss(functools.partial(lose, direction.source_side))
                try:
                    await self._carry(direction)
                    self.last = direction.source_side
                    self.ended_by = self.ended_by or direction.source_side
                except Lost as lost:
                    lose(lost.side)

            nursery.start_soon(carry, self._first)
            await carry(self._second)

    async def _carry(self, direction: Direction) -> None:
        burst = 0
        if direction.first:
            await self._empty(Memory.holding(direction.first), direction)
        while True:
            carrier = self._pipes.take() if direction.splices else Memory()
            try:
                taken = self._fill(carrier, direction)
                if taken:
                    await self._empty(carrier, direction)
            finally:
                self._pipes.put(carrier)
            if taken == 0:
                break
            burst += max(taken or 0, READ_SIZE)
            if taken is None:
                burst = 0
                await direction.source.wait_readable()
            elif burst >= FAIR_BURST * READ_SIZE:
                burst = 0
                await trio.lowlevel.checkpoint()
        try:
            await direction.sink.finish()
        except OSError as error:
            raise _lost(error, direction.sink_side) from error

    def _fill(self, carrier: Pipe | Memory, direction: Direction) -> int | None:
        """Bytes taken; 0 at the end, None if there are none yet."""
        try:
            return direction.source.fill(carrier, direction.sink.limit)
        except BlockingIOError:
            return None
        except OSError as error:
            raise _lost(error, direction.source_side) from error

    async def _empty(self, carrier: Pipe | Memory, direction: Direction) -> None:
        while carrier.held:
            try:
                direction.sink.empty(carrier)
                self._idle.touch()
            except BlockingIOError:
                await self._wait_for_room(carrier.held, direction)
            except OSError as error:
                raise _lost(error, direction.sink_side) from error

    async def _wait_for_room(self, held: int, direction: Direction) -> None:
        if direction.blocked is not None:
            direction.blocked(held)
        try:
            await direction.sink.wait_writable()
        finally:
            if direction.blocked is not None:
                direction.blocked(-held)


def _lost(error: OSError, side: Side) -> Exception:
    return Lost(side) if error.errno in _GONE else error
