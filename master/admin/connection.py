"""One connection of the admin server: HTTP/1.1, one exchange after the other, every wait with a deadline."""

from __future__ import annotations

import contextlib
import email.utils
import socket

import trio

from master.admin.dispatch import answer
from master.admin.origin import host_allowed, origin_allowed
from master.admin.own_stats import AdminStats
from master.admin.page import Context, Reply
from proxy.http.codec import CodecError, ServerCodec
from proxy.http.codec_h1_server import H1ServerCodec
from proxy.http.events import ConnectionEnded, DataReceived, Event, RequestReceived, StreamEnded
from proxy.http.headers import Headers

REQUEST_TIMEOUT = 10.0
"""Seconds for a complete request, head and body, once the connection is open or its first byte has come."""
IDLE_TIMEOUT = 15.0
"""Seconds between two requests. Short: a slot of the few that there are is held."""
SEND_TIMEOUT = 10.0
"""Seconds for the peer to take each piece of a reply."""
LINGER = 1.0
"""Seconds to read on after an error's answer; Envoy's default `delayed_close_timeout`."""
ANSWER_TIMEOUT = 60.0
"""Seconds for a page to make its reply (`/workers` waits until the workers serve)."""

READ_BYTES = 16 * 1024
PIECE_BYTES = 64 * 1024
MAX_HEAD_BYTES = 16 * 1024
MAX_HEADERS = 64
MAX_BODY_BYTES = 64 * 1024
"""No page reads a body; this much is read and dropped so that the connection can go on."""

STREAM = 1
"""HTTP/1 has one exchange at a time; its codec does not look at the stream's number."""

_GONE = (BrokenPipeError, ConnectionError, TimeoutError)


class _PeerGone(Exception):
    """The peer closed, or did not do its part in time."""


class Connection:
    """`sock` is non-blocking and belongs to the connection."""

    def __init__(self, sock: socket.socket, context: Context, stats: AdminStats) -> None:
        self._sock = sock
        self._retired = False
        self._idle = trio.CancelScope()
        self._context = context
        self._stats = stats
        self._opened = trio.current_time()
        stats.opened()
        self._codec: ServerCodec = H1ServerCodec(max_headers_bytes=MAX_HEAD_BYTES, max_headers_count=MAX_HEADERS)
        self._closed_by_peer = False
        self._over_tcp = sock.family != socket.AF_UNIX

    def close(self) -> None:
        self._sock.close()
        self._stats.closed(trio.current_time() - self._opened, by_peer=self._closed_by_peer)

    async def serve(self) -> None:
        """Until the peer is done, breaks the protocol, or takes too long."""
        try:
            events = await self._read(REQUEST_TIMEOUT)
            while await self._exchange(events) and not self._retired:
                events = self._codec.next_exchange() or await self._wait()
        except _PeerGone:
            return
        except CodecError as error:
            self._stats.broke()
            await self._reject(error)

    def retire(self) -> None:
        """End with the answer in hand, or now if there is none."""
        self._retired = True
        self._idle.cancel()

    async def _wait(self) -> list[Event]:
        """The events of the next request."""
        with trio.CancelScope() as self._idle:
            return await self._read(IDLE_TIMEOUT, idle=True)
        raise _PeerGone

    async def _exchange(self, events: list[Event]) -> bool:
        """One request and its reply; whether another may follow."""
        with trio.move_on_after(REQUEST_TIMEOUT) as deadline:
            request = await self._request(events)
        if deadline.cancelled_caught or request is None:
            return False
        self._stats.began()
        started = trio.current_time()
        reply = self._refusal(request) or await self._answer(request)
        try:
            await self._send(request.stream_id, reply, close=self._retired)
        finally:
            self._stats.ended(reply.status, trio.current_time() - started)
            if reply.finish:  # an order holds, even if the peer did not wait for the answer
                await reply.finish()
        return self._codec.keep_alive

    async def _answer(self, request: RequestReceived) -> Reply:
        with trio.move_on_after(ANSWER_TIMEOUT):
            return await answer(request.method.decode("latin-1"), request.path.decode("latin-1"), self._context)
        return Reply(b"the page took too long\n", status=504)

    async def _request(self, events: list[Event]) -> RequestReceived | None:
        """The next request, its body read and dropped; None if the peer ended the connection instead."""
        request: RequestReceived | None = None
        body = 0
        while True:
            for event in events:
                match event:
                    case RequestReceived():
                        request = event
                        if event.end_stream:
                            return request
                        if event.expect_continue:
                            self._codec.send_informational(event.stream_id, 100, Headers())
                            await self._flush()
                    case DataReceived():
                        body += len(event.data)
                        if body > MAX_BODY_BYTES:
                            raise CodecError("request_payload_too_large", status=413, body="Payload Too Large")
                    case StreamEnded():
                        return request
                    case ConnectionEnded():
                        return None
                    case _:
                        raise CodecError("http1.codec_error", body="Bad Request")
            events = await self._read(REQUEST_TIMEOUT)

    def _refusal(self, request: RequestReceived) -> Reply | None:
        """Why a request over TCP is not answered (see `origin`), or None."""
        if not self._over_tcp:
            return None
        authority = request.authority.decode("latin-1")
        if not host_allowed(authority, socket.gethostname()):
            text = f"Host {authority!r} could belong to anyone (DNS rebinding). Use an address, or a local name.\n"
            return Reply(text.encode(), status=403)
        origin = request.headers.get(b"origin")
        if origin is not None and not origin_allowed(origin.decode("latin-1"), authority):
            return Reply(b"a page of another origin may not use the admin interface\n", status=403)
        return None

    async def _send(self, stream_id: int, reply: Reply, *, close: bool = False) -> None:
        """The reply in pieces, each of which the peer must take in time."""
        headers = Headers(
            (
                (b"content-type", reply.content_type.encode()),
                (b"cache-control", b"no-cache, max-age=0"),
                (b"x-content-type-options", b"nosniff"),
                (b"date", email.utils.formatdate(usegmt=True).encode()),
                (b"server", b"envoy"),
            )
        )
        if close:
            headers.add(b"connection", b"close")
        self._codec.send_headers(stream_id, reply.status, headers, end_stream=False)
        for start in range(0, len(reply.body), PIECE_BYTES):
            self._codec.send_data(stream_id, reply.body[start : start + PIECE_BYTES])
            await self._flush()
        self._codec.send_end(stream_id)
        await self._flush()

    async def _reject(self, error: CodecError) -> None:
        """The answer to broken bytes, if one is owed; the connection ends with it."""
        if not error.status:
            return
        with contextlib.suppress(_PeerGone):
            await self._send(STREAM, Reply(error.body.encode(), status=error.status), close=True)
            await self._linger()

    async def _linger(self) -> None:
        """Read on for a moment: closing with unread bytes would make the kernel throw away the answer (RST)."""
        with contextlib.suppress(*_GONE):
            self._sock.shutdown(socket.SHUT_WR)
        with trio.move_on_after(LINGER):
            while await self._receive():
                await trio.lowlevel.checkpoint()

    async def _read(self, timeout: float, *, idle: bool = False) -> list[Event]:
        """The events of the next bytes; may be empty."""
        with trio.move_on_after(timeout):
            return self._codec.receive(await self._receive())
        if idle:
            self._stats.idled()
        raise _PeerGone

    async def _receive(self) -> bytes:
        """The next bytes; none if the peer has finished sending."""
        while True:
            try:
                data = self._sock.recv(READ_BYTES)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._sock)
            except _GONE as error:
                self._closed_by_peer = True
                raise _PeerGone from error
            else:
                self._stats.received(len(data))
                self._closed_by_peer = not data
                return data

    async def _flush(self) -> None:
        await self._write(self._codec.take_output())

    async def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        with trio.move_on_after(SEND_TIMEOUT):
            while rest:
                try:
                    sent = self._sock.send(rest)
                    self._stats.sent(sent)
                    rest = rest[sent:]
                except BlockingIOError:
                    await trio.lowlevel.wait_writable(self._sock)
                except _GONE as error:
                    self._closed_by_peer = True
                    raise _PeerGone from error
            return
        raise _PeerGone
