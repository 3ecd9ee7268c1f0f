"""Cancel an exchange at each of its awaits: nothing may be left, on either side (style rule 28)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import pytest
import trio
from trio.abc import Instrument

from proxy.config.common import PluginConfig
from proxy.upstream.tables import ClusterColumn, HostColumn
from tests.unit.proxy.rig import GET, Client, Rig, compiled, serving, virtual_clock
from tests.unit.upstream.rig import OK, Origin, origin, read_head

BODY = 400_000
POST = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % BODY + bytes(BODY)
CHUNKED = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"10000\r\n%b\r\n" % bytes(65536) * 8 + b"0\r\n\r\n"
)


async def small(stream: trio.SocketStream) -> None:
    """Answers GETs at once."""
    while await read_head(stream):
        await stream.send_all(OK)


async def large(stream: trio.SocketStream) -> None:
    """Takes a large body, then sends one."""
    data = await read_head(stream)
    left = BODY - len(data.partition(b"\r\n\r\n")[2])
    while left > 0:
        more = await stream.receive_some()
        if not more:
            return
        left -= len(more)
    await stream.send_all(CHUNKED)


async def early(stream: trio.SocketStream) -> None:
    """Answers before it reads the body, and stays."""
    await read_head(stream)
    await stream.send_all(OK)
    await trio.sleep_forever()


class CancelAt(Instrument):
    """Calls `cancel` before step number `step` of the connections' tasks and of the poller (some have no task)."""

    def __init__(self, step: int, cancel: Callable[[], None]) -> None:
        self._left = step
        self._cancel = cancel
        self.fired = False

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if any(name in task.name for name in ("Server._serve", "upload", "Poller.run")):
            self._left -= 1
            if self._left == 0:
                self.fired = True
                self._cancel()


@asynccontextmanager
async def cancelling(step: int, rig: Rig, how: str) -> AsyncIterator[CancelAt]:
    """Cancel the connections, or the exchanges, of `rig` at `step`."""

    def cancel() -> None:
        if how == "connection":
            for connection in list(rig.server._connections):
                connection.end()
        else:
            for deadlines in rig.server._disconnects._exchanges.values():
                deadlines.client_gone()

    instrument = CancelAt(step, cancel)
    trio.lowlevel.add_instrument(instrument)
    try:
        yield instrument
    finally:
        trio.lowlevel.remove_instrument(instrument)


async def drive(client: Client, request: bytes) -> None:
    """Send `request` and take whatever comes."""
    try:
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                with suppress(trio.BrokenResourceError):
                    await client.send(request)

            nursery.start_soon(send)
            with trio.move_on_after(5):
                await client.rest()
            nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(client.stream)


async def once(upstream: Origin, request: bytes, step: int, how: str, filters: Sequence[PluginConfig] = ()) -> bool:
    """One run through `filters` that is cancelled at `step`; says whether there was such a step."""
    async with serving(compiled(upstream.address, filters=filters)) as rig:
        async with cancelling(step, rig, how) as instrument:
            await drive(await rig.connect(receive_buffer=4096), request)
            await rig.quiet()
        assert rig.server.connections == rig.server.requests_active == 0
        busy = rig.gauges()
        idle = busy.pop("cluster.origin.upstream_cx_active", 0)
        assert busy == {}
        assert idle == rig.tables.hosts.get(0, HostColumn.CX_ACTIVE) <= 1
        assert rig.tables.hosts.get(0, HostColumn.RQ_ACTIVE) == 0
        assert rig.tables.clusters.get(0, ClusterColumn.REQUESTS) == 0
        assert rig.tables.clusters.get(0, ClusterColumn.PENDING) == 0
        assert rig.value("downstream_cx_destroy") == rig.value("downstream_cx_total")
        assert rig.server._disconnects._exchanges == {}
        await rig.stop()
        assert rig.gauges() == {}
        assert rig.tables.clusters.get(0, ClusterColumn.CONNECTIONS) == 0
        return instrument.fired


@pytest.mark.parametrize("how", ["connection", "exchange"])
@pytest.mark.parametrize(("serve", "request_bytes"), [(small, GET + GET), (large, POST), (early, POST)])
def test_nothing_is_left_wherever_an_exchange_is_cancelled(
    serve: Callable[[trio.SocketStream], None], request_bytes: bytes, how: str
) -> None:
    async def check() -> int:
        step = 1
        async with origin(serve) as upstream:
            while await once(upstream, request_bytes, step, how):
                step += 1
        return step

    assert trio.run(check, clock=virtual_clock()) > 5
