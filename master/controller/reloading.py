"""The controller's part of a reload: find the hosts of the new configuration, then take it over, or forget it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

import trio

from master.controller.publication import Publication
from master.dns.refresh import Discovery
from proxy.config.bootstrap import CompiledConfig
from proxy.config.cluster import encode_endpoints
from shm import memfd
from workers import committed
from workers.link import SupervisorLink

log = logging.getLogger("controller")

WARM_DEADLINE = 10.0  # seconds for the first answers to names that are new; a cluster without one begins without hosts


class Reloading:
    """`make_room` is called before the new hosts' rows are told to anybody."""

    def __init__(
        self, link: SupervisorLink, discovery: Discovery, publication: Publication, make_room: Callable[[], None]
    ) -> None:
        self._link = link
        self._discovery = discovery
        self._publication = publication
        self._make_room = make_room
        self._version = 0
        self._scope = trio.CancelScope()
        self._decided = trio.Event()
        self._placed: CompiledConfig | None = None
        self._accepted = False

    async def place(self, version: int, fd: int) -> None:
        """The supervisor hears `placed` with the hosts. Nothing else is published until its decision."""
        self._version, self._scope, self._decided = version, trio.CancelScope(), trio.Event()
        self._placed, self._accepted = None, False
        with self._scope:
            try:
                config = await trio.to_thread.run_sync(committed.read, fd)
                await self._hold(version, config)
            except Exception as error:
                log.exception("configuration %d", version)
                await self._link.send({"type": "place_failed", "version": version, "reason": repr(error)})
            finally:
                os.close(fd)

    async def _hold(self, version: int, config: CompiledConfig) -> None:
        following = await self._discovery.follow(config, warm_within=WARM_DEADLINE)
        try:
            self._make_room()
            hosts = memfd.sealed("trireme-endpoints", encode_endpoints(following.endpoints))
            try:
                await self._link.send({"type": "placed", "version": version}, [hosts])
            finally:
                os.close(hosts)
            self._placed = config
            await self._decided.wait()
        finally:
            if self._accepted:
                self._publication.told(following.endpoints)
                self._discovery.commit(following)
            else:
                self._discovery.abort(following)

    def commit(self, version: int) -> CompiledConfig | None:
        """The configuration that counts from now on; None if another one was placed here, or none."""
        if version != self._version or self._placed is None:
            return None
        self._accepted = True
        self._decided.set()
        return self._placed

    def abort(self, version: int) -> None:
        """As if it had never been asked for."""
        if version == self._version:
            self._scope.cancel()
