"""What the load generators print, and what is made of it."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from typing import Any

import pytest

from bench import download
from bench.figures import Unfit
from bench.load import MARKER, parse

_FIGURES: dict[str, Any] = {
    "requests": 4_000,
    "microseconds": 2_000_000,
    "p50": 1500.0,
    "p99": 4000.5,
    "p999": 9000.0,
    "errors": {"connect": 0, "read": 0, "write": 0, "status": 0, "timeout": 0},
}
_WRK = """\
Running 2s test @ http://127.0.0.1:8080/
  1 threads and 32 connections
Requests/sec:  2000.00
"""


def printed(**changes: Any) -> str:
    return f"{_WRK}{MARKER}{json.dumps({**_FIGURES, **changes})}\n"


def test_figures_are_found_behind_what_wrk_says_itself() -> None:
    outcome = parse(printed())
    assert outcome.rps == 2_000
    assert (outcome.requests, outcome.p50, outcome.p99, outcome.p999) == (4_000, 1500, 4000.5, 9000)


@pytest.mark.parametrize("cause", ["connect", "read", "write", "status", "timeout"])
def test_one_error_of_any_kind_voids_the_run(cause: str) -> None:
    with pytest.raises(Unfit, match=f"errors in 4000 requests: 1 {cause}"):
        parse(printed(errors={**_FIGURES["errors"], cause: 1}))


def test_a_run_that_served_nothing_is_void() -> None:
    with pytest.raises(Unfit, match="no request"):
        parse(printed(requests=0))


def test_what_was_printed_instead_of_figures_is_the_reason() -> None:
    with pytest.raises(Unfit, match="unable to connect"):
        parse("unable to connect to 127.0.0.1:1 Connection refused\n")


_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n"


@pytest.mark.parametrize(
    ("response", "whole"),
    [
        (_HEAD + bytes(300_000), True),
        (_HEAD + bytes(299_999), False),
        (_HEAD[:20], False),
        (_HEAD.replace(b"200", b"503") + bytes(300_000), False),
        (b"HTTP/1.1 200 OK\r\n\r\n", False),
    ],
)
def test_a_download_counts_only_when_it_is_whole(response: bytes, whole: bool) -> None:
    client, server = socket.socketpair()

    def answer() -> None:
        with server, contextlib.suppress(BrokenPipeError):  # the client may have seen enough
            server.recv(1024)
            server.sendall(response)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        with client:
            client.settimeout(10)
            assert download.fetch(client, b"GET / HTTP/1.1\r\n\r\n", bytearray(65_536)) is whole
    finally:
        thread.join()
