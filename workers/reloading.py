"""A worker's part of a reload: prepare the new configuration beside the one that is served, then change over."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

import trio

from proxy.config.bootstrap import CompiledConfig
from proxy.config.cluster import Endpoints, decode_endpoints
from proxy.server import Server
from proxy.snapshot import Snapshot
from shm import memfd
from workers import committed
from workers.link import SupervisorLink

log = logging.getLogger("worker")

MAX_REASON = 2000  # characters of what a configuration cannot be built of


class Reloading:
    """`applied` is called with the hosts and the version of a configuration that is served from now on."""

    def __init__(self, server: Server, link: SupervisorLink, applied: Callable[[Endpoints, int], None]) -> None:
        self._server = server
        self._link = link
        self._applied = applied
        self._version = 0  # that is being prepared, or is
        self._snapshot: Snapshot | None = None
        self._commit: dict[str, Any] | None = None  # came before the snapshot was complete
        self._scope = trio.CancelScope()

    def prepare(self, version: int, fds: list[int], nursery: trio.Nursery) -> None:
        """Take the descriptors of configuration and hosts. The supervisor hears `prepared`, or `refused` and why."""
        self.abort()
        self._version = version
        self._scope = trio.CancelScope()
        config, endpoints = fds[:2]
        del fds[:2]
        nursery.start_soon(self._prepare, version, config, endpoints, self._scope)

    def commit(self, message: dict[str, Any]) -> bool:
        """Serve what was prepared, now or as soon as it is. False if nothing is being prepared: somebody is wrong."""
        if message["version"] != self._version:
            return False
        self._commit = message
        self._change_over()
        return True

    def abort(self) -> None:
        """Forget what is being prepared."""
        self._scope.cancel()
        self._version, self._snapshot, self._commit = 0, None, None

    async def _prepare(self, version: int, config: int, endpoints: int, scope: trio.CancelScope) -> None:
        with scope:
            try:
                snapshot = await self._build(config, endpoints)
            except Exception as error:
                log.exception("configuration %d cannot be served", version)
                reason = f"{type(error).__name__}: {error}"[:MAX_REASON]
                await self._link.send({"type": "refused", "version": version, "reason": reason})
                return
            if self._version != version:
                return
            self._snapshot = snapshot
            if self._commit is not None:
                self._change_over()
            else:
                await self._link.send({"type": "prepared", "version": version})

    async def _build(self, config_fd: int, endpoints_fd: int) -> Snapshot:
        def decode() -> tuple[CompiledConfig, Endpoints]:
            return committed.read(config_fd), decode_endpoints(memfd.read_all(endpoints_fd))

        try:
            config, endpoints = await trio.to_thread.run_sync(decode)
        finally:
            os.close(config_fd)
            os.close(endpoints_fd)
        return await self._server.prepare(config, endpoints)

    def _change_over(self) -> None:
        snapshot, order, version = self._snapshot, self._commit, self._version
        if snapshot is None or order is None:
            return
        self._version, self._snapshot, self._commit = 0, None, None
        self._server.commit(snapshot, order["drain"])
        self._applied(snapshot.endpoints, version)
