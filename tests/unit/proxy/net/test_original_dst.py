"""Where a client wanted to connect to. What netfilter answers is put in its place; no test machine redirects for us."""

from __future__ import annotations

import socket
from typing import Any, cast

import pytest

from proxy.config.common import SocketAddress
from proxy.net.original_dst import original_destination


class Redirected:
    """As a socket of `family`, of which netfilter knows `answer`."""

    def __init__(self, family: int, answer: bytes) -> None:
        self.family = family
        self.answer = answer
        self.asked: list[tuple[int, int]] = []

    def getsockopt(self, level: int, option: int, length: int) -> bytes:
        self.asked.append((level, option))
        assert len(self.answer) == length
        return self.answer


@pytest.mark.parametrize(
    ("family", "answer", "level", "expected"),
    [
        (
            socket.AF_INET,
            b"\x02\x00" + (8080).to_bytes(2, "big") + socket.inet_aton("192.0.2.7") + bytes(8),
            socket.SOL_IP,
            SocketAddress("192.0.2.7", 8080),
        ),
        (
            socket.AF_INET6,
            b"\x0a\x00"
            + (443).to_bytes(2, "big")
            + bytes(4)
            + socket.inet_pton(socket.AF_INET6, "2001:db8::7")
            + bytes(4),
            41,
            SocketAddress("2001:db8::7", 443),
        ),
    ],
)
def test_what_netfilter_says(family: int, answer: bytes, level: int, expected: SocketAddress) -> None:
    sock = Redirected(family, answer)
    assert original_destination(cast(Any, sock)) == expected
    assert sock.asked == [(level, 80)]


def test_nobody_has_redirected_this_one() -> None:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.create_server((host, 0), family=family) as server:
            client = socket.create_connection(server.getsockname()[:2])
            with client, server.accept()[0] as accepted:
                assert original_destination(accepted) in (None, SocketAddress(*accepted.getsockname()[:2]))
    one, other = socket.socketpair()
    with one, other:
        assert original_destination(one) is None
