"""Both ends of the downstream connection."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable

from proxy.access_log.operator import Build, FormatError, Getter, Value, plain
from proxy.config.common import Address, SocketAddress
from proxy.http.stream_info import StreamInfo

Side = Callable[[StreamInfo], Address | None]


@functools.lru_cache(maxsize=1024)
def text_of(address: Address) -> bytes:
    """`127.0.0.1:80`, `[::1]:80`, or the path of a Unix socket."""
    return str(address).encode()


def whole(side: Side) -> Getter:
    """`127.0.0.1:80`, `[::1]:80`, or the path of a Unix socket."""

    def get(info: StreamInfo) -> Value:
        address = side(info)
        return None if address is None else text_of(address)

    return get


def without_port(side: Side) -> Getter:
    """`127.0.0.1`, `::1`; a Unix socket stays whole."""

    def get(info: StreamInfo) -> Value:
        address = side(info)
        if address is None:
            return None
        return (address.host if isinstance(address, SocketAddress) else address.path).encode()

    return get


def masked(side: Side) -> Build:
    """`%…_WITHOUT_PORT(bits)%`: the network that the address is in, `10.1.0.0/16`; a Unix socket is in none."""

    def build(parameter: str | None) -> Getter:
        if parameter is None:
            return without_port(side)
        if not parameter.isdecimal() or int(parameter) > 128:
            raise FormatError(f"{parameter!r} is no prefix length", "a number up to 32 for IPv4, up to 128 for IPv6")
        bits = int(parameter)

        def get(info: StreamInfo) -> Value:
            address = side(info)
            return network_of(address.host, bits) if isinstance(address, SocketAddress) else None

        return get

    return build


@functools.lru_cache(maxsize=1024)
def network_of(host: str, bits: int) -> bytes | None:
    """The network of `bits` bits that `host` is in; None if its address has fewer."""
    try:
        return str(ipaddress.ip_network((host.partition("%")[0], bits), strict=False)).encode()
    except ValueError:
        return None


def endpoint_id(side: Side) -> Getter:
    """Only internal addresses have one, of which there are none."""
    return lambda info: None if side(info) is None else b""


def port(side: Side) -> Getter:
    """The port as a number; None for a Unix socket."""

    def get(info: StreamInfo) -> Value:
        address = side(info)
        return address.port if isinstance(address, SocketAddress) else None

    return get


def _peer(info: StreamInfo) -> Address | None:
    return info.connection.remote if info.connection is not None else None


def _remote(info: StreamInfo) -> Address | None:
    """The trusted client, who may stand behind the peer."""
    return info.downstream_remote or _peer(info)


def _local(info: StreamInfo) -> Address | None:
    return info.connection.local if info.connection is not None else None


OPERATORS: dict[str, Build] = {
    "DOWNSTREAM_REMOTE_ADDRESS": plain(whole(_remote)),
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": masked(_remote),
    "DOWNSTREAM_REMOTE_PORT": plain(port(_remote)),
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS": plain(whole(_peer)),
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": masked(_peer),
    "DOWNSTREAM_DIRECT_REMOTE_PORT": plain(port(_peer)),
    "DOWNSTREAM_LOCAL_ADDRESS": plain(whole(_local)),
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": masked(_local),
    "DOWNSTREAM_LOCAL_PORT": plain(port(_local)),
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS": plain(whole(_local)),
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT": masked(_local),
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID": plain(endpoint_id(_local)),
    "DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID": plain(endpoint_id(_local)),
    "DOWNSTREAM_DIRECT_LOCAL_PORT": plain(port(_local)),
}
