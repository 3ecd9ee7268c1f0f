"""Deadlines of one admin connection, on a socket pair."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest
import trio

from master.admin import connection as admin
from master.admin.connection import Connection
from master.admin.own_stats import AdminStats
from master.admin.page import Context
from master.stats.aggregate import Intervals
from tests.kit.trio import run_trio
from tests.kit.view import LiveView, live_view

REQUEST = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"


@contextlib.contextmanager
def pair(view: LiveView) -> Iterator[tuple[Connection, socket.socket]]:
    """A connection over a Unix socket pair and its client's end, both non-blocking."""
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    connection = Connection(ours, Context(view, Intervals({})), AdminStats(view.admin_stats))
    try:
        yield connection, theirs
    finally:
        connection.close()
        theirs.close()


@run_trio
async def test_who_does_not_read_is_dropped() -> None:
    with live_view() as view, pair(view) as (connection, client), pytest.MonkeyPatch.context() as patch:
        patch.setattr(admin, "SEND_TIMEOUT", 0.05)
        for number in range(2000):
            view.stats.counter(f"{'long.' * 200}{number:06}").inc()  # two megabytes of text
        client.send(REQUEST % b"/stats")
        await connection.serve()


@run_trio
async def test_a_page_that_takes_too_long_is_given_up() -> None:
    class Stuck(LiveView):
        async def set_workers(self, count: int) -> None:
            await trio.sleep_forever()

    with live_view() as view, pytest.MonkeyPatch.context() as patch:
        patch.setattr(admin, "ANSWER_TIMEOUT", 0.05)
        view.__class__ = Stuck
        with pair(view) as (connection, client):
            client.send(b"POST /workers?count=2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            await connection.serve()
            assert client.recv(65536).startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")


@run_trio(virtual_time=True)
async def test_a_client_that_closes_at_once_is_no_error() -> None:
    with live_view() as view, pair(view) as (connection, client):
        client.shutdown(socket.SHUT_WR)
        await connection.serve()


@run_trio(virtual_time=True)
async def test_a_request_cut_short_gets_no_answer() -> None:
    with live_view() as view, pair(view) as (connection, client):
        client.send(b"GET / HTTP/1.1\r\nHo")
        client.shutdown(socket.SHUT_WR)
        await connection.serve()
        with pytest.raises(BlockingIOError):
            client.recv(1)


@run_trio
async def test_an_order_holds_even_if_the_client_does_not_wait_for_the_answer() -> None:
    with live_view() as view, pair(view) as (connection, client):
        client.send(b"POST /quitquitquit HTTP/1.1\r\nHost: x\r\n\r\n")
        client.close()
        await connection.serve()
        assert view.orders == ["shutdown"]


@run_trio
async def test_an_expected_body_is_asked_for() -> None:
    with live_view() as view, pair(view) as (connection, client):
        client.send(b"POST /ready HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.serve)
            await trio.lowlevel.wait_readable(client)
            assert client.recv(65536).startswith(b"HTTP/1.1 100 Continue\r\n")
            client.send(b"ok")
            await trio.lowlevel.wait_readable(client)
            assert client.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
            client.shutdown(socket.SHUT_WR)
