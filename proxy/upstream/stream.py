"""One request on an upstream connection, and its response: what all versions of HTTP have in common."""

from __future__ import annotations

import abc
from collections.abc import Callable

import trio

from proxy.config.cluster import Host
from proxy.config.common import Address
from proxy.errors import ProxyError
from proxy.http import grpc
from proxy.http.codec import CodecError
from proxy.http.events import Event, InformationalReceived, ResponseReceived, StreamEnded
from proxy.http.headers import Headers
from proxy.http.stream_info import UpstreamConnection
from proxy.net import passage
from proxy.net.relay_end import End
from proxy.upstream import failures
from proxy.upstream.judge import Followed, Judge, Retried, Verdict
from proxy.upstream.pool import Pool
from proxy.upstream.stats import Outcomes
from proxy.upstream.tables import HostColumn

CANARY = (b"x-envoy-upstream-canary", b"true")
IMMEDIATE_FAIL = b"x-envoy-immediate-health-check-fail"


class UpstreamStream(abc.ABC):
    """Sending and receiving may run in two tasks. `bytes_*` count what went over the wire for this request,
    `header_bytes_*` its fields and those of its responses; `heads` are the latter as they came, if they came as text.

    `judge`, if there is one, decides which responses and failures are for the client; the others raise and are counted
    as retried. `follow`, if there is one, says of each that is for the client whether it is a redirect that we follow
    ourselves: that raises too, and counts nowhere. `gone_out_at` is set while the stream is told a request that was
    sent before (`Http1Stream.going_on`).

    An upstream may answer and stop reading before it has the whole request. So a `send_*` that finds the peer gone
    does not raise: later sends do nothing, and `receive` tells what became of the response.
    """

    __slots__ = (
        "_asks_grpc",
        "_canary",
        "_outcomes",
        "_pool",
        "_request_ended_at",
        "_response_ended",
        "_response_started",
        "_timed_out",
        "follow",
        "gone_out_at",
        "host",
        "judge",
        "reused",
    )

    tells_scheme = True
    """Whether a request's scheme goes to the upstream."""

    has_websocket_keys = False
    """Whether the handshake of a WebSocket has a key there."""

    def __init__(self, pool: Pool, outcomes: Outcomes, judge: Judge | None, *, reused: bool) -> None:
        self._pool = pool
        self._outcomes = outcomes
        self._asks_grpc = False
        self._canary: Outcomes | None = None
        self._request_ended_at: float | None = None
        self._response_started = False
        self._response_ended = False
        self._timed_out = False
        self.judge = judge
        self.follow: Callable[[int, Headers], bool] | None = None
        self.gone_out_at: float | None = None
        self.host: Host = pool.host
        self.reused = reused

    # --- the connection ---------------------------------------------------------------------------------------------

    @property
    @abc.abstractmethod
    def local(self) -> Address:
        """Our end of the connection."""

    @property
    @abc.abstractmethod
    def identity(self) -> UpstreamConnection:
        """The connection, for logs."""

    @property
    @abc.abstractmethod
    def bytes_sent(self) -> int: ...
    @property
    @abc.abstractmethod
    def bytes_received(self) -> int: ...
    @property
    @abc.abstractmethod
    def header_bytes_sent(self) -> int: ...
    @property
    @abc.abstractmethod
    def header_bytes_received(self) -> int: ...
    @property
    def heads(self) -> tuple[bytes, ...]:
        return ()

    # --- the request ------------------------------------------------------------------------------------------------

    @property
    def request_ended_at(self) -> float:
        """When the end of the request went out; now if it has not."""
        return trio.current_time() if self._request_ended_at is None else self._request_ended_at

    @abc.abstractmethod
    async def send_request(
        self,
        method: bytes,
        path: bytes,
        authority: bytes,
        headers: Headers,
        *,
        end_stream: bool,
        flush: bool = True,
        scheme: bytes = b"http",
    ) -> None:
        """Send the request head; `end_stream`: there is no body. `flush=False` keeps it back for one packet with the
        first body bytes: the caller must then send more without waiting for anything else.

        Here and below, a request that cannot be written (or a body of another length than the head promised) raises
        `ProxyError` with the codec's status and detail.
        """

    @abc.abstractmethod
    async def send_data(self, data: bytes, *, flush: bool = True) -> None:
        """Send body bytes; waits while the upstream does not read. `flush` as in `send_request`."""

    @abc.abstractmethod
    async def send_end(self, trailers: Headers | None = None) -> None:
        """The request is complete."""

    # --- the response -----------------------------------------------------------------------------------------------

    @property
    @abc.abstractmethod
    def pending(self) -> bool:
        """Whether `receive` has an event at hand and will not wait."""

    @property
    @abc.abstractmethod
    def ending(self) -> bool:
        """Whether that event is the response's end."""

    @property
    def response_started(self) -> bool:
        """Whether the head of a response for the client has come."""
        return self._response_started

    @abc.abstractmethod
    async def _next(self) -> Event:
        """What has come next. Raises what `_failed` makes of the end."""

    async def receive(self) -> Event:
        """The next event of the response; the last one is `StreamEnded` or says `end_stream`.

        Raises `ProxyError` if the connection, or the stream, ended instead, or broke the protocol; `Retried` for a
        response that is not for the client.
        """
        event = await self._next()
        if isinstance(event, ResponseReceived):
            self._note_head(event)
            if self._pool.monitor is not None:
                self._pool.monitor.response(self._told_status(event))
            if self._pool.fast_failure is not None and IMMEDIATE_FAIL in event.headers:
                self._pool.fast_failure(self.host)
            if self.judge is not None:
                verdict = self.judge.response(event.status, event.headers)
                if verdict is not Verdict.DELIVER:
                    raise self._unseen(event, verdict)
            if self.follow is not None and self.follow(event.status, event.headers):
                self._response_ended = event.end_stream
                raise Followed(event.status)
            self._charge_response(event)
            if event.end_stream:
                self._end_response()
        elif isinstance(event, StreamEnded):
            self._end_response()
        elif isinstance(event, InformationalReceived):
            self._note_head(event)
            self._outcomes.charge(event.status)
            if self.judge is not None:
                self.judge.informational()
        return event

    def _note_request(self, headers: Headers) -> None:
        """A request with these fields goes out."""
        if self._pool.monitor is not None:
            self._asks_grpc = grpc.is_request(headers)

    def _told_status(self, head: ResponseReceived) -> int:
        """What outlier detection goes by: in gRPC the status that is in the head already, if there is one."""
        status = grpc.status_in(head.headers) if self._asks_grpc else None
        return head.status if status is None else grpc.to_http(status)

    def _note_head(self, head: ResponseReceived | InformationalReceived) -> None:  # noqa: B027 - most need not know
        """The head of a response has come, whomever it is for."""

    def feed(self, data: bytes) -> None:
        """Take in bytes of the response that the express lane has read."""
        raise AssertionError("no express lane reads for this stream")

    @abc.abstractmethod
    def read_at_most(self, size: int) -> None:
        """Hold no more than `size` bytes of the response at once."""

    @abc.abstractmethod
    def broken(self) -> ProxyError:
        """The error for an upstream that does not keep to the protocol, counted."""

    def _failed(self, reason: failures.Reason) -> ProxyError:
        error = failures.reset(reason, response_started=self._response_started)
        if self._pool.monitor is not None:
            self._pool.monitor.failed()
        if not self._response_started:
            retried = self.judge is not None and self.judge.reset(error, request_started=True)
            self._charge_failure(0 if retried else error.status)
        return error

    # --- a tunnel (`proxy/filters/router/tunnels.py`) -----------------------------------------------------------------

    @abc.abstractmethod
    def leave_http(self) -> tuple[End, bytes]:
        """The upstream's end of a tunnel, once it is open, and what has come of the tunnel's bytes already."""

    def leave_to_bodies(self) -> tuple[End, bytes]:
        """The same of a request with a body, for whom its bytes are the tunnel: the messages go on to their ends."""
        return self.leave_http()

    @abc.abstractmethod
    def end_tunnel(self, *, by_upstream: bool) -> ProxyError | None:
        """The tunnel is over. `by_upstream`: it was the first to end it. Returns what has failed, if anything."""

    # --- around the codecs (`proxy/http/body_relay.py`) -------------------------------------------------------------

    @property
    def splices(self) -> bool:
        """Whether a pipe may carry bodies from and to this connection."""
        return False

    @property
    def body_ahead(self) -> int:
        """How many bytes that come next are of the response's body and may go around."""
        return 0

    def fill(self, carrier: passage.Carrier, limit: int) -> int | None:
        """Take up to `limit` of them; None if none is here. Raises as `receive` does."""
        raise AssertionError

    async def wait_readable(self) -> None:
        """Until `fill` may find something."""
        raise AssertionError

    @property
    def body_room(self) -> int:
        """How many bytes of the request's body may go around at once."""
        return 0

    async def send_around(self, carrier: passage.Carrier, moved: Callable[[], None]) -> None:
        """Send what `carrier` holds as body bytes, which is no more than `body_room`."""
        raise AssertionError

    # --- the end ----------------------------------------------------------------------------------------------------

    def forgo_reuse(self) -> None:
        """Close the connection after this exchange, as one whose request has never ended."""
        self._request_ended_at = None

    def charge_timeout(self, status: int, *, retried: bool = False) -> None:
        """A timeout is about to end this stream; the `status` in place of a response counts only if none has started,
        and no other attempt follows (`retried`).
        """
        self._pool.count(HostColumn.RQ_TIMEOUT)
        if not self._response_started:
            self.tell_timeout(status)
            self._charge_failure(0 if retried else status)

    def tell_timeout(self, status: int) -> None:
        """The host takes longer than it may, and the client might get `status`. Only the first call counts."""
        if self._pool.monitor is not None and not self._timed_out:
            self._timed_out = True
            self._pool.monitor.timed_out(status)

    def charge_retried(self) -> None:
        """This stream was ended by us, and another attempt follows."""
        self._pool.count(HostColumn.RQ_ERROR)

    @abc.abstractmethod
    def close(self) -> None:
        """Exactly once, in `finally`: the connection is free again if both sides ended cleanly."""

    @property
    def _complete(self) -> bool:
        return self._response_ended and self._request_ended_at is not None

    def _unseen(self, response: ResponseReceived, verdict: Verdict) -> Retried:
        if verdict is Verdict.RETRY:
            self._pool.stats.retried(hidden=self._outcomes.hides_codes).charge(response.status)
        self._pool.count(HostColumn.RQ_ERROR)
        self._response_ended = response.end_stream
        return Retried(response)

    def _charge_response(self, response: ResponseReceived) -> None:
        self._response_started = True
        self._outcomes.charge(response.status)
        if self._pool.canary or CANARY in response.headers.items:
            self._canary = self._pool.stats.canary()
            self._canary.charge(response.status)
        self._pool.charge_response(response.status)

    def _charge_failure(self, status: int) -> None:
        if status:
            self._outcomes.charge(status)
        self._pool.count(HostColumn.RQ_ERROR)

    def _end_response(self) -> None:
        self._response_ended = True
        if self._request_ended_at is not None:
            elapsed = round((trio.current_time() - self._request_ended_at) * 1000)
            self._outcomes.time.record(elapsed)
            if self._canary is not None:
                self._canary.time.record(elapsed)


def unwritable(error: CodecError) -> ProxyError:
    """The error for a request that cannot be written."""
    return ProxyError(error.detail, side="internal", status=error.status, body=error.body)
