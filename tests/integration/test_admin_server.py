"""The admin server on real TCP and Unix sockets: raw bytes, curl, hostile clients."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from master.admin import connection as limits
from master.admin import server
from tests.kit.admin import Served, serving
from tests.kit.client import Connection, fetch
from tests.kit.process import wait_for
from tests.kit.view import LiveView, live_view, one_cluster


@pytest.fixture
def view() -> Iterator[LiveView]:
    with live_view(one_cluster()) as made:
        yield made


@pytest.fixture
def served(view: LiveView, tmp_path: Path) -> Iterator[Served]:
    with serving(view, tmp_path) as where:
        yield where


def request(target: str, *, method: str = "GET", host: str = "127.0.0.1", more: str = "") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()


def closed(connection: Connection) -> bool:
    with contextlib.suppress(ConnectionResetError):
        return connection.rest() == b""
    return True


def test_a_reply_has_envoys_headers_in_envoys_order(served: Served) -> None:
    response = fetch(served.tcp, request("/ready"))
    names = [name for name, _ in response.headers]
    assert names == [
        "content-type", "cache-control", "x-content-type-options", "date", "server", "transfer-encoding",
    ]  # fmt: skip
    assert response.body == b"LIVE\n"
    assert response.value("cache-control") == "no-cache, max-age=0"


def test_several_requests_on_one_connection_pipelined_and_with_bodies(served: Served) -> None:
    with Connection(served.tcp) as connection:
        connection.send(request("/ready") + request("/listeners") + request("/nope"))
        assert [connection.receive().status for _ in range(3)] == [200, 200, 404]
        connection.send(request("/ready", method="POST", more="Content-Length: 5\r\n") + b"hello" + request("/ready"))
        assert [connection.receive().body for _ in range(2)] == [b"LIVE\n"] * 2
        connection.send(request("/ready", method="HEAD"))
        assert connection.receive(method="HEAD").status == 200
        connection.send(request("/ready", more="Connection: close\r\n"))
        assert connection.receive().status == 200
        assert closed(connection)


def test_bytes_one_by_one(served: Served) -> None:
    with Connection(served.unix) as connection:
        for byte in request("/ready"):
            connection.send(bytes([byte]))
        assert connection.receive().body == b"LIVE\n"


def test_a_long_reply_arrives_whole(view: LiveView, served: Served) -> None:
    for number in range(5000):
        view.stats.counter(f"a.rather.long.name.of.a.counter.{number:06}").inc()
    lines = fetch(served.tcp, request("/stats?filter=rather")).body.splitlines()
    assert len(lines) == 5000
    assert len(b"\n".join(lines)) > 2 * limits.PIECE_BYTES


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\n\r\n", 426),
        (request("/", more="Content-Length: 1\r\nContent-Length: 2\r\n"), 400),
        (request("/", more="Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), 400),
        (request("/", more="x: " + "y" * limits.MAX_HEAD_BYTES + "\r\n"), 431),
        (request("/", more="x: y\r\n" * (limits.MAX_HEADERS + 1)), 431),
        (request("/", method="POST", more=f"Content-Length: {limits.MAX_BODY_BYTES + 1}\r\n")
         + b"x" * (limits.MAX_BODY_BYTES + 1), 413),
    ],
)  # fmt: skip
def test_broken_and_oversized_requests_end_the_connection(served: Served, data: bytes, status: int) -> None:
    with Connection(served.tcp) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send(data)
        response = connection.receive()
        assert response.status == status
        assert response.value("connection") == "close"
        assert closed(connection)
    assert fetch(served.tcp, request("/ready")).status == 200


@pytest.mark.parametrize("host", ["evil.com", "evil.com:9901", "127.0.0.1.evil.com"])
def test_dns_rebinding_reads_nothing_over_tcp(served: Served, host: str) -> None:
    response = fetch(served.tcp, request("/config_dump", host=host))
    assert response.status == 403
    assert b"configs" not in response.body
    # The Unix socket is for its owner, whatever Host a tool sends.
    assert fetch(served.unix, request("/ready", host=host)).status == 200


def test_a_page_of_another_origin_cannot_stop_the_proxy(view: LiveView, served: Served) -> None:
    host = f"{served.tcp[0]}:{served.tcp[1]}"
    for origin in ("http://evil.com", "null", "http://127.0.0.1:1"):
        response = fetch(served.tcp, request("/quitquitquit", method="POST", host=host, more=f"Origin: {origin}\r\n"))
        assert response.status == 403
    assert view.orders == []
    own = request("/quitquitquit", method="POST", host=host, more=f"Origin: http://{host}\r\nConnection: close\r\n")
    assert fetch(served.tcp, own).body == b"OK\n"


def test_get_never_changes_anything(view: LiveView, served: Served) -> None:
    for target in ("/quitquitquit", "/workers?count=2"):
        response = fetch(served.unix, request(target))
        assert (response.status, response.body) == (405, b"Method GET not allowed, POST required.")
    assert view.orders == []


def test_an_order_is_carried_out_after_the_answer(view: LiveView, served: Served) -> None:
    with Connection(served.unix) as connection:
        connection.send(request("/quitquitquit", method="POST"))
        assert connection.receive().body == b"OK\n"
        connection.send(request("/ready"))  # answered only when the order was given
        assert connection.receive().status == 200
    assert view.orders == ["shutdown"]


def test_clients_that_vanish_at_any_moment_do_no_harm(served: Served) -> None:
    whole = request("/stats")
    for cut in (0, 1, 20, len(whole)):
        with Connection(served.tcp) as connection:
            connection.send(whole[:cut])
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # close by RST
    assert fetch(served.tcp, request("/ready")).status == 200


def test_a_full_tcp_listener_does_not_lock_out_the_unix_socket(served: Served) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(server.MAX_CONNECTIONS + 8):
            stack.enter_context(Connection(served.tcp))
        assert fetch(served.unix, request("/ready")).status == 200
    assert fetch(served.tcp, request("/ready")).status == 200


def test_who_is_silent_is_dropped(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUEST_TIMEOUT", 0.05)
    monkeypatch.setattr(limits, "IDLE_TIMEOUT", 0.05)
    with Connection(served.tcp) as silent, Connection(served.tcp) as slow:
        slow.send(b"GET / HT")
        assert closed(silent)
        assert closed(slow)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_over_both_sockets(served: Served) -> None:
    over_tcp = ["curl", "-s", f"http://{served.tcp[0]}:{served.tcp[1]}/ready"]
    over_unix = ["curl", "-s", "--unix-socket", str(served.unix), "http://localhost/ready"]
    for command in (over_tcp, over_unix):
        assert subprocess.run(command, capture_output=True, timeout=20, check=True).stdout == b"LIVE\n"


def test_prometheus_reads_what_is_scraped(view: LiveView, served: Served) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    view.stats.counter("cluster.back.external.upstream_rq_200").inc(3)
    view.stats.histogram("cluster.back.external.upstream_rq_time").record(12)
    text = fetch(served.tcp, request("/stats/prometheus")).body.decode()
    families = {family.name: family for family in parser.text_string_to_metric_families(text)}
    (sample,) = families["envoy_cluster_upstream_rq"].samples
    assert (sample.labels["envoy_response_code"], sample.value) == ("200", 3)
    assert families["envoy_cluster_upstream_rq_time"].type == "histogram"


def counted(served: Served) -> dict[str, int]:
    stats = json.loads(fetch(served.unix, request("/stats?format=json&filter=admin")).body)["stats"]
    return {stat["name"]: stat["value"] for stat in stats if "name" in stat}


def test_the_admin_interface_counts_itself(served: Served) -> None:
    for target, method in (("/ready", "GET"), ("/nope", "GET"), ("/quitquitquit", "GET"), ("/ready", "POST")):
        fetch(served.tcp, request(target, method=method))
    with Connection(served.tcp) as connection:
        connection.send(b"nonsense\r\n\r\n")
        connection.receive()
    counters = counted(served)
    assert counters["http.admin.downstream_rq_2xx"] == 2
    assert counters["http.admin.downstream_rq_4xx"] == 2
    assert counters["listener.admin.http.admin.downstream_rq_4xx"] == 2
    assert counters["http.admin.downstream_rq_total"] == 5  # with the one that asks
    assert counters["http.admin.downstream_cx_protocol_error"] == 1
    assert counters["listener.admin.downstream_cx_total"] == counters["http.admin.downstream_cx_total"] == 6
    with Connection(served.tcp) as connection:
        connection.send(request("/ready"))
        connection.receive()
        assert counted(served)["listener.admin.downstream_cx_active"] >= 2


def test_a_flush_turns_new_samples_into_the_interval(
    view: LiveView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "FLUSH_INTERVAL", 1.5)
    view.stats.histogram("h").record(300)
    with serving(view, tmp_path) as where:

        def shown() -> bytes:
            return fetch(where.unix, request("/stats?filter=^h$")).body

        assert shown().startswith(b"h: P0(nan,305)")
        view.stats.histogram("h").record(12)
        wait_for(lambda: b"P0(12.5,12.5) " in shown(), deadline=30, what="the sample stands in an interval")
        wait_for(lambda: b"P0(nan,12.5) " in shown(), deadline=30, what="the interval is over")
