"""What the admin server sees of the running proxy, and may ask of it. The controller implements it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Protocol

from master.controller.questions import Sessions
from master.supervisor.draining import Drained
from proxy.config.bootstrap import CompiledConfig
from proxy.config.cluster import Endpoints
from shm.metrics import Metrics
from shm.processes import ProcessInfo
from shm.ring import RingReader
from shm.table import TableReader

State = Literal["PRE_INITIALIZING", "INITIALIZING", "LIVE", "DRAINING"]
"""`admin.v3.ServerInfo.State`."""


class RejectedError(Exception):
    """The proxy will not do what was asked; the message says why and what to do instead."""


class ServerView(Protocol):
    """Read-only members are properties, so that an implementation may compute them.

    `started_at` is `time.time()` of this generation's start, `configured_at` of its configuration's; `options` are the
    command line's. `listeners` are (name, addresses really bound). `hosts` and `clusters` are the shared tables, by row
    = slot.
    """

    @property
    def config(self) -> CompiledConfig: ...
    @property
    def endpoints(self) -> Endpoints: ...
    @property
    def state(self) -> State: ...
    @property
    def started_at(self) -> float: ...
    @property
    def configured_at(self) -> float: ...
    @property
    def options(self) -> Mapping[str, Any]: ...
    @property
    def listeners(self) -> Sequence[tuple[str, Sequence[str]]]: ...
    @property
    def hosts(self) -> TableReader: ...
    @property
    def clusters(self) -> TableReader: ...
    @property
    def rings(self) -> Mapping[int, RingReader]:
        """The workers' flight recorders, by slot."""
        ...

    @property
    def log_levels(self) -> Mapping[str, str]:
        """The level of each component (`proxy.log`)."""
        ...

    @property
    def generation(self) -> int:
        """Of this controller: 1, and one more with every hot restart."""
        ...

    @property
    def restart_status(self) -> Mapping[str, Any]:
        """How the last hot restart went, or the present one goes (`Restart.status` of the supervisor)."""
        ...

    @property
    def reload_status(self) -> Mapping[str, Any]:
        """How the last reload went, or the present one goes (`Reload.status` of the supervisor)."""
        ...

    async def reload(self, *, why: str, show: bool, version: int | None) -> None:
        """Begin one, only to `show` what would change, or back to `version` (0: the one before). Raises
        `RejectedError`.
        """
        ...

    async def hot_restart(self, *, ready_timeout: float | None, canary: float | None) -> None:
        """Begin one; `canary` is how many seconds one worker is tried first. Raises `RejectedError`."""
        ...

    @property
    def generations(self) -> Sequence[tuple[int, str, float]]:
        """Those that live, oldest first: number, state, and (where one drains) when it is over, CLOCK_MONOTONIC."""
        ...

    async def sessions(self, *, older: float, listener: str, limit: int, generation: int | None = None) -> Sessions:
        """The oldest connections of all workers, or of a generation's: of `listener` unless that is empty, open for
        `older` seconds.
        """
        ...

    def metrics(self) -> Metrics:
        """Merged over all processes; no counter ever falls."""
        ...

    def processes(self) -> list[ProcessInfo]:
        """Every process that lives now."""
        ...

    async def shutdown(self, *, now: bool = False) -> None:
        """Begin the end of the whole proxy: graceful, or at once. Returns when the order is given."""
        ...

    async def set_workers(self, count: int) -> None:
        """Change the number of workers and wait until they serve. Raises `RejectedError`."""
        ...

    async def set_log_levels(self, levels: Mapping[str, str], *, seconds: float | None = None) -> None:
        """Change the level of these components in every process; only for a while if `seconds` says so."""
        ...

    async def fail_health_check(self, failed: bool) -> None:
        """While failed, the proxy asks to be left alone: `/ready` says DRAINING, connections end with a response."""
        ...

    @property
    def drains(self) -> Mapping[str, Drained]:
        """The listeners that drain, or have, by name."""
        ...

    async def drain_listeners(self, names: Collection[str], *, graceful: bool, close: bool) -> None:
        """Have the connections of these listeners leave; `close` the listeners at once, or when the time of a
        `graceful` drain is over.
        """
        ...

    async def undo_drain(self, names: Collection[str]) -> None:
        """Take the drains of these listeners back. Raises `RejectedError` if one of them cannot open again."""
        ...

    async def reset_counters(self) -> None:
        """Count from zero again, as far as anybody can see."""
        ...

    async def reopen_logs(self) -> None:
        """As USR1 does."""
        ...
