"""What each step of a plain GET costs in the express lane: `python -m bench.price_list`. See docs/hot-path.md.

A whole server runs in this process, on the benchmark's configuration and with stats in shared memory. A request of the
benchmark goes through it; then the functions that served it are called again and again, one by one, with what they
were called with.
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections.abc import AsyncIterator

import trio

from bench import configuration, prices, requests
from bench.client_heads import ANSWER, answering_with_bodies
from bench.prices import seconds, seconds_of, show
from proxy.filters.network import hcm_express
from proxy.filters.network.hcm_express import Lane
from proxy.http import express_request
from proxy.http.express_upstreamed import WrittenHead
from proxy.http.handover import Handover
from proxy.server import Server
from proxy.upstream.http1_pool import Http1Pool
from proxy.upstream.tables import CLUSTER_GAUGES, HOST_GAUGES, ClusterColumn, HostColumn
from shm.metrics import MetricsWriter, create_region
from shm.table import TableWriter, create_table
from tests.kit.config import compiled
from tests.unit.proxy.rig import Client
from tests.unit.upstream.rig import origin

FEW = 500  # calls of what takes long

SMALL = requests.get("small")


class Tables:
    """Shared tables of one worker."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        hosts = create_table("hosts", rows=64, columns=len(HostColumn), gauges=HOST_GAUGES, writers=2)
        clusters = create_table("clusters", rows=64, columns=len(ClusterColumn), gauges=CLUSTER_GAUGES, writers=2)
        stack.callback(os.close, hosts)
        stack.callback(os.close, clusters)
        self.hosts, self.clusters = TableWriter(hosts, 0), TableWriter(clusters, 0)


@contextlib.asynccontextmanager
async def lanes() -> AsyncIterator[dict[str, tuple[Lane | None, Client]]]:
    """By listener: the lane, if there is one, of a connection that has served some requests, and its client."""
    found: dict[str, tuple[Lane | None, Client]] = {}
    begun: list[Lane] = []
    begin = Lane.begin

    def noted(lane: Lane) -> None:
        begun.append(lane)
        begin(lane)

    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="prices-"))
        region = create_region(1)
        stack.callback(os.close, region)
        async with origin(answering_with_bodies) as upstream, trio.open_nursery() as nursery:
            text = configuration.bootstrap(configuration.Ports(*[upstream.address.port] * 4))
            config = compiled(text.replace("{directory}", directory))
            server = Server(config, config.endpoints, MetricsWriter(region), Tables(stack), worker_index=0)
            await nursery.start(lambda task_status: server.run(task_status=task_status))
            Lane.begin = noted  # type: ignore[assignment,method-assign]
            try:
                for name in ("main", "log"):
                    listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
                    listening.setblocking(False)
                    nursery.start_soon(server.accept, name, 0, listening)
                    stream = await trio.open_tcp_stream(*listening.getsockname())
                    client = Client(stream)
                    for _ in range(3):
                        await ask(client)
                    found[name] = begun[-1] if begun else None, client
            finally:
                Lane.begin = begin  # type: ignore[method-assign]
            yield found
            nursery.cancel_scope.cancel()


async def ask(client: Client) -> None:
    await client.send(SMALL)
    assert (await client.response())[1] == b"ok"


def lane_steps(lane: Lane, send: float, receive: float, event: float) -> float:
    """Prints each step, and returns the sum."""
    arrival, head, destination = lane._arrival, lane._head, lane._destination
    assert arrival is not None
    assert head is not None
    assert destination is not None
    manager, plans, now = lane._manager, lane._plans, trio.current_time()
    pool = destination.cluster.pick()
    assert isinstance(pool, Http1Pool)
    answer = destination.responses.find(ANSWER)
    assert answer is not None
    values = (*arrival.varying, head.plan.new_id())
    found, outcomes, responses = answer, destination.outcomes, destination.responses
    handover = Handover(SMALL, now)

    def take_and_release() -> None:
        connection = pool.take(now)
        assert connection is not None
        pool.release(connection, now)

    def begin_and_end() -> None:
        manager.begin_exchange()
        manager.express.add(lane)
        manager.express.discard(lane)
        manager.end_exchange()
        plans.router.charge()

    def charge() -> None:
        pool.charge_response(200)
        outcomes.charge(200)
        outcomes.time.record(3)
        manager.stats.charge_plain(200, 3)

    other = express_request.split(SMALL.replace(b"/small", b"/other"))
    traced = express_request.split(requests.get("small", requests.TRACED))
    assert other is not None
    assert traced is not None

    total = 0.0
    print("the kernel and the event loop")
    total += show("the poller is woken: trio's wait, our epoll (shared by all events at hand)", event, 2)
    total += show("recv", receive, 2)
    total += show("send, with what loopback does in it", send, 2)
    print("the request")
    total += show("trio.current_time", seconds(trio.current_time), 2)
    total += show("Handover: the exchange's notes", seconds(lambda: Handover(SMALL, now)))
    same = SMALL[:-1] + b"\n"
    total += show("the same bytes as before? (else `split`)", seconds(lambda: arrival.data != same))
    total += show(
        "routing: plan, route, destination are the last ones", seconds(lambda: lane._route(arrival, handover))
    )
    total += show("the balancer's pick", seconds(destination.cluster.pick))
    total += show("Pool.take and release, with breaker, stats, table words", seconds(take_and_release))
    total += show("a request id", seconds(head.plan.new_id))
    written = destination.head
    assert isinstance(written, WrittenHead)
    render = lambda: written.render(arrival.method, arrival.path, values)  # noqa: E731
    total += show("rendering the head", seconds(render))
    total += show("begin and end of an exchange: counters, watch", seconds(begin_and_end))
    print("the response")
    total += show("ResponsePlans.find", seconds(lambda: responses.find(ANSWER)))
    total += show("rendering the head, adding the body", seconds(lambda: found.render(3) + ANSWER[found.head_size :]))
    total += show("charging stats: host, cluster, connection manager", seconds(charge))
    print(f"  {'together, without what Python does in between':<72} {total * 1e6:7.2f}")
    print("not with each request")
    show(
        "split: another path or other header lines than the request before",
        seconds(lambda: express_request.split(SMALL)),
    )
    show("Plans.find: header lines of another connection, known", seconds(lambda: plans.find(arrival, lane._hop)))
    show("Plans.find: new header lines, but new in a trace's id alone", seconds(lambda: plans.find(traced, lane._hop)))
    show("routes.find: another path", seconds(lambda: (head.route(other.path), head.route(arrival.path))) / 2)
    show("a plan: header lines never seen before", seconds(lambda: plans._plan(arrival, lane._hop), FEW))
    build = lambda: plans._destination(lane._hop, head.plan, destination.entry)  # noqa: E731
    show("a destination: the first request of a plan on its route", seconds(build, FEW))
    build_answer = lambda: responses._plan(ANSWER, close=False)  # noqa: E731
    show("a response plan: a head never seen before (`date` changes each second)", seconds(build_answer, FEW))
    return total


def log_price(lane: Lane) -> None:
    destination, now = lane._destination, trio.current_time()
    assert destination is not None
    answer, pool = destination.responses.find(ANSWER), destination.cluster.pick()
    assert answer is not None
    assert isinstance(pool, Http1Pool)
    progress = Handover(SMALL, now)
    progress.pool, progress.upstream, progress.sent_at, progress.received = pool, pool.take(now), now, ANSWER
    progress.path, progress.values = b"/", (b"7a1d3f9e-0000-4000-8000-000000000001", b"/")
    logs, head, arrival = lane._manager.express_logs, lane._head, lane._arrival
    assert head is not None
    assert arrival is not None

    def log() -> None:
        render = logs.of(head.plan, destination, answer, progress).log
        render(arrival, progress, lane._connection, lane._hop, now, answer.head_size)

    show("an access log line, up to the writer's queue", seconds(log, FEW))
    pool.release(progress.upstream, now)


async def whole() -> float:
    """A request from a client of ours, through the server, to an origin of ours, all in this process."""
    async with lanes() as found:
        _, client = found["main"]
        return await seconds_of(lambda: ask(client), 4 * FEW)


async def main() -> None:
    print(f"CPU time in µs, the best of {prices.ROUNDS} rounds; of this machine and this interpreter\n")
    send, receive, empty = prices.of_sockets(SMALL)
    event = await prices.of_an_event()
    async with lanes() as found:
        lane, logging = found["main"][0], found["log"][0]
        assert lane is not None
        assert logging is not None
        lane_steps(lane, send, receive, event)
        show("recv that finds nothing", empty)
        log_price(logging)
    print("trio")
    await prices.of_trio()
    by_lane = await whole()
    suits, hcm_express.suits = hcm_express.suits, lambda config, filters: False
    try:
        general = await whole()
    finally:
        hcm_express.suits = suits
    print("the whole, with a client and an origin in the same process")
    show("a request by the lane", by_lane)
    show("a request by the general path", general)
    show("what it costs to be no plain one", general - by_lane)


if __name__ == "__main__":
    trio.run(main)
