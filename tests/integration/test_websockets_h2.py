"""WebSockets over HTTP/2 through the running program, to a server of a library that everybody uses; and bulk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import threading
from collections.abc import Iterator

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol
from websockets.sync.server import Server, ServerConnection, serve

from tests.kit.bootstrap import bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.h2_client import H2Client
from tests.kit.h2_tunnel_origin import H2TunnelOrigin
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy
from tests.kit.tunnel_origin import TunnelOrigin

BULK = 2 * 1024 * 1024


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


@contextlib.contextmanager
def server() -> Iterator[Server]:
    with serve(echo, "127.0.0.1", 0) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with server() as websockets, TunnelOrigin() as origin, H2TunnelOrigin() as two:
        listener = http_listener(
            virtual_host("two", ["two"], route("/", "two")),
            virtual_host("all", ["*"], route("/chat", "chat"), route("/", "origin")),
            name="web",
            upgrade_configs=[{"upgrade_type": "websocket"}],
            http2_protocol_options={"allow_connect": True},
        )
        port = websockets.socket.getsockname()[1]
        clusters = [static_cluster("chat", port), static_cluster("origin", origin.port)]
        clusters += [static_cluster("two", two.port, http2_protocol_options={})]
        text = bootstrap([listener], clusters)
        with Proxy(text) as running:
            yield running


def opened(client: H2Client, path: str, *fields: tuple[str, str], to: str = "test") -> int:
    stream = client.begin(path, *fields, end=False, method="CONNECT", protocol="websocket", authority=to)
    while not client.responses[stream].headers:
        client.read()
    assert client.responses[stream].status == 200
    return stream


class WebSocket:
    """A client's end: frames are the library's."""

    def __init__(self, client: H2Client) -> None:
        self._client = client
        self._frames = Protocol(CLIENT, state=OPEN)
        self._taken = 0
        self.stream = opened(client, "/chat", ("sec-websocket-version", "13"))

    def send(self, text: str) -> None:
        self._frames.send_text(text.encode())
        self._flush()

    def close(self) -> None:
        self._frames.send_close(1000, "bye")
        self._flush()

    def receive(self) -> Frame:
        while True:
            body = self._client.responses[self.stream].body
            self._frames.receive_data(body[self._taken :])
            self._taken = len(body)
            if found := self._frames.events_received():
                break
            self._client.read()
        (frame,) = found
        assert isinstance(frame, Frame)
        return frame

    def _flush(self) -> None:
        for data in self._frames.data_to_send():
            self._client.send(self.stream, data)


def test_a_conversation_beside_another(proxy: Proxy) -> None:
    """The client has no key (RFC 8441 section 5); the server would refuse a handshake without one."""
    with H2Client(proxy.address("web")) as client:
        chats = [WebSocket(client), WebSocket(client)]
        for number, chat in enumerate(chats):
            chat.send(f"hello from {number}")
        assert [chat.receive().data for chat in chats] == [b"hello from 0", b"hello from 1"]
        (session,) = json.loads(proxy.admin("/sessions?format=json").body)["sessions"]
        assert (session["kind"], session["request"]) == ("upgrade", "GET /chat")
        assert session["waits_for"] == "either end of the tunnel to close it"
        chats[0].close()
        assert chats[0].receive().opcode is Opcode.CLOSE
        assert client.finish(chats[0].stream).ended
        client.send(chats[0].stream, b"", end=True)
        chats[1].send("still here")
        assert chats[1].receive().data == b"still here"
    active = "http.web.downstream_cx_upgrades_active"
    wait_for(lambda: proxy.stats()[active] == 0, deadline=20, what="both are over")


@pytest.mark.parametrize("to", ["test", "two"], ids=["to HTTP/1", "to HTTP/2"])
def test_bulk_to_the_ends(proxy: Proxy, to: str) -> None:
    """One stream's bytes come back as their digest, another's as they are, while windows open and close."""
    data = os.urandom(BULK)
    with H2Client(proxy.address("web")) as client:
        key = ("sec-websocket-key", "its own")
        digest, echo = opened(client, "/digest", key, to=to), opened(client, "/echo", key, to=to)
        for at in range(0, BULK, 1 << 20):
            piece, last = data[at : at + (1 << 20)], at + (1 << 20) >= BULK
            client.send(digest, piece, end=last)
            client.send(echo, piece, end=last)
        answers = [client.finish(stream) for stream in (digest, echo)]
    assert answers[0].body == hashlib.sha1(data, usedforsecurity=False).hexdigest().encode()
    assert answers[1].body == data
    assert [(answer.ended, answer.reset) for answer in answers] == [(True, None)] * 2


def test_bulk_of_http1_to_http2(proxy: Proxy) -> None:
    data = os.urandom(BULK)
    address = proxy.address("web")
    assert isinstance(address, tuple)
    with socket.create_connection(address, 20) as sock:
        sock.sendall(b"GET /digest HTTP/1.1\r\nhost: two\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        while b"\r\n\r\n" not in (head := sock.recv(4096, socket.MSG_PEEK)):
            pass
        assert sock.recv(len(head.partition(b"\r\n\r\n")[0]) + 4).startswith(b"HTTP/1.1 101 ")
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        found = b"".join(iter(lambda: sock.recv(4096), b""))
    assert found == hashlib.sha1(data, usedforsecurity=False).hexdigest().encode()
