"""What a request costs does not depend on how much else there is: idle connections, routes, virtual hosts, stats.

Counted are the lines of ours that run, not the time that they take: a loop over everything shows as a multiple of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import trio

from proxy.config.route import ClusterAction, Route, RouteMatch
from tests.unit.proxy.rig import GET, compiled, route, serving
from tests.unit.upstream.rig import OK, origin, read_head

PROXY = str(Path(__file__).resolve().parents[2] / "proxy") + "/"
REQUESTS = 40
PAUSE = 1.2
"""Seconds: the worker's timers look for what has expired, late or gone once a second."""


class Lines:
    """`count`: how many lines of `proxy/` have run."""

    def __init__(self) -> None:
        self.count = 0

    def called(self, frame: FrameType, _: str, __: Any) -> Any:
        return self.ran if frame.f_code.co_filename.startswith(PROXY) else None

    def ran(self, _: FrameType, event: str, __: Any) -> Any:
        self.count += event == "line"
        return self.ran


@contextmanager
def counted() -> Iterator[Lines]:
    lines, before = Lines(), sys.gettrace()
    sys.settrace(lines.called)
    try:
        yield lines
    finally:
        sys.settrace(before)


def lines_per_request(*, idle: int = 0, routes: int = 1) -> float:
    """With so many idle connections on either side, and so many routes before the one that is taken."""

    async def main() -> float:
        come, all_come = 0, trio.Event()

        async def serve(stream: trio.SocketStream) -> None:
            """Nobody is answered before everybody has asked, so that each has a connection."""
            nonlocal come
            while await read_head(stream):
                come += 1
                if come == idle + 1:
                    all_come.set()
                await all_come.wait()
                await stream.send_all(OK)

        others = [Route(RouteMatch("prefix", f"/other-{number}"), ClusterAction("origin")) for number in range(routes)]
        async with (
            origin(serve) as upstream,
            serving(compiled(upstream.address, routes=[*others, route("/")])) as rig,
        ):
            clients = [await rig.connect() for _ in range(idle + 1)]
            for client in clients:
                await client.send(GET)
            for client in clients:
                await client.response()
            assert rig.gauges()["http.in.downstream_cx_active"] == idle + 1
            assert rig.gauges()["cluster.origin.upstream_cx_active"] == idle + 1
            busy = clients[-1]
            with counted() as lines:
                for _ in range(REQUESTS):
                    await busy.send(GET)
                    await busy.response()
                await trio.sleep(PAUSE)
            await rig.stop()
            return lines.count / REQUESTS

    return trio.run(main)


def test_idle_connections_on_either_side_cost_a_busy_one_nothing() -> None:
    few, many = lines_per_request(idle=2), lines_per_request(idle=300)
    assert 0 < many < few * 1.05, (few, many)


def test_routes_cost_a_request_nothing() -> None:
    few, many = lines_per_request(routes=2), lines_per_request(routes=1000)
    assert 0 < many < few * 1.05, (few, many)
