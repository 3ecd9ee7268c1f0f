"""Which hosts a process begins with."""

from __future__ import annotations

import os

import msgspec

from proxy.config.bootstrap import CompiledConfig, Node
from proxy.config.cluster import ClusterEndpoints, Endpoints, encode_endpoints
from proxy.config.endpoints_delta import Fresh, encode_delta
from shm import memfd
from workers.published import Published, read


def endpoints(version: int) -> Endpoints:
    return Endpoints(version, {"c": ClusterEndpoints("c", version, ())})


def test_the_newest_that_there_are() -> None:
    config = CompiledConfig(version=1, node=Node(), listeners=(), clusters=(), endpoints=endpoints(1))
    fresh = Fresh(3, msgspec.Raw(msgspec.msgpack.encode(endpoints(3).clusters["c"])))
    fds = {
        "endpoints": memfd.sealed("endpoints", encode_endpoints(endpoints(2))),
        "endpoints_delta": memfd.sealed("delta", encode_delta(2, 3, {"c": fresh})),
    }
    try:
        assert read(config, {}) == Published(endpoints(1), endpoints(1))
        assert read(config, {"endpoints": fds["endpoints"]}) == Published(endpoints(2), endpoints(2))
        assert read(config, fds) == Published(endpoints(2), endpoints(3))
    finally:
        for fd in fds.values():
            os.close(fd)
