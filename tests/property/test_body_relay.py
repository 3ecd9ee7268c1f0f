"""Bodies through pipes and through memory are one proxy: the same exchanges both ways, in both directions.

Lengths are drawn around the threshold, peers send in pieces of any size, read slowly, and break off. Compared are the
bytes at both ends, every stat, every word of the shared tables, and the access log.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio
import trio.lowlevel
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from proxy.config.access_log import AccessLog
from proxy.config.common import SocketAddress
from proxy.filters.http.buffer import Buffer
from proxy.http import body_relay
from proxy.limits import READ_SIZE, SPLICE_FROM
from proxy.net.pipe import Pipe
from tests.kit.leaks import no_leaks
from tests.unit.proxy.rig import Rig, compiled, plugin, router, serving, until

DATA = random.Random(5).randbytes(2 << 20)
DEADLINE = 20.0  # s
BUFFER = plugin("b", "envoy.extensions.filters.http.buffer.v3.Buffer", Buffer.Config(4 << 20))
FIELDS = (
    "%REQ(:METHOD)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_REQUEST_ATTEMPT_COUNT% "
    "%UPSTREAM_TRANSPORT_FAILURE_REASON% %BYTES_RECEIVED% %BYTES_SENT% "
)
WIRE = "%UPSTREAM_WIRE_BYTES_SENT% %UPSTREAM_WIRE_BYTES_RECEIVED%"


class Body(NamedTuple):
    """`size` bytes in chunks of `chunk` (0: with a content-length), sent in pieces of `piece`. `cut`: only so many
    bytes of what goes on the wire are sent, and then the end of the stream.
    """

    size: int
    chunk: int = 0
    piece: int = 1 << 20
    cut: int | None = None

    @property
    def data(self) -> bytes:
        return DATA[: self.size]

    @property
    def framing(self) -> bytes:
        return b"transfer-encoding: chunked\r\n\r\n" if self.chunk else b"content-length: %d\r\n\r\n" % self.size

    @property
    def wire(self) -> bytes:
        """What is sent behind the head."""
        chunks = [self.data[at : at + self.chunk] for at in range(0, self.size, self.chunk)] if self.chunk else []
        chunked = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
        return (chunked if self.chunk else self.data)[: self.cut]

    async def send(self, stream: trio.SocketStream, data: bytes) -> None:
        """Sends `data` in pieces."""
        for at in range(0, len(data), self.piece):
            await stream.send_all(data[at : at + self.piece])
            if at % 7 == 0:
                await trio.lowlevel.checkpoint()


class Step(NamedTuple):
    """One exchange. `slow`: the reader of a body takes its time. `expects`: the client waits for `100 Continue`."""

    request: Body
    response: Body
    slow: bool = False
    expects: bool = False


class Received:
    """A peer's reading side: messages with their bodies, less their framing."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._data = bytearray()
        self.slow = False

    async def _more(self) -> bool:
        if self.slow:
            await trio.sleep(0.001)
        try:
            piece = await self._stream.receive_some(65536)
        except trio.BrokenResourceError:
            return False
        self._data += piece
        return bool(piece)

    async def head(self) -> bytes:
        """The next head; b"" at the end."""
        while b"\r\n\r\n" not in self._data:
            if not await self._more():
                return b""
        return self._take(self._data.index(b"\r\n\r\n") + 4)

    async def body(self, head: bytes) -> tuple[bytes, bool]:
        """The body behind `head`, and whether it is whole."""
        if b"chunked" not in head:
            length = re.search(rb"content-length: (\d+)", head)
            return await self._exactly(int(length[1]) if length else 0)
        parts: list[bytes] = []
        whole = True
        while whole:
            line, whole = await self._line()
            if whole and int(line, 16) == 0:
                return b"".join(parts), (await self._exactly(2))[1]
            if whole:
                part, whole = await self._exactly(int(line, 16))
                parts.append(part)
                whole = whole and await self._exactly(2) == (b"\r\n", True)
        return b"".join(parts), False

    async def _line(self) -> tuple[bytes, bool]:
        while b"\r\n" not in self._data:
            if not await self._more():
                return b"", False
        return self._take(self._data.index(b"\r\n") + 2)[:-2], True

    async def _exactly(self, size: int) -> tuple[bytes, bool]:
        while len(self._data) < size:
            if not await self._more():
                return self._take(len(self._data)), False
        return self._take(size), True

    def _take(self, size: int) -> bytes:
        taken = bytes(self._data[:size])
        del self._data[:size]
        return taken


class Outcome(NamedTuple):
    to_origin: list[tuple[bytes, bytes, bool]]
    to_client: list[tuple[bytes, bytes, bool]]
    words: dict[str, int]
    samples: dict[str, int]
    tables: tuple[dict[Any, int], dict[Any, int]]
    log: str


_VARIABLE = re.compile(rb"(x-request-id|date): [^\r]*")


class World:
    """The script's origin and client around a proxy of their own."""

    def __init__(self, script: list[Step]) -> None:
        self._answers = iter(script)
        self.script = script
        self.to_origin: list[tuple[bytes, bytes, bool]] = []
        self.to_client: list[tuple[bytes, bytes, bool]] = []
        self.connections = 0

    async def origin(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        try:
            await self._serve(stream)
        finally:
            self.connections -= 1

    async def _serve(self, stream: trio.SocketStream) -> None:
        with stream.socket:
            received = Received(stream)
            while head := await received.head():
                step = next(self._answers)
                received.slow = step.slow
                body, whole = await received.body(head)
                self.to_origin.append((_VARIABLE.sub(b"", head), body, whole))
                if not whole:
                    return
                with contextlib.suppress(trio.BrokenResourceError):
                    answer = step.response
                    await answer.send(stream, b"HTTP/1.1 200 OK\r\n" + answer.framing + answer.wire)
                if step.response.cut is not None:
                    return

    async def ask(self, step: Step, stream: trio.SocketStream) -> bool:
        """One exchange; says whether another may follow."""
        received = Received(stream)
        received.slow = step.slow
        head = b"POST / HTTP/1.1\r\nhost: o\r\n" + (b"expect: 100-continue\r\n" if step.expects else b"")
        head += step.request.framing
        if step.expects and (step.request.size or step.request.chunk):
            await stream.send_all(head)
            assert await received.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
            head = b""
        await step.request.send(stream, head + step.request.wire)
        if step.request.cut is not None:
            return False
        head = await received.head()
        body, whole = await received.body(head)
        self.to_client.append((_VARIABLE.sub(b"", head), body, whole))
        return whole and b"connection: close" not in head


@contextlib.asynccontextmanager
async def proxying(world: World, path: Path, **hcm: Any) -> AsyncIterator[Rig]:
    """A proxy in front of `world.origin` with an access log at `path`."""
    text = f"{FIELDS}{WIRE if hcm.pop('wire', True) else ''}\n"
    logger = plugin(
        "file",
        "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        {"path": str(path), "format": {"text": text}},
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
        last = router(suppress_envoy_headers=True)  # the digits of the service time vary
        address = SocketAddress(*listening.getsockname())
        config = compiled(address, access_log=(AccessLog(logger),), last=last, **hcm)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, world.origin, [listener])
            async with serving(config) as rig:
                yield rig
            nursery.cancel_scope.cancel()


def run(script: list[Step], path: Path, **hcm: Any) -> Outcome:
    """The script through a proxy, a new connection wherever one ends."""
    path.unlink(missing_ok=True)
    world = World(script)

    async def main() -> Outcome:
        with trio.fail_after(DEADLINE):
            async with proxying(world, path, **hcm) as rig:
                client = await rig.connect(receive_buffer=8192 if any(step.slow for step in script) else 0)
                for step in script:
                    if not await world.ask(step, client.stream):
                        await client.stream.aclose()
                        await rig.quiet()
                        client = await rig.connect()
                await client.stream.aclose()
                await rig.quiet()
                assert_pipes_are_empty(rig)
                rig.server.reopen_logs()
                await rig.stop()
                await until(lambda: not world.connections)
                words = {name: word.value for name, word in rig.stats.words.items() if word.value}
                words = {name: value for name, value in words.items() if not name.startswith("filesystem.")}
                samples = {name: len(found.values) for name, found in rig.stats.samples.items() if found.values}
                tables = (dict(rig.tables.hosts._words), dict(rig.tables.clusters._words))
        return Outcome(world.to_origin, world.to_client, words, samples, tables, "")

    outcome = trio.run(main)
    return outcome._replace(log=path.read_text())


def assert_pipes_are_empty(rig: Rig) -> None:
    for pipe in rig.server._pipes._spare:
        with pytest.raises(BlockingIOError):
            os.read(pipe._reader, 1)


SIZES = st.one_of(
    st.sampled_from([0, 1, READ_SIZE, SPLICE_FROM, 2 * SPLICE_FROM, 256 * 1024, 1 << 20]).flatmap(
        lambda size: st.integers(max(0, size - 2), size + 2)
    ),
    st.integers(0, 1_500_000),
)
PIECES = st.sampled_from([1 << 20, 1 << 20, 70_000, 20_000])
WHOLE = st.builds(Body, SIZES, st.sampled_from([0, 0, 0, 300_000, SPLICE_FROM + 5, 9_000]), PIECES, st.none())


CUT_SHORT = WHOLE.filter(lambda body: bool(body.wire)).flatmap(
    lambda body: st.integers(0, len(body.wire) - 1).map(lambda cut: body._replace(cut=cut))
)
EXCHANGES = st.builds(Step, WHOLE, WHOLE, st.booleans(), st.booleans())
LAST = st.one_of(
    EXCHANGES,
    st.builds(Step, CUT_SHORT, WHOLE, st.booleans(), st.booleans()),
    st.builds(Step, WHOLE, CUT_SHORT, st.booleans(), st.booleans()),
)
SCRIPTS = st.tuples(st.lists(EXCHANGES, max_size=2), LAST).map(lambda parts: [*parts[0], parts[1]])
LONG = Body(1_000_000)


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=SCRIPTS, threshold=st.sampled_from([1, SPLICE_FROM]), buffers=st.booleans())
@example(script=[Step(LONG, LONG)] * 2, threshold=SPLICE_FROM, buffers=False)
@example(script=[Step(LONG, LONG, slow=True, expects=True)] * 2, threshold=SPLICE_FROM, buffers=False)
@example(script=[Step(LONG._replace(cut=700_000), LONG)], threshold=SPLICE_FROM, buffers=False)
@example(script=[Step(Body(0), LONG._replace(cut=700_000))], threshold=SPLICE_FROM, buffers=False)
def test_pipes_change_nothing(
    script: list[Step], threshold: int, buffers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = not any(body.chunk for step in script for body in step[:2])
    options = {"filters": [BUFFER] if buffers else [], "wire": plain}
    outcomes = []
    for limit in (threshold, sys.maxsize):
        with monkeypatch.context() as patch, no_leaks():
            patch.setattr(body_relay, "SPLICE_FROM", limit)
            outcome = run(script, tmp_path / "log", **options)
        if not plain:  # what arrives together is one chunk
            for name in ("http.in.downstream_cx_tx_bytes_total", "cluster.origin.upstream_cx_tx_bytes_total"):
                outcome.words.pop(name, None)
        outcomes.append(outcome)
    for name, through_pipes, through_memory in zip(Outcome._fields, *outcomes, strict=True):
        if isinstance(through_pipes, dict):
            differ = through_pipes.items() ^ through_memory.items()
            assert not differ, name
        assert through_pipes == through_memory, name


@pytest.mark.parametrize(
    ("step", "filters", "least"),
    [
        (Step(Body(0), LONG), (), 900_000),
        (Step(LONG, Body(0)), (), 900_000),
        (Step(LONG, LONG), (), 1_800_000),
        (Step(LONG._replace(chunk=500_000), LONG._replace(chunk=500_000)), (), 1_000_000),
        (Step(LONG, Body(0)), (BUFFER,), 0),
        (Step(Body(SPLICE_FROM), Body(SPLICE_FROM)), (), 0),
    ],
    ids=["download", "upload", "both", "chunks", "buffered", "short"],
)
def test_what_goes_around(
    step: Step, filters: tuple[Any, ...], least: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = 0
    fill = Pipe.fill

    def counted(self: Pipe, source: socket.socket, limit: int) -> int:
        nonlocal around
        taken = fill(self, source, limit)
        around += taken
        return taken

    monkeypatch.setattr(Pipe, "fill", counted)
    outcome = run([step], tmp_path / "log", filters=filters)
    assert around >= least
    if not least:
        assert around == 0
    assert [body for _, body, _ in outcome.to_origin] == [step.request.data]
    assert [body for _, body, _ in outcome.to_client] == [step.response.data]
