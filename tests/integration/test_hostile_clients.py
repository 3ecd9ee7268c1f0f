"""Hostile peers against the running proxy: each ends by a limit or a deadline, and another client never waits for it.

Beside every attack an honest client asks all the time, and the worker's memory is watched.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from tests.kit.bootstrap import bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.client import Connection, get
from tests.kit.origin import Origin
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy

REQUEST = b"GET /?body=5 HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\n"
HONEST_WAIT = 5.0  # s, far above what an answer takes on a busy machine, far below "hangs"
GROWTH = 48 * 1024 * 1024  # bytes that a worker may grow by; each attack offers more, or much more
ENDED = 15.0  # s


class RawOrigin:
    """An origin that answers every connection with what `feed` yields, until the proxy goes away."""

    def __init__(self, feed: Callable[[], Iterator[bytes]]) -> None:
        self._feed = feed
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0
        self.left = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.accepted += 1
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(ENDED)
        with client, contextlib.suppress(OSError):
            if client.recv(65536):
                for piece in self._feed():
                    client.sendall(piece)
                while client.recv(65536):
                    pass
        self.left += 1

    def close(self) -> None:
        self._listener.close()


def endless(head: bytes, piece: bytes) -> Callable[[], Iterator[bytes]]:
    def feed() -> Iterator[bytes]:
        yield head
        while True:
            yield piece

    return feed


def once(data: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: iter((data,))


OK = b"HTTP/1.1 200 OK\r\n"
UPSTREAMS = {
    "informational": endless(b"", b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n" * 100),
    "headers": endless(OK, b"x: y\r\n" * 1000),
    "line": endless(b"HTTP/1.1 200 ", b"O" * 65536),
    "extension": endless(OK + b"transfer-encoding: chunked\r\n\r\n1;", b"x" * 65536),
    "trailers": endless(OK + b"transfer-encoding: chunked\r\n\r\n0\r\n", b"x: y\r\n" * 1000),
    "both": once(OK + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    "switching": once(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
    "lengths": once(OK + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabcd"),
    "chunk": once(OK + b"transfer-encoding: chunked\r\n\r\nxyz\r\nabc\r\n"),
    "surplus": once(OK + b"content-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"),
}


@pytest.fixture(scope="module")
def rawest() -> Iterator[dict[str, RawOrigin]]:
    origins = {name: RawOrigin(feed) for name, feed in UPSTREAMS.items()}
    yield origins
    for origin in origins.values():
        origin.close()


@pytest.fixture(scope="module")
def proxy(rawest: dict[str, RawOrigin]) -> Iterator[Proxy]:
    with Origin() as origin, Origin() as calm:
        routes = [route(f"/raw/{name}", name, timeout="3s") for name in rawest]
        everything = virtual_host("everything", ["*"], *routes, route("/honest", "calm"), route("/", "origin"))
        listener = http_listener(
            everything,
            request_headers_timeout="1s",
            stream_idle_timeout="2s",
            common_http_protocol_options={"idle_timeout": "2s"},
        )
        clusters = [static_cluster(name, raw.port) for name, raw in rawest.items()]
        clusters += [static_cluster("origin", origin.port), static_cluster("calm", calm.port)]
        text = bootstrap([listener], clusters)
        with Proxy(text, concurrency=1) as running:
            yield running


def worker(proxy: Proxy) -> psutil.Process:
    (pid,) = [process["pid"] for process in proxy.processes() if process["role"] == "worker"]
    return psutil.Process(pid)


@pytest.fixture
def honest(proxy: Proxy) -> Iterator[None]:
    """A client that is answered all through the test, by a worker that does not grow much and does not die.

    Its origin is one that no attack keeps busy.
    """
    process = worker(proxy)
    before, peak = process.memory_info().rss, 0
    waits: list[float] = []
    faults: list[object] = []
    over = threading.Event()

    def ask() -> None:
        nonlocal peak
        while not over.is_set():
            began = time.monotonic()
            try:
                answer = get(proxy.address(), "/honest?body=5")
                if answer.status != 200:
                    faults.append(answer)
            except OSError as error:
                faults.append(error)
            waits.append(time.monotonic() - began)
            peak = max(peak, process.memory_info().rss)
            over.wait(0.02)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        over.set()
        asking.join()
    assert faults == []
    assert waits
    assert max(waits) < HONEST_WAIT
    assert peak - before < GROWTH
    assert worker(proxy).pid == process.pid


def closes(connection: Connection, deadline: float = ENDED) -> bytes:
    """All that comes before the proxy ends the connection, which it must."""
    connection.sock.settimeout(deadline)
    seen = b""
    with contextlib.suppress(ConnectionResetError):
        while data := connection.sock.recv(65536):
            seen += data
    return seen


def pour(connection: Connection, piece: bytes, limit: int = 64 * 1024 * 1024) -> int:
    """Send `piece` again and again until the proxy has had enough; says how many bytes it took."""
    sent = 0
    connection.sock.settimeout(ENDED)
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while sent < limit:
            connection.sock.sendall(piece)
            sent += len(piece)
    return sent


@pytest.mark.usefixtures("honest")
@pytest.mark.parametrize("start", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: h\r\nx: "])
def test_slow_headers(proxy: Proxy, start: bytes) -> None:
    """One byte now and then does not put off `request_headers_timeout`."""
    with Connection(proxy.address()) as connection:
        connection.send(start)
        answered = threading.Event()

        def dribble() -> None:
            with contextlib.suppress(OSError):
                while not answered.wait(0.2):
                    connection.send(b"a")

        dribbling = threading.Thread(target=dribble)
        dribbling.start()
        try:
            assert closes(connection).startswith(b"HTTP/1.1 408 ")
        finally:
            answered.set()
            dribbling.join()


@pytest.mark.usefixtures("honest")
@pytest.mark.parametrize("framing", [b"content-length: 100\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n64\r\n"])
def test_slow_bodies(proxy: Proxy, framing: bytes) -> None:
    with Connection(proxy.address()) as connection:
        connection.send(POST + framing + b"abc")
        assert closes(connection).startswith(b"HTTP/1.1 408 ")


@pytest.mark.usefixtures("honest")
def test_slow_readers(proxy: Proxy) -> None:
    """Nobody reads 50 large responses: they wait in the origin, and `stream_idle_timeout` ends them."""
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            sock = stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(proxy.address())
            sock.sendall(b"GET /?chunked=16000000&chunk=65000 HTTP/1.1\r\nHost: h\r\n\r\n")

        def ended() -> bool:
            return proxy.stats()["http.main.downstream_rq_idle_timeout"] >= before + 50

        before = proxy.stats()["http.main.downstream_rq_idle_timeout"]
        wait_for(ended, deadline=30, what="every stream that nobody reads has ended")


@pytest.mark.usefixtures("honest")
@pytest.mark.parametrize(
    ("start", "piece", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: h\r\n", b"x: y\r\n" * 1000, b"431"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nx: ", b"y" * 65536, b"431"),
        (b"GET /", b"y" * 65536, b"431"),
        (POST + b"transfer-encoding: chunked\r\n\r\n1;", b"x" * 65536, b"400"),
        (POST + b"transfer-encoding: chunked\r\n\r\n", b"0" * 65536, b"400"),
        (POST + b"transfer-encoding: chunked\r\n\r\n0\r\n", b"x: y\r\n" * 1000, b"431"),
        (b"", b"\r\n" * 1000, b"400"),
    ],
    ids=["headers", "header", "target", "chunk-extension", "chunk-size", "trailers", "empty-lines"],
)
def test_endless(proxy: Proxy, start: bytes, piece: bytes, status: bytes) -> None:
    with Connection(proxy.address()) as connection:
        connection.send(start)
        taken = pour(connection, piece)
        seen = closes(connection)
    assert taken < 16 * 1024 * 1024
    assert seen[9:12] in (status, b"")  # the reset that follows our close may overtake the answer


@pytest.mark.usefixtures("honest")
def test_pipelining_flood(proxy: Proxy) -> None:
    """The next request waits until the answer before it was taken, so a flood fills the client's own buffers."""
    with Connection(proxy.address()) as connection:
        connection.sock.settimeout(3)
        sent = 0
        with contextlib.suppress(TimeoutError, ConnectionResetError, BrokenPipeError):
            while sent < 256 * 1024 * 1024:
                sent += connection.sock.send(REQUEST * 1000)
        assert sent < 128 * 1024 * 1024


@pytest.mark.usefixtures("honest")
def test_1000_connections_with_one_byte_each(proxy: Proxy) -> None:
    with contextlib.ExitStack() as stack:
        sockets = []
        for _ in range(1000):
            sock = stack.enter_context(socket.create_connection(proxy.address(), timeout=ENDED))
            sock.sendall(b"G")
            sockets.append(sock)
        for sock in sockets:
            with contextlib.suppress(ConnectionResetError):
                while sock.recv(4096):
                    pass


@pytest.mark.usefixtures("honest")
@pytest.mark.parametrize("name", ["informational", "headers", "line", "both", "switching", "lengths"])
def test_upstream_faults_before_a_response(proxy: Proxy, rawest: dict[str, RawOrigin], name: str) -> None:
    for _ in range(2):
        answer = get(proxy.address(), f"/raw/{name}")
        assert answer.status == 502
    wait_for(lambda: rawest[name].left == 2, deadline=ENDED, what="both connections to the upstream have ended")
    assert rawest[name].accepted == 2


@pytest.mark.usefixtures("honest")
@pytest.mark.parametrize("name", ["extension", "trailers", "chunk"])
def test_upstream_faults_within_a_response(proxy: Proxy, rawest: dict[str, RawOrigin], name: str) -> None:
    """The client gets a 502, or can tell that its response is not complete."""
    for _ in range(2):
        with Connection(proxy.address()) as connection:
            connection.send(f"GET /raw/{name} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
            assert not closes(connection).endswith(b"0\r\n\r\n")
    wait_for(lambda: rawest[name].left == 2, deadline=ENDED, what="both connections to the upstream have ended")
    assert rawest[name].accepted == 2


@pytest.mark.usefixtures("honest")
def test_surplus_of_an_upstream_is_nobodys_response(proxy: Proxy, rawest: dict[str, RawOrigin]) -> None:
    with Connection(proxy.address()) as connection:
        for _ in range(3):
            answer = connection.request(b"GET /raw/surplus HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (answer.status, answer.body) == (200, b"ok")
    assert rawest["surplus"].accepted == 3
