"""Tunnels through the running program: half-closes, bulk, and a restart that cuts none."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.integration.restart.restarting import restart
from tests.kit.bootstrap import bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.client import Address
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy
from tests.kit.tunnel_origin import TcpEcho, TunnelOrigin

ASK = b"GET /%b HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
CONNECT = b"CONNECT far.example:80 HTTP/1.1\r\nhost: far.example:80\r\n\r\n"
BULK = 32 * 1024 * 1024
FLOOD = 128 * 1024 * 1024  # more than all of the kernel's buffers on the way there and back
TUNNELS = 200


@pytest.fixture
def origin() -> Iterator[TunnelOrigin]:
    with TunnelOrigin() as origin:
        yield origin


def config(origin: TunnelOrigin, far: int = 1) -> str:
    terminated = [{"upgrade_type": "CONNECT", "connect_config": {}}]
    to_far = {"match": {"connect_matcher": {}}, "route": {"cluster": "far", "upgrade_configs": terminated}}
    hosts = [virtual_host("far", ["far.example:80"], to_far), virtual_host("all", ["*"], route("/", "origin"))]
    listener = http_listener(*hosts, name="web", upgrade_configs=[{"upgrade_type": "websocket"}])
    return bootstrap([listener], [static_cluster("origin", origin.port), static_cluster("far", far)])


def opened(address: Address, data: bytes) -> socket.socket:
    """A tunnel, its head read."""
    assert isinstance(address, tuple)
    sock = socket.create_connection(address, 30)
    sock.sendall(data)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    assert head.split(b" ", 2)[1] in (b"101", b"200"), head
    return sock


def rest(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def test_the_end_of_either_side_leaves_the_other_way_open(origin: TunnelOrigin) -> None:
    with Proxy(config(origin)) as proxy:
        with opened(proxy.address(), ASK % b"digest") as sock:
            sock.sendall(b"abc")
            sock.shutdown(socket.SHUT_WR)
            assert rest(sock) == hashlib.sha1(b"abc").hexdigest().encode()
        with opened(proxy.address(), ASK % b"bye") as sock:
            assert rest(sock) == b"bye"
            sock.sendall(b"said later")
        wait_for(lambda: origin.left == [b"said later"], deadline=20, what="the rest has arrived")


@pytest.mark.parametrize("data", [ASK % b"digest", CONNECT])
def test_bulk(origin: TunnelOrigin, data: bytes) -> None:
    with (
        TcpEcho(digest=True) as far,
        Proxy(config(origin, far.port)) as proxy,
        opened(proxy.address(), data) as sock,
    ):
        digest = hashlib.sha1(usedforsecurity=False)
        piece = os.urandom(1 << 20)
        for _ in range(BULK // len(piece)):
            sock.sendall(piece)
            digest.update(piece)
        sock.shutdown(socket.SHUT_WR)
        assert rest(sock) == digest.hexdigest().encode()


def test_a_client_that_does_not_read_holds_the_upstream_back(origin: TunnelOrigin) -> None:
    with Proxy(config(origin)) as proxy, opened(proxy.address(), ASK % b"echo") as sock:
        sent = 0

        def send() -> None:
            nonlocal sent
            with contextlib.suppress(OSError):
                while sent < FLOOD:
                    sent += sock.send(bytes(1 << 16))
                sock.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        thread.join(1.5)
        assert sent < FLOOD
        assert len(rest(sock)) == FLOOD


def test_sessions_name_it(origin: TunnelOrigin) -> None:
    with Proxy(config(origin)) as proxy, opened(proxy.address(), ASK % b"echo"):
        (session,) = json.loads(proxy.admin("/sessions?format=json").body)["sessions"]
        assert session["kind"] == "upgrade"
        assert session["waits_for"] == "either end of the tunnel to close it"


def test_a_restart_cuts_none_before_the_drain_is_over(origin: TunnelOrigin) -> None:
    with (
        Proxy(config(origin), concurrency=2, arguments=("--parent-shutdown-time-s", "60")) as proxy,
        contextlib.ExitStack() as stack,
    ):
        tunnels = [stack.enter_context(opened(proxy.address(), ASK % b"echo")) for _ in range(TUNNELS)]
        done = restart(proxy)
        assert done.returncode == 0, done.stderr
        for number, sock in enumerate(tunnels):
            sock.sendall(b"%06d" % number)
            assert sock.recv(6, socket.MSG_WAITALL) == b"%06d" % number
        with opened(proxy.address(), ASK % b"echo") as late:
            late.sendall(b"new")
            assert late.recv(3, socket.MSG_WAITALL) == b"new"
