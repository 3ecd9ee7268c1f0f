"""Compiled socket settings of upstream connections (`config.core.v3.BindConfig`, `TcpKeepalive`). Data only."""

from __future__ import annotations

from typing import Literal

import msgspec

from proxy.config.common import SocketAddress


class SocketOption(msgspec.Struct, frozen=True, gc=False):
    """`config.core.v3.SocketOption`: setsockopt(2) by numbers."""

    level: int
    name: int
    value: int | bytes


class UpstreamSocket(msgspec.Struct, frozen=True):
    """What a socket to a host gets before it connects: `options`, in order, and an address of its own, the first of
    `sources` of the host's IP version, else the first; port 0 leaves it to the kernel. Unix sockets get nothing.
    """

    sources: tuple[SocketAddress, ...] = ()
    options: tuple[SocketOption, ...] = ()


class HappyEyeballs(msgspec.Struct, frozen=True, gc=False):
    """`UpstreamConnectionOptions.HappyEyeballsConfig`: `count` addresses of the IP version `first` are tried for one of
    the other; 0: the version of the first address.
    """

    first: Literal[0, 4, 6] = 0
    count: int = 1
