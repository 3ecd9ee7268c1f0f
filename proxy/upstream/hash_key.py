"""What stands for a host where hosts are hashed (Envoy's `ThreadAwareLoadBalancerBase::hashKey`)."""

from __future__ import annotations

import json

from proxy.config.cluster import Host

FILTER = "envoy.lb"
KEY = "hash_key"


def hash_key(host: Host, *, use_hostname: bool) -> bytes:
    """`hash_key` of the host's metadata `envoy.lb` if it has one, else its name where wanted, else its address."""
    for name, struct in host.metadata:
        if name == FILTER and isinstance(key := json.loads(struct).get(KEY), str) and key:
            return key.encode()
    return (host.hostname if use_hostname and host.hostname else str(host.address)).encode()
