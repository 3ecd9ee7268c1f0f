"""Any order of calls on an HTTP/1 codec: legal ones work, the rest raise, and what was written stays readable."""

from __future__ import annotations

import h11
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from proxy.http.codec import CodecError
from proxy.http.codec_h1_client import H1ClientCodec
from proxy.http.codec_h1_server import H1ServerCodec
from proxy.http.events import Event, RequestReceived, ResponseReceived, StreamEnded
from proxy.http.headers import Headers

requests = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\n",
        b"junk\r\n\r\n",
        b"",
    ]
)
responses = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nuntil",
        b"HTTP/1.1 200 OK\r\n",
        b"junk\r\n\r\n",
        b"",
    ]
)
lengths = st.sampled_from([Headers(), Headers([(b"content-length", b"2")]), Headers([(b"connection", b"close")])])
data = st.sampled_from([b"", b"x", b"xy", b"xyz"])


class ServerStates(RuleBasedStateMachine):
    """The responses that a server codec wrote, as long as it raised nothing, are what h11 reads."""

    def __init__(self) -> None:
        super().__init__()
        self.codec = H1ServerCodec()
        self.reader = h11.Connection(h11.CLIENT)
        self.refused = False
        self.method = b"GET"
        self.asked = self.answered = 0

    def _listen(self) -> None:
        """h11 reads what was written, having asked the same as our client did."""
        raw = self.codec.take_output()
        if not raw or self.refused:
            return
        if self.reader.our_state is h11.IDLE:
            self.reader.send(h11.Request(method=self.method, target="/", headers=[("host", "a")]))
            self.reader.send(h11.EndOfMessage())
        self.reader.receive_data(raw)
        while (event := self.reader.next_event()) is not h11.NEED_DATA and event is not h11.PAUSED:
            if isinstance(event, h11.EndOfMessage):
                self.answered += 1

    @rule(raw=requests)
    def receive(self, raw: bytes) -> None:
        try:
            self._events(self.codec.receive(raw))
        except CodecError:
            assert not self.codec.keep_alive

    @rule()
    def next_exchange(self) -> None:
        try:
            events = self.codec.next_exchange()
        except RuntimeError:
            return
        except CodecError:
            self.refused = True
            return
        if self.reader.our_state is h11.DONE and self.reader.their_state is h11.DONE:
            self.reader.start_next_cycle()
        self._events(events)

    def _events(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, RequestReceived):
                self.method = event.method
                self.asked += 1

    @rule(headers=lengths, status=st.sampled_from([200, 204, 304, 404]), end_stream=st.booleans())
    def send_headers(self, headers: Headers, status: int, end_stream: bool) -> None:
        try:
            self.codec.send_headers(1, status, headers, end_stream=end_stream)
        except (RuntimeError, CodecError):
            assert self.codec.take_output() == b""
        self._listen()

    @rule(block=data)
    def send_data(self, block: bytes) -> None:
        try:
            self.codec.send_data(1, block)
        except RuntimeError:
            return
        except CodecError:
            assert not self.codec.keep_alive
        self._listen()

    @rule()
    def send_end(self) -> None:
        try:
            self.codec.send_end(1)
        except RuntimeError:
            return
        except CodecError:
            assert not self.codec.keep_alive
            self.refused = True
        self._listen()

    @invariant()
    def never_more_answers_than_requests(self) -> None:
        # One more: a reply to bytes that never became a request.
        assert self.answered <= self.asked + 1


class ClientStates(RuleBasedStateMachine):
    """A connection is reusable exactly when each request on it was sent whole and answered whole, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.codec = H1ClientCodec()
        self.open = False
        self.waiting = False
        self.spoiled = False

    @rule(headers=lengths, end_stream=st.booleans())
    def send_request(self, headers: Headers, end_stream: bool) -> None:
        reusable = self.codec.reusable
        self.codec.take_output()
        try:
            self.codec.send_request(b"POST", b"/", b"a", headers, end_stream=end_stream)
        except RuntimeError:
            assert not reusable
        except CodecError:
            assert self.codec.reusable
            assert self.codec.take_output() == b""
        else:
            assert reusable
            self.open, self.waiting = not end_stream, True
            self.spoiled = b"connection" in headers

    @rule(block=data)
    def send_data(self, block: bytes) -> None:
        try:
            self.codec.send_data(1, block)
        except RuntimeError:
            assert not self.open
        except CodecError:
            self.spoiled = True

    @rule()
    def send_end(self) -> None:
        try:
            self.codec.send_end(1)
        except RuntimeError:
            assert not self.open
        except CodecError:
            self.spoiled = True
        else:
            self.open = False

    @rule(raw=responses)
    def receive(self, raw: bytes) -> None:
        if not self.waiting or not raw:
            self.spoiled = True  # bytes or an end that nobody asked for
        try:
            events = self.codec.receive(raw)
        except CodecError:
            self.spoiled = True
            return
        for event in events:
            if isinstance(event, StreamEnded) or (isinstance(event, ResponseReceived) and event.end_stream):
                self.waiting = False
                self.spoiled = self.spoiled or self.open

    @invariant()
    def reusable(self) -> None:
        if self.spoiled or self.open or self.waiting:
            assert not self.codec.reusable
        else:
            assert self.codec.reusable


TestServerStates = ServerStates.TestCase
TestClientStates = ClientStates.TestCase
