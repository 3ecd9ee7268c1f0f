"""The PROXY protocol as we speak it: whose a connection is, before its first byte (HAProxy's `proxy-protocol.txt`)."""

from __future__ import annotations

import socket
import struct
from typing import Literal

from proxy.config.common import Address, PipeAddress

Version = Literal["V1", "V2"]

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_LOCAL, _PROXY = 0x20, 0x21  # version 2, and the command
_TCP4, _TCP6 = 0x11, 0x21

LOCAL = struct.pack("!12sBBH", _SIGNATURE, _LOCAL, 0, 0)
"""Of a connection that is nobody's but ours."""


def header(version: Version, remote: Address, local: Address) -> bytes:
    """What says that the bytes behind it are those of a connection from `remote` to `local`. Of a Unix socket, and
    of a client that has gone before anybody asked, it says that there is nothing to tell, and the receiver takes our
    own address for the client's.
    """
    if isinstance(remote, PipeAddress) or isinstance(local, PipeAddress) or not remote.host:
        return b"PROXY UNKNOWN\r\n" if version == "V1" else LOCAL
    sixth = ":" in remote.host
    if version == "V1":
        kind = "TCP6" if sixth else "TCP4"
        return f"PROXY {kind} {remote.host} {local.host} {remote.port} {local.port}\r\n".encode()
    family = socket.AF_INET6 if sixth else socket.AF_INET
    addresses = b"".join(socket.inet_pton(family, host.partition("%")[0]) for host in (remote.host, local.host))
    ports = struct.pack("!HH", remote.port, local.port)
    size = len(addresses) + len(ports)
    return struct.pack("!12sBBH", _SIGNATURE, _PROXY, _TCP6 if sixth else _TCP4, size) + addresses + ports
