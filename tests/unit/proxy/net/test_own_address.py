"""Our own address, as the kernel tells it."""

from __future__ import annotations

import socket

from proxy.net.own_address import own_address


def test_it_is_one_that_we_can_bind() -> None:
    with socket.socket() as sock:
        sock.bind((own_address(), 0))
