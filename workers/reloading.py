"""A worker's part of a reload: prepare the new configuration beside the one that is served, then change over."""

from __future__ import annotations

import gc
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


class NotPreparedError(Exception):
    """Everybody changes over to what cannot be served here: the successor of this process begins with it."""


class Reloading:
    """`applied` is called with the hosts and the version of a configuration that is served from now on."""

    def __init__(self, server: Server, link: SupervisorLink, applied: Callable[[Endpoints, int], None]) -> None:
        self._server = server
        self._link = link
        self._applied = applied
        self._version = 0  # that is being prepared, or is
        self._snapshot: Snapshot | None = None
        self._built = trio.Event()
        self._scope = trio.CancelScope()

    def prepare(self, version: int, fds: list[int], nursery: trio.Nursery) -> None:
        """Take the descriptors of configuration and hosts. The supervisor hears `prepared`, or `refused` and why."""
        self.abort()
        self._version, self._built, self._scope = version, trio.Event(), trio.CancelScope()
        config, endpoints = fds[:2]
        del fds[:2]
        nursery.start_soon(self._prepare, version, config, endpoints, self._scope)

    async def commit(self, message: dict[str, Any]) -> None:
        """Serve what was prepared, as soon as it is. Raises `NotPreparedError`."""
        version = message["version"]
        if version == self._version:
            await self._built.wait()
        snapshot, self._snapshot = self._snapshot, None
        if snapshot is None or version != self._version:
            raise NotPreparedError(f"configuration {version} was not prepared here")
        self._server.commit(snapshot, message["drain"])
        gc.freeze()  # as at the start: what 10,000 routes are made of stays, and no collection needs to look at it
        self._applied(snapshot.endpoints, version)

    def abort(self) -> None:
        """Forget what is being prepared."""
        self._scope.cancel()
        self._server.forget()
        self._version, self._snapshot = 0, None
        self._built.set()

    async def _prepare(self, version: int, config: int, endpoints: int, scope: trio.CancelScope) -> None:
        answer = {"type": "prepared", "version": version}
        with scope:
            try:
                self._snapshot = await self._build(config, endpoints)
            except Exception as error:
                log.exception("configuration %d cannot be served", version)
                answer |= {"type": "refused", "reason": f"{type(error).__name__}: {error}"[:MAX_REASON]}
            self._built.set()
            await self._link.send(answer)

    async def _build(self, config_fd: int, endpoints_fd: int) -> Snapshot:
        def decode() -> tuple[CompiledConfig, Endpoints]:
            return committed.read(config_fd), decode_endpoints(memfd.read_all(endpoints_fd))

        try:
            config, endpoints = await trio.to_thread.run_sync(decode)
        finally:
            os.close(config_fd)
            os.close(endpoints_fd)
        return await self._server.prepare(config, endpoints)
