"""Ending a listening socket without resetting anybody: no more connections come, those that wait are still accepted.

Closing or shutting down a TCP listening socket resets every connection in its queue. So first its SYNs are dropped, by
a classic BPF filter on the socket, which needs no privilege; handshakes under way complete. Then the workers empty the
queue, and only then it is shut down, which refuses connections. A client whose SYN was dropped sends it again a second
later and is refused then.
"""

from __future__ import annotations

import ctypes
import select
import socket
import struct

_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27  # asm-generic/socket.h
_TCP_FLAGS, _SYN, _SYN_OR_ACK = 13, 0x02, 0x12  # offset in the TCP header, where the filter's packet begins

_DROP_SYN = (  # (code, jump if true, jump if false, k): linux/bpf_common.h
    (0x30, 0, 0, _TCP_FLAGS),  # load the byte of flags
    (0x54, 0, 0, _SYN_OR_ACK),  # and
    (0x15, 0, 1, _SYN),  # a SYN without an ACK?
    (0x06, 0, 0, 0),  # drop it
    (0x06, 0, 0, 0xFFFFFFFF),  # keep all of it
)


def refuse(sock: socket.socket) -> None:
    """Let no new connection into the queue of `sock`. A Unix socket refuses at once; what waits is still accepted."""
    if sock.family == socket.AF_UNIX:
        sock.shutdown(socket.SHUT_RDWR)
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in _DROP_SYN))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(_DROP_SYN), ctypes.addressof(program)))


def admit(sock: socket.socket) -> None:
    """The inverse of `refuse`, for TCP."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)


def waiting(sock: socket.socket) -> bool:
    """Whether a connection waits to be accepted."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
