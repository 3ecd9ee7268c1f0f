"""The hosts of some clusters: what has changed since all of them were told. Data, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from proxy.config.cluster import ClusterEndpoints, Endpoints


class Fresh(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The hosts of one cluster, encoded: whoever has this version already need not look into them."""

    version: int
    encoded: msgspec.Raw

    def decoded(self) -> ClusterEndpoints:
        """Raises `msgspec.ValidationError` if they are none."""
        return msgspec.msgpack.decode(self.encoded, type=ClusterEndpoints)


class EndpointsDelta(msgspec.Struct, frozen=True, gc=False):
    """Leads from the endpoints of version `base`, or any between them, to `version`: all that is newer than `base`."""

    base: int
    version: int
    clusters: dict[str, Fresh]


def encode_delta(base: int, version: int, clusters: Mapping[str, Fresh]) -> bytes:
    """A delta as MessagePack."""
    return msgspec.msgpack.encode(EndpointsDelta(base, version, dict(clusters)))


def decode_delta(data: bytes) -> EndpointsDelta:
    """The inverse of `encode_delta`; raises `msgspec.ValidationError` on anything else."""
    return msgspec.msgpack.decode(data, type=EndpointsDelta)


def newer(delta: EndpointsDelta, known: Mapping[str, int]) -> Iterator[ClusterEndpoints]:
    """What of `delta` is newer than the versions `known` of clusters, which it does not know of others."""
    for name, fresh in delta.clusters.items():
        if known.get(name, 0) < fresh.version:
            yield fresh.decoded()


def applied(endpoints: Endpoints, delta: EndpointsDelta) -> Endpoints:
    """`endpoints`, those of the delta's base, as they are now."""
    known = {name: cluster.version for name, cluster in endpoints.clusters.items()}
    fresh = {cluster.cluster: cluster for cluster in newer(delta, known)}
    return Endpoints(delta.version, endpoints.clusters | fresh)


def changed_clusters(before: Endpoints, now: Endpoints) -> set[str]:
    """The names of clusters that are not the same object in both."""
    old, new = before.clusters, now.clusters
    return {name for name, cluster in new.items() if old.get(name) is not cluster} | (old.keys() - new.keys())
