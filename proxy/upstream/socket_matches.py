"""Which of a cluster's transport sockets a host is spoken to by (`Cluster.transport_socket_matches`). No I/O."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence

from proxy.config.cluster import HostMetadata, SocketMatch
from proxy.route.labels import canonical

NAMESPACE = "envoy.transport_socket_match"
DEFAULT = "default"
"""The name, in stats, of the cluster's own transport socket."""


def place_of(matches: Sequence[SocketMatch], metadata: HostMetadata) -> int:
    """Where the first of them stands of which a host with this `metadata` says all
    (`Config::Metadata::metadataLabelMatch`); -1 if the host is for the cluster's own.
    """
    said = _said(metadata)
    for place, match in enumerate(matches):
        if all(said.get(key) == value for key, value in match.labels):
            return place
    return -1


@functools.lru_cache(maxsize=4096)
def _said(metadata: HostMetadata) -> Mapping[str, str]:
    fields = json.loads(dict(metadata).get(NAMESPACE, "{}"))
    return {key: canonical(value) for key, value in fields.items()}
