"""Clusters for tests of balancing on both proxies: hosts are named after the origins that they are."""

from __future__ import annotations

import contextlib
import json
import math
from collections import Counter
from typing import Any

from tests.kit.bootstrap import Fields, socket_address
from tests.kit.client import Address, Connection
from tests.kit.origin import Origin

DOWN = {"health_status": "UNHEALTHY"}
DEGRADED = {"health_status": "DEGRADED"}

REQUESTS = 300


def host(name: str, **fields: Any) -> Fields:
    """`name` stands for its port until the origin runs."""
    return {"endpoint": {"address": socket_address("127.0.0.1", ord(name))}, **fields}


def group(*hosts: Fields, zone: str = "", **fields: Any) -> Fields:
    return {"lb_endpoints": list(hosts), "locality": {"zone": zone}, **fields}


def cluster(*groups: Fields, policy: Fields | None = None, **fields: Any) -> Fields:
    assignment = {"cluster_name": "c", "endpoints": list(groups), **({"policy": policy} if policy else {})}
    return {"load_assignment": assignment, **fields}


def placed(fields: Any, origin: Origin) -> Any:
    """With the ports of the origins in place of their names."""
    if isinstance(fields, dict):
        if fields.keys() == {"address", "port_value"}:
            return {**fields, "port_value": origin.ports[chr(fields["port_value"])]}
        return {key: placed(value, origin) for key, value in fields.items()}
    return [placed(value, origin) for value in fields] if isinstance(fields, list) else fields


def shares(address: Address, name: str, requests: int = REQUESTS) -> dict[str, float]:
    """Of each origin, "" for an answer that is nobody's, of requests for `/<name>/`."""
    with contextlib.closing(Connection(address).__enter__()) as connection:
        answers = [connection.request(f"GET /{name}/ HTTP/1.1\r\nhost: h\r\n\r\n".encode()) for _ in range(requests)]
    counts = Counter(json.loads(one.body)["origin"] if one.status == 200 else "" for one in answers)
    return {origin: count / requests for origin, count in counts.items()}


def assert_alike(ours: dict[str, float], envoys: dict[str, float], requests: int = REQUESTS) -> None:
    """The same origins, each with about the same share: within five standard deviations of what two draws differ by."""
    assert ours.keys() == envoys.keys()
    for origin, share in envoys.items():
        mean = (share + ours[origin]) / 2
        assert abs(ours[origin] - share) < 5 * math.sqrt(2 * mean * (1 - mean) / requests) + 0.01, (envoys, ours)
