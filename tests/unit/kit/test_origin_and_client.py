"""The origin does what requests script, and the client reads what comes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.client import Connection, ConnectionEnded, fetch, get
from tests.kit.origin import Origin, pattern


@pytest.fixture(scope="module")
def origin() -> Iterator[tuple[str, int]]:
    with Origin() as running:
        yield running.host, running.port


def test_echo_tells_what_arrived(origin: tuple[str, int]) -> None:
    response = fetch(origin, b"POST /a?b=1 HTTP/1.1\r\nHost: h\r\nX-A:  1\r\nx-a: 2\r\ncontent-length: 3\r\n\r\nabc")
    echo = json.loads(response.body)
    assert (echo["method"], echo["target"], echo["version"]) == ("POST", "/a?b=1", "HTTP/1.1")
    assert echo["headers"] == [["Host", "h"], ["X-A", "1"], ["x-a", "2"], ["content-length", "3"]]
    assert echo["body_length"] == 3
    assert echo["body_sha256"] == hashlib.sha256(b"abc").hexdigest()


def test_chunked_request_with_trailers(origin: tuple[str, int]) -> None:
    response = fetch(
        origin,
        b"PUT / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nx-t: 1\r\n\r\n",
    )
    echo = json.loads(response.body)
    assert (echo["body_length"], echo["trailers"]) == (5, [["x-t", "1"]])


def test_one_connection_serves_many_requests(origin: tuple[str, int]) -> None:
    with Connection(origin) as connection:
        echoes = [json.loads(connection.request(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").body) for _ in range(3)]
    assert [echo["request"] for echo in echoes] == [1, 2, 3]
    assert len({echo["connection"] for echo in echoes}) == 1


@pytest.mark.parametrize("script", ["body=100000", "chunked=100000&chunk=999", "until_close=100000"])
def test_bodies_of_every_framing(origin: tuple[str, int], script: str) -> None:
    assert get(origin, f"/?{script}").body == pattern(100000)


def test_status_reason_headers_and_trailers(origin: tuple[str, int]) -> None:
    response = get(origin, "/?status=418&reason=Tea+pot&header=X-B:+2&header=X-B:+3&chunked=5&trailer=x-t:9")
    assert (response.status, response.reason) == (418, "Tea pot")
    assert response.values("x-b") == ["2", "3"]
    assert response.trailers == [("x-t", "9")]


def test_script_in_a_header(origin: tuple[str, int]) -> None:
    assert get(origin, "/?status=500", "h", "x-script: status=204").status == 204


def test_head_has_no_body(origin: tuple[str, int]) -> None:
    response = fetch(origin, b"HEAD /?body=7 HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
    assert (response.value("content-length"), response.body) == ("7", b"")


def test_informational_responses_come_first(origin: tuple[str, int]) -> None:
    response = get(origin, "/?informational=103&informational=103")
    assert [before.status for before in response.informational] == [103, 103]
    assert response.status == 200


@pytest.mark.parametrize("reset", ["", "&reset=1"])
@pytest.mark.parametrize("close", ["before", "head", "half"])
def test_closes_early(origin: tuple[str, int], close: str, reset: str) -> None:
    with pytest.raises(ConnectionEnded) as ended:
        get(origin, f"/?body=100000&close={close}{reset}")
    if not reset:  # a reset may overtake what was sent before it
        assert bool(ended.value.partial) == (close != "before")


def test_early_response_before_the_body(origin: tuple[str, int]) -> None:
    with Connection(origin) as connection:
        connection.send(b"POST /?early=1&status=413 HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\n")
        assert connection.receive().status == 413
        connection.send(b"0123456789GET / HTTP/1.1\r\nhost: h\r\n\r\n")
        assert connection.receive().status == 200


def test_raw_bytes_then_close(origin: tuple[str, int]) -> None:
    with Connection(origin) as connection:
        connection.send(b"GET /?raw=SSH-2.0%0d%0a%ff HTTP/1.1\r\nhost: h\r\n\r\n")
        assert connection.rest() == b"SSH-2.0\r\n\xff"


def test_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "origin.sock"
    with Origin(unix=path):
        assert get(path).status == 200


def test_nothing_answers_after_close() -> None:
    with Origin() as origin:
        address = (origin.host, origin.port)
    with pytest.raises(ConnectionRefusedError):
        get(address)
