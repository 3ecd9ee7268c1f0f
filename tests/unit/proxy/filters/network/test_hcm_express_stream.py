"""Streams that leave the express lane in the middle of something end as they would have without it.

Each scenario runs twice, with the lane and without: counters, tables, access log and what the client got must be equal.
`tests/property/test_express_h2.py` compares whole exchanges.
"""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import h2.events
import h2.exceptions
import h2.settings
import pytest
import trio

from proxy.config.access_log import AccessLog
from proxy.filters.network import hcm_express
from proxy.filters.network.hcm_express_log import ExpressLogs
from proxy.filters.network.hcm_express_stream import StreamLane
from proxy.filters.network.hcm_h2_streams import Http2Streams
from proxy.filters.network.hcm_plans import PlannedHead
from proxy.limits import LEAST_READ, STREAM_BURST
from tests.kit.h2_client import frame
from tests.unit.proxy.h2_rig import GET, Peer, connect
from tests.unit.proxy.http.h2_helpers import HEAD_BLOCK
from tests.unit.proxy.rig import Rig, compiled, plugin, route, serving, until, virtual_clock
from tests.unit.proxy.test_snapshot import change, config
from tests.unit.upstream.rig import OK, answering, origin, read_head

FILE = "envoy.extensions.access_loggers.file.v3.FileAccessLog"
FORMAT = (
    "%PROTOCOL% %REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_SENT% "
    "%UPSTREAM_CLUSTER% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %UPSTREAM_WIRE_BYTES_RECEIVED% "
    "%DOWNSTREAM_WIRE_BYTES_RECEIVED%\n"
)


async def serve(stream: trio.SocketStream) -> None:
    """`/N/late` is answered after N seconds, `/N/cut` not at all, `/N/of` with N bytes."""
    while head := await read_head(stream):
        number, _, what = head.split()[1].decode().strip("/").partition("/")
        size = 2
        match what:
            case "late":
                await trio.sleep(float(number))
            case "cut":
                return
            case "of":
                size = int(number)
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (size, bytes(size)))


async def ask(peer: Peer, path: str) -> int:
    return await peer.begin([*GET[:3], (":path", path)])


async def status(peer: Peer, stream: int) -> str:
    head = await peer.until(h2.events.ResponseReceived, stream)
    await peer.until(h2.events.StreamEnded, stream)
    return dict(head.headers)[":status"]


def active(rig: Rig) -> int:
    return rig.stats.value("cluster.origin.upstream_rq_active")


Told = list[Any]
Scenario = Callable[[Rig, Peer], Awaitable[Told]]


async def answered_late(rig: Rig, peer: Peer) -> Told:
    """Later than the lane waits."""
    return [await status(peer, await ask(peer, "/0.7/late"))]


async def timed_out(rig: Rig, peer: Peer) -> Told:
    return [await status(peer, await ask(peer, "/99/late"))]


async def upstream_gone(rig: Rig, peer: Peer) -> Told:
    return [await status(peer, await ask(peer, "/0/cut"))]


async def reset_in_time(rig: Rig, peer: Peer) -> Told:
    """In the packet that begins it: nobody is asked."""
    await peer.client.send(frame(1, 5, 3, HEAD_BLOCK) + frame(3, 0, 3, bytes(3) + b"\x08"))
    await until(lambda: rig.value("downstream_rq_rx_reset") == 1)
    return []


async def reset_meanwhile(rig: Rig, peer: Peer) -> Told:
    stream = await ask(peer, "/600/late")
    await until(lambda: active(rig) == 1)
    peer.h2.reset_stream(stream)
    await peer.flush()
    await until(lambda: active(rig) == 0)
    return []


async def gone_meanwhile(rig: Rig, peer: Peer) -> Told:
    for _ in range(3):
        await ask(peer, "/600/late")
    await until(lambda: active(rig) == 3)
    await trio.aclose_forcefully(peer.client.stream)
    return []


async def broken_meanwhile(rig: Rig, peer: Peer) -> Told:
    """By a frame that ends the connection."""
    await ask(peer, "/600/late")
    await until(lambda: active(rig) == 1)
    await peer.client.send(frame(6, 0, 1, bytes(8)))
    return await peer.end()


async def no_window(rig: Rig, peer: Peer) -> Told:
    """The client's credit comes later, as does the end of another stream."""
    peer.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 100})
    await peer.flush()
    streams = [await ask(peer, "/1000/of"), await ask(peer, "/50/of")]
    told: Told = [await status(peer, streams[1])]
    peer.h2.increment_flow_control_window(2000, streams[0])
    await peer.flush()
    return [*told, await status(peer, streams[0])]


async def reset_without_window(rig: Rig, peer: Peer) -> Told:
    peer.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 100})
    await peer.flush()
    stream = await ask(peer, "/1000/of")
    await peer.until(h2.events.DataReceived, stream)
    peer.h2.reset_stream(stream)
    await peer.flush()
    await until(lambda: rig.stats.value("http2.rx_reset") == 1)
    return []


async def long(rig: Rig, peer: Peer) -> Told:
    """Longer than the lane holds, and than any window is at first."""
    peer.h2.increment_flow_control_window(1 << 24)
    stream = await ask(peer, "/400000/of")
    peer.h2.increment_flow_control_window(1 << 24, stream)
    await peer.flush()
    return [await status(peer, stream)]


async def of_several_frames(rig: Rig, peer: Peer) -> Told:
    return [await status(peer, await ask(peer, "/60000/of"))]


async def drained_meanwhile(rig: Rig, peer: Peer) -> Told:
    stream = await ask(peer, "/0.1/late")
    await until(lambda: active(rig) == 1)
    rig.start_drain()
    told: Told = [await status(peer, stream)]
    return [*told, await peer.end()]


async def most_requests(rig: Rig, peer: Peer) -> Told:
    """`max_requests_per_connection` is 3, one of which has been served."""
    told = [await status(peer, await ask(peer, "/")) for _ in range(2)]
    return [*told, await peer.end()]


SCENARIOS = [
    answered_late,
    timed_out,
    upstream_gone,
    reset_in_time,
    reset_meanwhile,
    gone_meanwhile,
    broken_meanwhile,
    no_window,
    reset_without_window,
    long,
    of_several_frames,
    drained_meanwhile,
    most_requests,
]


ROUTES = [route("/99", timeout=3.0), route("/", timeout=1000.0)]  # on a busy machine, virtual time goes far


class Outcome(NamedTuple):
    told: Told
    words: dict[str, int]
    tables: tuple[dict[Any, int], dict[Any, int]]
    records: list[str]
    log: list[str]


Host = Callable[[trio.SocketStream], Awaitable[None]]


def run(scenario: Scenario, path: Path, host: Host = serve, **hcm: Any) -> Outcome:
    path.unlink(missing_ok=True)
    log = AccessLog(plugin("file", FILE, {"path": str(path), "format": {"text": FORMAT}}))

    async def main() -> Outcome:
        async with origin(host) as upstream:
            config = compiled(upstream.address, routes=ROUTES, access_log=(log,), **hcm)
            async with serving(config) as rig:
                peer = await connect(rig)
                await peer.get()
                with trio.fail_after(500):
                    told = await scenario(rig, peer)
                await trio.aclose_forcefully(peer.client.stream)
                await rig.quiet()
                await rig.stop()
                words = {name: word.value for name, word in rig.stats.words.items() if word.value}
                for name in ("flushed_by_timer", "write_completed"):  # half a second may be over, or not
                    words.pop(f"filesystem.{name}", None)
                tables = (dict(rig.tables.hosts._words), dict(rig.tables.clusters._words))
                records = sorted(record.detail for record in rig.records)
                return Outcome(told, words, tables, records, [])

    outcome = trio.run(main, clock=virtual_clock())
    for name in ("tx", "rx"):  # the bytes of times, and of credit
        outcome.words.pop(f"http.in.downstream_cx_{name}_bytes_total", None)
        if hcm.get("protocol") == "http2":
            outcome.words.pop(f"cluster.origin.upstream_cx_{name}_bytes_total", None)
    return outcome._replace(log=sorted(re.sub(r"127\.0\.0\.1:\d+", "HOST", path.read_text()).splitlines()))


@contextlib.contextmanager
def without_lane() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hcm_express, "suits", lambda config, filters: False)
        yield


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.__name__ for scenario in SCENARIOS])
def test_it_ends_as_it_would_have(scenario: Scenario, tmp_path: Path) -> None:
    assert_same(scenario, tmp_path)


def assert_same(scenario: Scenario, tmp_path: Path, **options: Any) -> None:
    hcm = {**options, **({"max_requests_per_connection": 3} if scenario is most_requests else {})}
    begun: list[StreamLane] = []
    begin = StreamLane.begin

    def noted(lane: StreamLane, now: float) -> None:
        begun.append(lane)
        begin(lane, now)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StreamLane, "begin", noted)
        with_it = run(scenario, tmp_path / "with", **hcm)
    assert begun
    with without_lane():
        without = run(scenario, tmp_path / "without", **hcm)
    for name, one, other in zip(Outcome._fields, with_it, without, strict=True):
        assert one == other, name


def test_a_lane_holds_no_more_than_its_share_of_the_window() -> None:
    held: list[int] = []
    hand_over = StreamLane.hand_over

    def noted(lane: StreamLane) -> None:
        assert lane.progress is not None
        held.append(len(lane.progress.received))
        hand_over(lane)

    async def main() -> None:
        async with origin(serve) as upstream, serving(compiled(upstream.address)) as rig:
            peer = await connect(rig)
            await peer.get()
            peer.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
            await peer.flush()
            stream = await ask(peer, "/60000/of")
            await until(lambda: bool(held))
            peer.h2.increment_flow_control_window(60_000, stream)
            await peer.flush()
            assert await status(peer, stream) == "200"
        assert held == [LEAST_READ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StreamLane, "hand_over", noted)
        trio.run(main)


def broken(*arguments: object) -> None:
    raise RuntimeError("a fault of ours")


@pytest.mark.parametrize(
    ("owner", "step"),
    [(StreamLane, "_planned"), (StreamLane, "_collect"), (StreamLane, "_respond"), (ExpressLogs, "of")],
)
def test_what_fails_in_the_lane_is_the_general_paths(
    owner: type[object], step: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Or nobody's, if the client has its answer; either way the connection to the upstream serves on."""
    log = AccessLog(plugin("file", FILE, {"path": str(tmp_path / "log"), "format": {"text": FORMAT}}))

    async def main() -> None:
        async with origin(answering(OK)) as upstream, serving(compiled(upstream.address, access_log=(log,))) as rig:
            peer = await connect(rig)
            with trio.fail_after(30):
                for _ in range(3):
                    assert (await peer.get())[":status"] == "200"
            assert upstream.accepted == 1
            assert rig.stats.value("http2.streams_active") == 0
            assert (rig.value("downstream_rq_active"), active(rig)) == (0, 0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, step, broken)
        trio.run(main)
    assert "a fault of ours" in caplog.text


def test_a_stream_that_cannot_be_started_stops_no_other_one(caplog: pytest.LogCaptureFixture) -> None:
    """Nor those of its connection that wait for another turn."""
    count = 5 * STREAM_BURST
    spawn = Http2Streams._spawn

    def spawned(streams: Http2Streams, stream_id: int) -> None:
        if stream_id == 2 * 3 * STREAM_BURST + 1:
            raise RuntimeError("a fault of ours")
        spawn(streams, stream_id)

    async def main() -> None:
        async with origin(answering(OK)) as upstream, serving(compiled(upstream.address)) as rig:
            peer = await connect(rig)
            await peer.client.send(b"".join(frame(1, 5, 2 * number + 1, HEAD_BLOCK) for number in range(count)))
            with trio.fail_after(30):
                await until(lambda: rig.value("downstream_rq_2xx") == count - 1)
            assert rig.stats.value("http2.streams_active") == 0
            assert rig.stats.value("http2.tx_reset") == 1

    with without_lane(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Http2Streams, "_spawn", spawned)
        trio.run(main)
    assert "a fault of ours" in caplog.text


def test_a_change_of_routes_counts_from_the_next_stream_on() -> None:
    """Though its block is the one that came before; and what the plan of that led to is let go of."""
    planned: list[PlannedHead] = []
    respond = StreamLane._respond

    def noted(lane: StreamLane, *arguments: Any) -> bool:
        assert lane._head is not None
        planned.append(lane._head)
        return respond(lane, *arguments)

    async def main() -> None:
        async with (
            origin(answering(OK)) as one,
            origin(answering(OK)) as two,
            serving(config(one.address, two.address)) as rig,
        ):
            peer = await connect(rig)
            for to in ("one", "two", "one"):
                await change(rig, config(one.address, two.address, to=to))
                for _ in range(3):
                    assert (await peer.get())[":status"] == "200"
            counted = [rig.stats.value(f"cluster.{name}.upstream_rq_total") for name in ("one", "two")]
            assert counted == [6, 3]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StreamLane, "_respond", noted)
        trio.run(main)
    assert len(planned) == 7  # two of which had to open a connection
    assert [head._routes is None for head in planned] == [True] * 4 + [False] * 3


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_left_of_many_at_once(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    """Streams of three connections, in the lane and out of it, answered, reset, or gone with their connection."""
    draw = random.Random(seed)
    paths = ["/", "/0/late", "/0.3/late", "/0/cut", "/300/of", "/90000/of", "/?a=b"]
    served: list[StreamLane] = []
    respond = StreamLane._respond

    def counted(lane: StreamLane, *arguments: Any) -> bool:
        if answered := respond(lane, *arguments):
            served.append(lane)
        return answered

    async def use(rig: Rig, count: int, *, leaves: bool) -> int:
        peer = await connect(rig, window=draw.choice([20_000, 65_535]))
        open_streams: list[int] = []
        for _ in range(2):  # the second one at least finds a free connection
            await peer.get()
        begun = 2
        while begun < count:
            for _ in range(draw.randrange(3, 20)):
                stream = peer.h2.get_next_available_stream_id()
                peer.h2.send_headers(stream, [*GET[:3], (":path", draw.choice(paths))], end_stream=True)
                open_streams.append(stream)
                begun += 1
            for _ in range(draw.randrange(3)):
                with contextlib.suppress(h2.exceptions.StreamClosedError):
                    peer.h2.reset_stream(open_streams.pop(draw.randrange(len(open_streams))))
            await peer.flush()
            with trio.move_on_after(draw.choice([0, 0.01, 0.5])):
                await peer.read()
                await credit(peer)
        while not leaves and not all(over(peer, stream) for stream in open_streams):
            await peer.read()
            await credit(peer)
        await trio.aclose_forcefully(peer.client.stream)
        return begun

    async def credit(peer: Peer) -> None:
        for event in peer.events:
            if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                with contextlib.suppress(h2.exceptions.StreamClosedError):
                    peer.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                event.flow_controlled_length = 0
        await peer.flush()

    def over(peer: Peer, stream: int) -> bool:
        ends = h2.events.StreamEnded | h2.events.StreamReset
        return any(isinstance(event, ends) and event.stream_id == stream for event in peer.events)

    async def main() -> None:
        async with origin(serve) as upstream, serving(compiled(upstream.address, routes=ROUTES)) as rig:
            begun: list[int] = []

            async def one(count: int, leaves: bool) -> None:
                begun.append(await use(rig, count, leaves=leaves))

            async with trio.open_nursery() as nursery:
                for leaves in (False, False, True):
                    nursery.start_soon(one, 100, leaves)
            await rig.quiet()
            assert rig.value("downstream_rq_http2_total") == sum(begun)
            assert not [gauge for gauge in rig.gauges() if "cx_" not in gauge]
            assert rig.stats.value("http2.streams_active") == 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StreamLane, "_respond", counted)
        trio.run(main, clock=virtual_clock())
    assert served
    assert not caplog.records
