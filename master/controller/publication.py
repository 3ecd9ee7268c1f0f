"""How hosts are told: all of them, or what has changed since. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from proxy.config.cluster import ClusterEndpoints, Endpoints, encode_endpoints
from proxy.config.endpoints_delta import Fresh, changed_clusters, encode_delta

LARGEST_DELTA: Final = 4
"""Once one cluster in so many has changed since all were told, all are told again."""


class Message(NamedTuple):
    """What the supervisor gets: `kind` of message, and what is in its memfd."""

    kind: str
    data: bytes


class Publication:
    """`base` are the hosts that the supervisor holds as a whole, and every worker has, or will have before what comes
    next. A delta holds all that is newer than these, so that the last one is all that whoever starts later needs.
    `deltas`: whether the supervisor knows what that is.
    """

    def __init__(self, base: Endpoints, *, deltas: bool) -> None:
        self._base = base
        self._deltas = deltas
        self._fresh: dict[str, Fresh] = {}

    def told(self, endpoints: Endpoints) -> None:
        """All of them have been told."""
        self._base, self._fresh = endpoints, {}

    def next(self, endpoints: Endpoints) -> Message:
        """Tell what has changed, unless that is most of them."""
        changed = changed_clusters(self._base, endpoints)
        few = len(changed) * LARGEST_DELTA <= len(endpoints.clusters) and changed <= endpoints.clusters.keys()
        if not (self._deltas and few):
            self.told(endpoints)
            return Message("endpoints", encode_endpoints(endpoints))
        self._fresh = {name: self._encoded(endpoints.clusters[name]) for name in changed}
        return Message("endpoints_delta", encode_delta(self._base.version, endpoints.version, self._fresh))

    def _encoded(self, cluster: ClusterEndpoints) -> Fresh:
        """Encoded once, however many deltas it is in."""
        known = self._fresh.get(cluster.cluster)
        if known is not None and known.version == cluster.version:
            return known
        return Fresh(cluster.version, msgspec.Raw(msgspec.msgpack.encode(cluster)))
