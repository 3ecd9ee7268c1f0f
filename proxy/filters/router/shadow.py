"""Request mirroring: a copy of a request to another cluster, whose answer nobody sees (features §13 rule 61).

The copy takes what the request itself reads of its body, and never makes it wait: what cannot keep up is abandoned.
"""

from __future__ import annotations

import functools
import logging
from collections import deque
from collections.abc import Sequence

import trio

from proxy.config.forwarding import Mirror
from proxy.config.header_mutation import Mutation
from proxy.config.lb_subsets import Labels
from proxy.errors import ProxyError
from proxy.filters.header_edits import Edit
from proxy.filters.http.router_headers import Terms, tell_timeout
from proxy.filters.router.request_body import Source
from proxy.filters.shadows import Shadows
from proxy.http.events import ResponseReceived, StreamEnded
from proxy.http.exchange import Exchange
from proxy.http.headers import Headers
from proxy.http.identity import INTERNAL, XFF
from proxy.http.request import Request
from proxy.http.stream_info import StreamInfo
from proxy.limits import SHADOW_DEADLINE
from proxy.net.passage import Carrier
from proxy.stats import Counter
from proxy.upstream.cluster import Cluster
from proxy.upstream.load_balancer_context import LoadBalancerContext
from proxy.upstream.stream import UpstreamStream

log = logging.getLogger("proxy.http")

SUFFIX = b"-shadow"


class Shadow:
    """One copy, for hosts of `labels`. `abandoned` counts if it is given up for its slowness; `limit`: bytes that may
    wait for it.
    """

    def __init__(
        self,
        cluster: Cluster,
        labels: Labels,
        request: Request,
        timeout: float,
        shadows: Shadows,
        limit: int,
        abandoned: Counter,
    ) -> None:
        self._cluster = cluster
        self._labels = labels
        self._request = request
        self._timeout = timeout
        self._shadows = shadows
        self._limit = limit
        self._abandoned = abandoned
        self._pieces: deque[bytes] = deque()
        self._waiting = 0
        self._ended = False
        self._news = trio.Event()
        self._scope = trio.CancelScope()

    def push(self, data: bytes) -> None:
        """More of the body; empty at its end."""
        if self._scope.cancel_called:
            return
        if not data:
            self._ended = True
        elif self._waiting > self._limit or not self._shadows.hold(len(data)):
            self._abandoned.inc()
            log.debug("cluster %s does not keep up with what is mirrored to it", self._cluster.config.name)
            self._scope.cancel()
            return
        else:
            self._pieces.append(data)
            self._waiting += len(data)
        self._news.set()

    def leave(self) -> None:
        """There will be no more of the body: a copy that has not all of it ends."""
        if not self._ended:
            self._scope.cancel()

    async def run(self) -> None:
        """Send the copy and drop the answer. Raises nothing: what fails is in the cluster's stats."""
        self._scope.deadline = trio.current_time() + (self._timeout or SHADOW_DEADLINE)
        stream = None
        info = StreamInfo(trio.current_time())
        info.internal = True
        info.request = self._request
        try:
            with self._scope as scope:
                transport = self._cluster.transport_options(self._request)
                stream = await self._cluster.open_stream(
                    info, context=LoadBalancerContext(self._labels, transport=transport, info=info)
                )
                await self._send(stream)
                await self._drop_answer(stream)
            if scope.cancelled_caught and scope.deadline <= trio.current_time():
                self._cluster.charge_timeout(stream, info)
        except ProxyError as error:
            log.debug("mirrored request: %s", error.detail)
        except Exception:
            log.exception("a mirrored request failed")
        finally:
            self._scope.cancel()
            self._take(self._waiting)
            if stream is not None:
                stream.close()

    async def _send(self, stream: UpstreamStream) -> None:
        request = self._request
        ended = self._ended and not self._pieces
        head = request.method, request.path, request.authority, request.headers
        await stream.send_request(*head, end_stream=ended, scheme=request.told_scheme)
        if ended:
            return
        while self._pieces or not self._ended:
            if self._pieces:
                data = self._pieces.popleft()
                await stream.send_data(data)
                self._take(len(data))
            else:
                self._news = trio.Event()
                await self._news.wait()
        await stream.send_end()

    def _take(self, size: int) -> None:
        self._waiting -= size
        self._shadows.held -= size

    async def _drop_answer(self, stream: UpstreamStream) -> None:
        while True:
            event = await stream.receive()
            if isinstance(event, StreamEnded) or (isinstance(event, ResponseReceived) and event.end_stream):
                return


class MirroredBody:
    """A `Source` that tells its readers' news to the copies."""

    __slots__ = ("_copies", "_source")

    def __init__(self, source: Source, copies: Sequence[Shadow]) -> None:
        self._source = source
        self._copies = copies
        if source.ended:
            for copy in copies:
                copy.push(b"")

    @property
    def trailers(self) -> Headers | None:
        return self._source.trailers

    @property
    def ended(self) -> bool:
        return self._source.ended

    @property
    def pending(self) -> bool:
        return self._source.pending

    @property
    def is_small(self) -> bool:
        return self._source.is_small

    @property
    def splices(self) -> bool:
        return self._source.splices

    @property
    def body_ahead(self) -> int:
        """While somebody listens, all of it is read."""
        return 0 if self._copies else self._source.body_ahead

    def fill(self, carrier: Carrier, limit: int) -> int | None:
        return self._source.fill(carrier, limit)

    async def wait_readable(self) -> None:
        await self._source.wait_readable()

    async def send_continue(self) -> None:
        await self._source.send_continue()

    async def read(self) -> bytes:
        data = await self._source.read()
        for copy in self._copies:
            copy.push(data)
        return data

    def leave(self) -> None:
        """Nobody reads any more."""
        for copy in self._copies:
            copy.leave()


class Mirroring:
    """What a router needs for it. `own_address` joins `x-forwarded-for`."""

    def __init__(self, shadows: Shadows, own_address: str, limit: int) -> None:
        self._shadows = shadows
        self._own_address = own_address.encode()
        self._limit = limit

    def begin(
        self, exchange: Exchange, mirrors: Sequence[Mirror], terms: Terms, main: Cluster, labels: Labels
    ) -> MirroredBody:
        """Send the copies of a request that is about to be forwarded to hosts of `labels`, and read its body through
        what is returned.
        """
        request, copies = exchange.request, []
        for mirror in mirrors:
            cluster = _cluster(mirror, exchange)
            if cluster is None or not _drawn(mirror, request):
                continue
            abandoned = main.stats.retry_or_shadow_abandoned
            copied = self._copy(mirror, exchange, terms)
            copy = Shadow(cluster, labels, copied, terms.timeout, self._shadows, self._limit, abandoned)
            if self._shadows.start(copy.run):
                copies.append(copy)
            else:
                abandoned.inc()
        return MirroredBody(exchange.body, copies)

    def _copy(self, mirror: Mirror, exchange: Exchange, terms: Terms) -> Request:
        request, copied = exchange.request, Request()
        copied.method, copied.path = request.method, request.path
        copied.scheme, copied.protocol = request.scheme, request.protocol
        copied.authority = mirror.host.encode() if mirror.host else request.authority
        if mirror.host_suffix and not mirror.host:
            copied.authority = with_suffix(request.authority)
        headers = copied.headers = request.headers.copy()
        for edit in _edits(mirror.mutations):
            edit.apply(headers, exchange.info)
        tell_timeout(headers, Terms(terms.timeout, tell=terms.tell))
        headers.set(INTERNAL, b"true")
        _append_forwarded(headers, self._own_address)
        return copied


def _cluster(mirror: Mirror, exchange: Exchange) -> Cluster | None:
    name = mirror.cluster or (exchange.request.headers.get(mirror.cluster_header.encode()) or b"").decode("latin-1")
    return exchange.clusters.get(name)


def with_suffix(authority: bytes) -> bytes:
    """`a:80` → `a-shadow:80`."""
    parts = authority.split(b":")
    return SUFFIX.join([parts[0], b":" + parts[1]]) if len(parts) == 2 else authority + SUFFIX


@functools.lru_cache(maxsize=1024)
def _edits(mutations: tuple[Mutation, ...]) -> tuple[Edit, ...]:
    return tuple(map(Edit, mutations))


def _append_forwarded(headers: Headers, address: bytes) -> None:
    before = headers.joined(XFF)
    headers.set(XFF, b"%b,%b" % (before, address) if before else address)


def _drawn(mirror: Mirror, request: Request) -> bool:
    if mirror.runtime_fraction is None:
        return True
    numerator, denominator = mirror.runtime_fraction
    return request.random % denominator < numerator
