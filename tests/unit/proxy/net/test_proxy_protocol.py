"""PROXY headers: what a receiver is told."""

from __future__ import annotations

import pytest

from proxy.config.common import Address, PipeAddress, SocketAddress
from proxy.net.proxy_protocol import Version, header

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")


@pytest.mark.parametrize(
    ("version", "remote", "local", "told"),
    [
        ("V1", SocketAddress("1.2.3.4", 5), SocketAddress("6.7.8.9", 80), b"PROXY TCP4 1.2.3.4 6.7.8.9 5 80\r\n"),
        ("V1", SocketAddress("::1", 65535), SocketAddress("fe80::2", 1), b"PROXY TCP6 ::1 fe80::2 65535 1\r\n"),
        ("V1", PipeAddress("/a"), PipeAddress("/b"), b"PROXY UNKNOWN\r\n"),
        (
            "V2",
            SocketAddress("1.2.3.4", 5),
            SocketAddress("6.7.8.9", 80),
            SIGNATURE + bytes.fromhex("2111000c 01020304 06070809 0005 0050"),
        ),
        (
            "V2",
            SocketAddress("::1", 65535),
            SocketAddress("fe80::2%eth0", 1),
            SIGNATURE + bytes.fromhex("21210024" + "00" * 15 + "01" + "fe80" + "00" * 13 + "02" + "ffff 0001"),
        ),
        ("V2", PipeAddress("/a"), PipeAddress("/b"), SIGNATURE + bytes.fromhex("20000000")),
    ],
)
def test_header(version: Version, remote: Address, local: Address, told: bytes) -> None:
    assert header(version, remote, local) == told
