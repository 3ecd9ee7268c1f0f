"""This machine's own address, as others may see it."""

from __future__ import annotations

import fcntl
import socket
import struct

_SIOCGIFADDR = 0x8915
_IFNAMSIZ = 16


def own_address() -> str:
    """The first IPv4 address of an interface that is not a loopback address; 127.0.0.1 if there is none.

    What Envoy calls the local address (`Utility::getLocalAddress`): its interfaces in the kernel's order.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[: _IFNAMSIZ - 1])
            try:
                answer = fcntl.ioctl(sock, _SIOCGIFADDR, request)
            except OSError:  # the interface has no IPv4 address, or went away
                continue
            host = socket.inet_ntoa(answer[20:24])
            if not host.startswith("127."):
                return host
    return "127.0.0.1"
