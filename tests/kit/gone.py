"""A peer that has connected and gone with a reset before anybody looked at its socket."""

from __future__ import annotations

import select
import socket
import struct


def gone() -> socket.socket:
    """The non-blocking socket of the one who stays."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        sock, _ = listener.accept()
    sock.setblocking(False)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    news = select.poll()
    news.register(sock, 0)  # POLLERR comes unasked
    assert news.poll(5000)
    return sock
