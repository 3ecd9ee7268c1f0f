"""The hosts that a process begins with, whatever has been published before it started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from proxy.config.bootstrap import CompiledConfig
from proxy.config.cluster import Endpoints, decode_endpoints
from proxy.config.endpoints_delta import applied, decode_delta
from shm import memfd


class Published(NamedTuple):
    """`base`: as they were when all were last published; `now`: as they are."""

    base: Endpoints
    now: Endpoints


def read(config: CompiledConfig, inherited: Mapping[str, int]) -> Published:
    """From the descriptors `endpoints` and `endpoints_delta`, where there are such; else those of `config`."""
    base = config.endpoints
    if "endpoints" in inherited:
        base = decode_endpoints(memfd.read_all(inherited["endpoints"]))
    if "endpoints_delta" not in inherited:
        return Published(base, base)
    return Published(base, applied(base, decode_delta(memfd.read_all(inherited["endpoints_delta"]))))
