"""RING_HASH: hosts stand on a ring by the hashes of their names, and a request goes to the next one (ketama).

The ring is Envoy's (`RingHashLoadBalancer`), so both send the same request to the same host.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

import xxhash

from proxy.config.cluster import Host
from proxy.config.lb import Hashing
from proxy.upstream.hash_key import hash_key
from proxy.upstream.lb import Surroundings, Weighted
from proxy.upstream.murmur import murmur2


class RingHash:
    """`size` is the ring's; `fewest` and `most` say how often a host stands on it."""

    __slots__ = ("_config", "_hashes", "_hosts", "fewest", "most")

    def __init__(self, surroundings: Surroundings) -> None:
        self._config = surroundings.config.hashing
        self._hashes: list[int] = []
        self._hosts: list[Host] = []
        self.fewest = self.most = 0

    @property
    def size(self) -> int:
        return len(self._hashes)

    def update(self, hosts: Weighted) -> None:
        """Build the ring: each host stands on it in proportion to its share, the least one a whole number of times."""
        self._hashes, self._hosts = [], []
        self.fewest = self.most = 0
        if not hosts:
            return
        config = self._config
        digest = murmur2 if config.murmur else xxhash.xxh64_intdigest
        ring: list[tuple[int, Host]] = []
        counts = standings([share for _, share in hosts], config)
        for (host, _), count in zip(hosts, counts, strict=True):
            name = hash_key(host, use_hostname=config.use_hostname)
            ring += [(digest(b"%b_%d" % (name, number)), host) for number in range(count)]
        ring.sort(key=lambda entry: entry[0])
        self._hashes = [number for number, _ in ring]
        self._hosts = [host for _, host in ring]
        self.fewest, self.most = min(counts), max(counts)

    def find(self, number: int, attempt: int = 0) -> Host | None:
        """The first host at or behind `number`, or the one `attempt` places further on; None if there are none."""
        if not self._hashes:
            return None
        place = bisect.bisect_left(self._hashes, number) + attempt
        return self._hosts[place % len(self._hosts)]


def standings(shares: Sequence[float], config: Hashing) -> list[int]:
    """How often each host stands on the ring, by its share."""
    least = min(shares)
    scale = min(math.ceil(least * config.minimum_ring_size) / least, float(config.maximum_ring_size))
    counts = []
    placed, target = 0, 0.0
    for share in shares:
        target += scale * share
        count = max(0, math.ceil(target) - placed)
        placed += count
        counts.append(count)
    return counts
