"""Connecting to a host that has several addresses: whichever answers first (RFC 8305 §4 and §5, as Envoy does it)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import trio

from proxy.config.cluster import Cluster, Host
from proxy.config.common import SocketAddress
from proxy.config.upstream_socket import HappyEyeballs
from proxy.upstream.connect import ConnectFailed, connect

if TYPE_CHECKING:
    from proxy.upstream.announced import Manner

NEXT_ATTEMPT: Final = 0.3
"""Seconds that an address has to itself; as in Envoy."""


async def connect_to(host: Host, config: Cluster, tls: Manner | None, another: Callable[[], None]) -> socket.socket:
    """A connection to `host`, as `connect` makes them. `another` is called for each attempt after the first one."""
    if not host.additional:
        return await connect(host.address, config.connect_timeout, tls, config.socket)
    assert isinstance(host.address, SocketAddress)
    addresses = in_order((host.address, *host.additional), config.happy_eyeballs)
    return await _Race(addresses, config, tls, another).run()


def in_order(addresses: Sequence[SocketAddress], settings: HappyEyeballs) -> tuple[SocketAddress, ...]:
    """`addresses` as they are tried: `count` of the first IP version, then one of the other, and so on."""
    version = settings.first or _version(addresses[0])
    first = [address for address in addresses if _version(address) == version]
    other = [address for address in addresses if _version(address) != version]
    tried: list[SocketAddress] = []
    while first or other:
        tried += first[: settings.count] + other[:1]
        first, other = first[settings.count :], other[1:]
    return tuple(tried)


def _version(address: SocketAddress) -> int:
    return 6 if ":" in address.host else 4


class _Race:
    """One attempt after the other, each beside those that have not failed yet, all within the connect timeout."""

    def __init__(
        self, addresses: Sequence[SocketAddress], config: Cluster, tls: Manner | None, another: Callable[[], None]
    ) -> None:
        self._addresses = addresses
        self._config = config
        self._tls = tls
        self._another = another
        self._winner: socket.socket | None = None
        self._failure: ConnectFailed | None = None

    async def run(self) -> socket.socket:
        """Raises `ConnectFailed` as the last one to fail does: as in Envoy, the reasons of the others are not told."""
        end = trio.current_time() + self._config.connect_timeout
        try:
            async with trio.open_nursery() as nursery:
                for number, address in enumerate(self._addresses):
                    if number:
                        self._another()
                    failed = trio.Event()
                    nursery.start_soon(self._attempt, address, end, failed, nursery.cancel_scope)
                    with trio.move_on_after(NEXT_ATTEMPT):
                        await failed.wait()
        except BaseException:
            if self._winner is not None:
                self._winner.close()
            raise
        if self._winner is not None:
            return self._winner
        assert self._failure is not None
        raise self._failure

    async def _attempt(self, address: SocketAddress, end: float, failed: trio.Event, race: trio.CancelScope) -> None:
        timeout = max(0.0, end - trio.current_time())
        try:
            sock = await connect(address, timeout, self._tls, self._config.socket)
        except ConnectFailed as failure:
            self._failure = failure
            failed.set()
            return
        if self._winner is not None:  # in the same turn of the loop
            sock.close()
            return
        self._winner = sock
        race.cancel()
