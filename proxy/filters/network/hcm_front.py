"""One downstream HTTP connection that keeps no task: the express lane serves it, and tasks come as it needs them.

A task costs more than a plain exchange, in time and in memory. So there is one only while the general path has work
to do, which is a `Session`; between such exchanges an idle connection is a socket, a lane and an entry of the poller.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING

from proxy.filters.context import Keeper, Resume
from proxy.filters.network.hcm_session import Session
from proxy.http.handover import Handover
from proxy.net.connection import Connection

if TYPE_CHECKING:
    from proxy.filters.network.hcm_plans import Plans
    from proxy.filters.network.http_connection_manager import HttpConnectionManager

log = logging.getLogger("proxy.http")


class Front:
    """From the connection's first byte to its end, which is told to `keeper`."""

    __slots__ = ("_connection", "_hop", "_keeper", "_lane", "_manager")

    def __init__(self, manager: HttpConnectionManager, plans: Plans, connection: Connection, keeper: Keeper) -> None:
        self._manager = manager
        self._connection = connection
        self._keeper = keeper
        self._hop = manager.identities.hop(connection.remote, connection.local, manager.scheme, connection.tls)
        self._lane = manager.lane(manager, plans, connection, self._hop, self)
        connection.on_end = self.end

    def begin(self) -> None:
        self._manager.begin_connection(self._connection)
        self._lane.begin()

    def on_lane_end(self) -> None:
        """The lane has something for the general path, or the client has finished."""
        try:
            handover = self._lane.result()
        except Exception:
            log.exception("the express lane failed")
            self._ended()
            return
        if handover.arrived:
            self._keeper.start_task(self._connection, functools.partial(self._go_on, handover))
        else:
            self._ended()

    def end(self) -> None:
        """Stop now. An exchange that is in progress becomes a task, which the caller's cancellation finds."""
        if self._lane.stop():
            self._ended()
        else:
            self._lane.hand_over()

    def expire(self) -> None:
        """The idle timeout is over."""
        if self._lane.stop():
            self._manager.stats.cx_idle_timeout.inc()
            self._ended()

    async def _go_on(self, handover: Handover, connection: Connection) -> Resume | None:
        """A task's part: the exchange that the lane could not serve, and those that came with it."""
        session = Session(self._manager, connection, self._hop)
        stays = False
        try:
            stays = await session.serve(handover)
        finally:
            if not stays:
                self._end(session)
        return self._lane.begin if stays else None

    def _ended(self) -> None:
        self._end()
        self._keeper.ended(self._connection)

    def _end(self, session: Session | None = None) -> None:
        self._manager.end_connection(self._connection, session)
        self._connection.on_end = None
        del self._lane  # it refers to us: nobody waits for the garbage collector
