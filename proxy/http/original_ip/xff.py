"""`envoy.http.original_ip_detection.xff`: the client's address in `x-forwarded-for`, behind a number of trusted hops or
behind trusted addresses.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.config.common import Address, SocketAddress
from proxy.config.context import CompileContext
from proxy.http.headers import Headers
from proxy.http.original_ip.detection import Detection, address_of
from proxy.net.cidr import CidrRanges, ranges_from_proto

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.extensions.http.original_ip_detection.xff.v3.XffConfig": (
        "xff_num_trusted_hops",
        "xff_trusted_cidrs",
        "skip_xff_append",
    ),
    "envoy.extensions.http.original_ip_detection.xff.v3.XffTrustedCidrs": ("cidrs",),
}


class Xff:
    """By `trusted_ranges`, it believes nobody but a peer that lies in them."""

    class Config(msgspec.Struct, frozen=True, gc=False):
        """`XffConfig`; `trusted_ranges` is None where hops are counted."""

        hops: int = 0
        trusted_ranges: tuple[str, ...] | None = None
        skip_append: bool = True

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles an `XffConfig`."""
        ranges = None
        if message.xff_trusted_cidrs.cidrs:
            if message.xff_num_trusted_hops:
                context.error(("xff_num_trusted_hops",), "does not go with xff_trusted_cidrs", "one of them")
            ranges = ranges_from_proto(message.xff_trusted_cidrs.cidrs, context.at("xff_trusted_cidrs", "cidrs"))
        skip = message.skip_xff_append.value if message.HasField("skip_xff_append") else True
        return cls.Config(message.xff_num_trusted_hops, ranges, skip)

    def __init__(self, config: Config) -> None:
        self._hops = config.hops
        self._trusted = None if config.trusted_ranges is None else CidrRanges(config.trusted_ranges)
        self._appends = not config.skip_append

    def detect(self, headers: Headers, xff: bytes | None, peer: Address) -> Detection:
        if self._trusted is None:
            return self._behind_hops(xff)
        if not (isinstance(peer, SocketAddress) and peer.host in self._trusted):
            return Detection(None, appends=True)
        return self._behind_ranges(xff, self._trusted)

    def _behind_hops(self, xff: bytes | None) -> Detection:
        entries = [] if xff is None else xff.split(b",")
        if len(entries) <= self._hops:
            return Detection(None, appends=self._appends)
        alone = self._hops == 0 and len(entries) == 1
        return Detection(address_of(entries[-self._hops - 1]), alone, self._appends)

    def _behind_ranges(self, xff: bytes | None, trusted: CidrRanges) -> Detection:
        """The last address that is not trusted, or the first of all."""
        entries = [] if xff is None else xff.split(b",")
        address = None
        for entry in reversed(entries):
            address = address_of(entry)
            if address is None or address.host not in trusted:
                break
        return Detection(address, len(entries) == 1, self._appends)
