"""A worker's part of a reload, with a server and a supervisor that only take notes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, cast

import pytest
import trio

from master.preflight import committed
from proxy.config.bootstrap import CompiledConfig
from proxy.config.cluster import Endpoints, encode_endpoints
from shm import memfd
from tests.kit.config import bootstrap, compiled
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import until
from workers.reloading import NotPreparedError, Reloading

DRAIN = {"elapsed": 0.0, "seconds": 1.0, "immediate": True}


class Bench:
    """`notes` are what the server and the supervisor hear. `wait` holds the server's preparation up."""

    def __init__(self) -> None:
        self.notes: list[Any] = []
        self.wait = trio.Event()
        self.failure: Exception | None = None
        self.reloading = Reloading(cast(Any, self), cast(Any, self), lambda _, version: self.notes.append(version))

    async def prepare(self, config: CompiledConfig, endpoints: Endpoints) -> Any:
        await self.wait.wait()
        if self.failure is not None:
            raise self.failure
        return self

    endpoints = Endpoints(5, {})
    forgotten = 0

    def commit(self, snapshot: Any, drain: Any) -> None:
        assert drain == DRAIN
        self.notes.append("changed over")

    def forget(self) -> None:
        self.forgotten += 1

    async def send(self, message: dict[str, Any]) -> None:
        self.notes.append((message["type"], message.get("reason", "")))

    def begin(self, version: int, nursery: trio.Nursery) -> None:
        fds = [
            memfd.sealed("config", committed(compiled(bootstrap()))),
            memfd.sealed("endpoints", encode_endpoints(self.endpoints)),
        ]
        self.reloading.prepare(version, fds, nursery)
        assert fds == []

    def order(self, version: int) -> dict[str, Any]:
        return {"type": "commit", "version": version, "drain": DRAIN}


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def bench(test: Callable[[Bench, trio.Nursery], Any]) -> Callable[[], None]:
    """Runs a test with a nursery, whose tasks must have ended by themselves."""

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            await test(Bench(), nursery)

    return run_trio(run)


@bench
async def test_prepared_and_then_changed_over(bench: Bench, nursery: trio.Nursery) -> None:
    before = descriptors()
    bench.begin(2, nursery)
    bench.wait.set()
    await until(lambda: bool(bench.notes))
    assert bench.notes == [("prepared", "")]
    await bench.reloading.commit(bench.order(2))
    assert bench.notes[1:] == ["changed over", 2]
    assert descriptors() == before


@bench
async def test_an_order_that_comes_first_waits(bench: Bench, nursery: trio.Nursery) -> None:
    bench.begin(2, nursery)
    nursery.start_soon(bench.reloading.commit, bench.order(2))
    await trio.sleep(0.1)
    assert bench.notes == []
    bench.wait.set()
    await until(lambda: 2 in bench.notes)
    assert "changed over" in bench.notes


@bench
async def test_what_cannot_be_built_is_refused_and_cannot_be_changed_over_to(
    bench: Bench, nursery: trio.Nursery
) -> None:
    bench.failure = RuntimeError("no")
    bench.begin(2, nursery)
    bench.wait.set()
    with pytest.raises(NotPreparedError):
        await bench.reloading.commit(bench.order(2))
    await trio.sleep(0.01)
    assert bench.notes == [("refused", "RuntimeError: no")]


@bench
async def test_what_is_dropped_is_forgotten(bench: Bench, nursery: trio.Nursery) -> None:
    bench.begin(2, nursery)
    await trio.sleep(0.1)
    before = bench.forgotten
    bench.reloading.abort()
    assert bench.forgotten == before + 1
    with pytest.raises(NotPreparedError):
        await bench.reloading.commit(bench.order(2))
    bench.begin(3, nursery)
    bench.wait.set()
    await bench.reloading.commit(bench.order(3))
    assert 3 in bench.notes
    assert 2 not in bench.notes
