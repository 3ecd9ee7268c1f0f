"""One request and its response: what filters see, and the only way a response reaches the client."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import trio

from proxy.config.proxy_status import ProxyStatus
from proxy.errors import Flag, ProxyError, describe
from proxy.http import grpc, local_reply, proxy_status
from proxy.http.body import RequestBody, Transform
from proxy.http.codec import CodecError
from proxy.http.deadlines import Deadlines, Phase
from proxy.http.downstream import Downstream
from proxy.http.events import RequestReceived
from proxy.http.filter_failures import FilterFailures
from proxy.http.handover import Handover
from proxy.http.headers import Headers
from proxy.http.hop_by_hop import HOP_BY_HOP
from proxy.http.received import Received
from proxy.http.redirected import Redirected
from proxy.http.request import Request
from proxy.http.response_edits import Passed, ResponseEdit, ResponseEdits, ResponseHead, opens_tunnel
from proxy.http.response_head import ResponseRules
from proxy.http.stream_info import StreamInfo
from proxy.net import passage
from proxy.net.relay_end import End
from proxy.route.entry import RouteEntry
from proxy.route.internal_redirect import Redirects
from proxy.route.table import RouteTable


@dataclass(frozen=True)
class Policy:
    """What the connection manager decides for all its exchanges.

    `drain_close()` decides whether a connection is to end with this response. `filter_configs` holds every per-route
    filter configuration, decoded once, by the identity of its `PluginConfig`; `filter_trees` those that say which
    requests a filter is for. `failures` hears of filters' exceptions.
    `proxy_100_continue`: `100 Continue` is the upstream's to say, and its 1xx are passed on.
    `rewrite_reply` is what `local_reply_config` does to local replies. `proxy_status`: what failed says so there.
    `scheme_of_upstream`: an upstream is told the scheme that it is spoken to by, whatever the request's is.
    """

    response: ResponseRules
    drain_close: Callable[[], bool]
    filter_configs: dict[int, Any]
    failures: FilterFailures
    proxy_100_continue: bool = False
    rewrite_reply: local_reply.Rewrite | None = None
    proxy_status: ProxyStatus | None = None
    filter_trees: dict[int, Any] = field(default_factory=dict)
    scheme_of_upstream: bool = False

    def overrides(self, route: RouteEntry | None, name: str) -> tuple[Any, ...]:
        """The per-route configurations of the filter instance `name`, from the least specific to the most specific."""
        plugins = route.filter_configs(name) if route is not None else ()
        return tuple(self.filter_configs[id(plugin)] for plugin in plugins if id(plugin) in self.filter_configs)


class Routing(Protocol):
    """Who knows the routes."""

    def choose(self, exchange: Exchange) -> RouteEntry | None:
        """The route of the exchange's request as it is now, with all that follows from it; None if there is none."""
        ...


class Exchange:
    """`request` may be edited before it is forwarded; `route` is None if no route matched; `info` tells the rest.

    `clusters` are those of the snapshot that the exchange began with, by name: the ones that its route means. `routes`
    are the routes that it began with, `routing` chooses among them. `received` is the request's head before any edit,
    None while none has been read.

    The response is sent with `send_headers`, `send_data`, `send_end`. A `ProxyError` that a filter raises becomes
    a local reply when it leaves that filter. `close` ends the connection with this exchange. `tells_request_id`: the
    response carries the request's id. `handover` is what the express lane has done for it, if anything. `redirected` is
    what another exchange goes on with in its place, `redirects` are those that led to it. `drains`: a drain wants the
    connection to end, of which `close` is how HTTP/1 does it. `on_tunnel` is called when a response that opens a tunnel
    is about to go out. `answered_early`: the response began before the request had ended.
    """

    __slots__ = (
        "_downstream",
        "_edits",
        "_policy",
        "_route",
        "_route_is_stale",
        "answered_early",
        "body",
        "close",
        "clusters",
        "deadlines",
        "drains",
        "handover",
        "info",
        "on_tunnel",
        "received",
        "redirected",
        "redirects",
        "request",
        "response_started",
        "routes",
        "routing",
        "tells_request_id",
    )

    def __init__(self, downstream: Downstream, deadlines: Deadlines, info: StreamInfo, policy: Policy) -> None:
        self._downstream = downstream
        self._policy = policy
        self._edits = ResponseEdits()
        self.deadlines = deadlines
        self.info = info
        self.received: Received | None = None
        self.request = Request()
        self.body = RequestBody(downstream, deadlines, info, expect_continue=False)
        self.routes: RouteTable | None = None
        self.routing: Routing | None = None
        self._route: RouteEntry | None = None
        self._route_is_stale = False
        self.response_started = False
        self.answered_early = False
        self.close = False
        self.drains = False
        self.clusters: Mapping[str, Any] = {}
        self.tells_request_id = False
        self.handover: Handover | None = None
        self.on_tunnel: Callable[[], None] | None = None
        self.redirects: Redirects | None = None
        self.redirected: Redirected | None = None

    def begin(self, event: RequestReceived) -> None:
        """The request's head has arrived."""
        self.info.stream_id = event.stream_id
        self.info.request_complete = event.end_stream
        if event.end_stream:
            self.info.request_received = trio.current_time()
        self.received = Received(event)
        self.request = self.info.request = Request(event)
        self.info.request_head = event.head
        asks = event.expect_continue and not self._policy.proxy_100_continue
        if asks:
            event.headers.remove(b"expect")
        elif event.expect_continue:
            event.headers.set(b"expect", b"100-continue")
        self.body = RequestBody(self._downstream, self.deadlines, self.info, expect_continue=asks)

    def begin_planned(self, request: Request, received: Received, head: bytes, *, end_stream: bool) -> None:
        """The request's head has arrived, which was `received` and became `request`, by a plan of the express lane."""
        info = self.info
        info.stream_id = 1
        info.request_complete = end_stream
        if end_stream:
            info.request_received = info.started
        self.received = received
        self.request = info.request = request
        info.request_head = head

    def move_to(self, downstream: Downstream) -> None:
        """The express lane leaves the exchange: from now on `downstream` is what it has of its client."""
        self._downstream = downstream
        self.body.move_to(downstream)

    @property
    def touches_bodies(self) -> bool:
        """Whether a filter wants to see the body of the request or of the response."""
        return self._edits.touch_bodies or self.body.transformed

    def edit_head(self, head: ResponseHead, *, end_stream: bool) -> None:
        """Run the hooks of the response's head, all of them that are left. Raises what they do."""
        self._edits.head(head, self.request.method, end_stream=end_stream)

    def resume(self, before: Exchange, followed: Redirected) -> None:
        """Begin with what `before` was redirected to. Who asks is known already."""
        info, known = self.info, before.info
        info.stream_id, info.internal, info.downstream_remote = known.stream_id, known.internal, known.downstream_remote
        info.request_complete, info.request_received = True, info.started
        info.bytes_received = known.bytes_received + len(followed.body)  # it counts anew each time, as in Envoy
        self.request = info.request = followed.request
        self.body = RequestBody(self._downstream, self.deadlines, info, expect_continue=False)
        self.body.hold(followed.body)
        self.tells_request_id = before.tells_request_id
        self.redirects = followed.redirects

    @property
    def route(self) -> RouteEntry | None:
        """The route that was chosen for the request; None if none takes it."""
        if self._route_is_stale:
            self._route_is_stale = False
            self._route = self.routing.choose(self) if self.routing is not None else None
        return self._route

    @route.setter
    def route(self, entry: RouteEntry | None) -> None:
        self._route = entry
        self._route_is_stale = False

    def clear_route_cache(self) -> None:
        """Let the next who asks for the route have it chosen again, for the request as it is then."""
        self._route_is_stale = self.routing is not None

    def filter_config(self, name: str) -> Any:
        """The most specific per-route configuration of the filter instance `name`, decoded; None if there is none."""
        plugin = self.route.filter_config(name) if self.route is not None else None
        return None if plugin is None else self._policy.filter_configs.get(id(plugin))

    def filter_tree(self, name: str) -> Any:
        """The matcher that the most specific per-route configuration of `name` is; None if it is none."""
        plugin = self.route.filter_config(name) if self.route is not None else None
        return None if plugin is None else self._policy.filter_trees.get(id(plugin))

    def filter_configs(self, name: str) -> tuple[Any, ...]:
        """The per-route configurations of `name` at all levels, from the least specific to the most specific one."""
        return self._policy.overrides(self.route, name)

    def on_response_headers(self, hook: Callable[[ResponseHead], None]) -> None:
        """Call `hook` once with the response head, of local replies too, before it is sent; the last registered first.

        A `ProxyError` of a hook becomes a local reply, which the hooks registered before it see; that of an edit goes
        past them (Envoy).
        """
        self._edits.add_hook(hook)

    def transform_response(self, transform: Transform) -> None:
        """Pass the response body through `transform`; the last registered comes first."""
        self._edits.add_transform(transform)

    def edit_response(self, edit: ResponseEdit) -> None:
        """Pass the response, and local replies too, through `edit`: it takes its turn with the hooks and transforms."""
        self._edits.add(edit)

    def opens_tunnel(self, status: int) -> bool:
        """Whether what follows a response of this `status` is no HTTP."""
        return opens_tunnel(self.request.method, status)

    async def send_informational(self, status: int, headers: Headers) -> None:
        """Send a 1xx of the upstream on, without what concerns its connection alone."""
        for name in HOP_BY_HOP:
            headers.remove(name)
        self.info.continued = True
        try:
            self._downstream.codec.send_informational(self.info.stream_id, status, headers)
        except CodecError as error:
            raise _unwritable(error) from error
        self.info.header_bytes_sent = self._downstream.codec.header_bytes_sent(self.info.stream_id)
        await self._flush()

    def leave_http(self) -> tuple[End, bytes]:
        """The client's end of a tunnel, once it is open, and what has come of the tunnel's bytes already."""
        info = self.info
        if not self.multiplexed:
            self.deadlines.ignore_client()  # the tunnel itself sees the end of the connection

        def received(count: int) -> None:
            info.bytes_received += count

        def sent(count: int) -> None:
            info.bytes_sent += count

        end, early = self._downstream.leave_http(received, sent)
        info.bytes_received += len(early)
        return end, early

    def end_tunnel(self, *, by_client: bool) -> None:
        """Both sides of a tunnel have ended; `by_client`: the client was the first to do so. To HTTP/1 that is the end
        of its connection."""
        info = self.info
        info.response_received = trio.current_time()
        info.response_complete = True
        if by_client and not self.multiplexed:
            self._downstream.connection.closed_by_peer = True
            info.flags.add(Flag.DOWNSTREAM_CONNECTION_TERMINATION)
            info.detail = "downstream_remote_disconnect"

    async def send_headers(self, status: int, headers: Headers, *, end_stream: bool, flush: bool = True) -> None:
        """Send the response head; `headers` becomes the exchange's own. `flush=False` keeps it back for one packet
        with the first body bytes: the caller must then send more without waiting for anything else.
        """
        self.info.response_headers = headers  # hooks may ask for them
        head = ResponseHead(status, headers)
        await self._pass_on(self._edits.head(head, self.request.method, end_stream=end_stream), flush=flush)

    async def _pass_on(self, passed: Passed, *, flush: bool, last: bool = False) -> None:
        """Send what has passed the filters' edits."""
        head, body, ended, trailers = passed
        alone = ended and not body and trailers is None
        if head is not None:
            self._send_head(head, end_stream=alone)
        if body:
            self._send_body(body)
        if ended and (head is None or not alone):
            self.info.response_trailers = trailers
            try:
                self._downstream.codec.send_end(self.info.stream_id, trailers)
            except CodecError as error:
                raise _unwritable(error) from error
        if ended:
            self._end_deadlines()
        if flush or (self._downstream.blocked and not last):
            await self._flush()
        if ended:
            self.info.response_complete = True

    def _send_head(self, head: ResponseHead, *, end_stream: bool) -> None:
        tunnel = self.opens_tunnel(head.status)
        codec = self._downstream.codec
        leaving = tunnel or self.info.upgrade != ""
        if self._policy.drain_close():
            self.close = self.drains = True
        self.answered_early = leaving or not self.info.request_complete
        self.close = self.close or self.answered_early
        request_id = self.request.headers.get(b"x-request-id") if self.tells_request_id else None
        self._policy.response.clean(
            head.headers,
            close=self.close and not tunnel and not self._downstream.multiplexed,
            request_id=request_id,
            upgrading=head.status == 101,
        )
        if self.info.flags and self._policy.proxy_status is not None:
            head.status = proxy_status.tell(self._policy.proxy_status, self.info, head.headers, head.status)
        try:
            codec.send_headers(self.info.stream_id, head.status, head.headers, end_stream=end_stream)
        except CodecError as error:
            raise _unwritable(error) from error
        self.response_started = True
        self.info.response_out = trio.current_time()
        self.info.header_bytes_sent = codec.header_bytes_sent(self.info.stream_id)
        self.info.status = head.status
        self.info.response_headers = head.headers
        if tunnel and self.on_tunnel is not None:
            self.on_tunnel()

    async def send_data(self, data: bytes, *, flush: bool = True, last: bool = False) -> None:
        """Send body bytes; waits while the client does not read. `flush` as in `send_headers`; `last`: nothing but
        `send_end` follows, so that nothing is gained by waiting before it.
        """
        await self._pass_on(self._edits.data(data, self.request.method), flush=flush, last=last)

    def scheme_towards(self, *, secure: bool) -> bytes:
        """What an upstream of HTTP/2 is told, which is spoken to by TLS if it is `secure`."""
        if self._policy.scheme_of_upstream:
            return b"https" if secure else b"http"
        return self.request.told_scheme

    @property
    def multiplexed(self) -> bool:
        """Whether other exchanges share the client's connection."""
        return self._downstream.multiplexed

    @property
    def splices(self) -> bool:
        """Whether a pipe may carry the response's body."""
        return self._downstream.splices

    @property
    def read_size(self) -> int:
        """How many bytes of the response are worth having at once; 0 for as many as come."""
        return self._downstream.read_size

    @property
    def body_room(self) -> int:
        """How many body bytes may reach the client without being looked at; see `proxy/http/body_relay.py`."""
        return 0 if self._edits.touch_bodies else self._downstream.body_room

    async def send_around(self, carrier: passage.Carrier, moved: Callable[[], None]) -> None:
        """Send what `carrier` holds as body bytes, which is no more than `body_room`."""
        self._downstream.codec.send_around(self.info.stream_id, carrier.held)
        self.info.bytes_sent += carrier.held
        await self._downstream.flush()
        await passage.empty(carrier, self._downstream.connection, moved)

    async def send_end(self, trailers: Headers | None = None) -> None:
        """The response is complete. The codec knows whether the client gets `trailers` (`enable_trailers`)."""
        await self._pass_on(self._edits.end(trailers, self.request.method), flush=True)

    async def reply(self, error: ProxyError) -> None:
        """Answer with the local reply to `error`, or end the connection if a response has begun or nobody listens."""
        self.note(error)
        if self.response_started or error.status == 0 or self._downstream.torn:
            self.close = True
            return
        self._edits.give_up()
        # To Envoy a 400 tells of a message that is no HTTP, whoever answers it.
        self.close = self.close or error.close or (error.status == 400 and not self.multiplexed)
        self.info.ended = trio.current_time()  # what a format takes for the end
        edit = self.route.finish_response if self.route is not None else None
        came = self.request.headers if self.received is None else self.received.headers
        reply = local_reply.render(error, self.info, edit, self._policy.rewrite_reply, to_grpc=grpc.is_request(came))
        body = reply.body
        await self.send_headers(reply.status, reply.headers, end_stream=not body, flush=not body)
        if body:
            if self.request.method != b"HEAD":
                await self.send_data(body, flush=False)
            await self.send_end()

    async def fail(self, error: BaseException) -> None:
        """Answer `error`, a filter's own exception, with a 500. After the end of the response only its flag is left."""
        failure = self._policy.failures.report(error)
        self.info.cause = "".join(traceback.format_exception(error))
        if self.info.response_complete:
            self.info.flags.add(Flag.FILTER_EXCEPTION)
        else:
            await self.reply(failure)

    def note(self, error: ProxyError) -> None:
        """Record why the exchange fails; a status that the client has seen stays."""
        self.info.detail = error.detail
        if error.__cause__ is not None and not self.info.cause:
            self.info.cause = describe(error.__cause__)
        if error.flag is not None:
            self.info.flags.add(error.flag)
        if not self.response_started:
            self.info.status = error.status

    @property
    def tells_informational(self) -> bool:
        """Whether the client gets the upstream's 1xx."""
        return self._policy.proxy_100_continue

    def failure(self) -> ProxyError | None:
        """The error of the deadline that has fired, or of the client that has gone; None if neither."""
        return self.deadlines.failure(request_complete=self.info.request_complete and not self.info.upgrade)

    def _send_body(self, data: bytes) -> None:
        try:
            self._downstream.codec.send_data(self.info.stream_id, data)
        except CodecError as error:
            raise _unwritable(error) from error
        self.info.bytes_sent += len(data)

    async def _flush(self) -> None:
        await self._downstream.flush()
        self.deadlines.touch()

    def _end_deadlines(self) -> None:
        """The response is whole, though the client may not have taken all of it yet."""
        if self.info.request_complete:
            self.deadlines.disarm(Phase.ROUTE)
            self.deadlines.disarm(Phase.STREAM_DURATION)
        if self.multiplexed and self._downstream.blocked:
            self.deadlines.end()


def _unwritable(error: CodecError) -> ProxyError:
    """A response that must not go on the wire (a bad status, more bytes than promised) is the upstream's fault."""
    return ProxyError(error.detail, side="upstream", status=502, body=error.body, flag=Flag.UPSTREAM_PROTOCOL_ERROR)
