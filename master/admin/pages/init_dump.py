"""`/init_dump`: what is not initialised yet (`admin.v3.UnreadyTargetsDumps`); empty once the proxy serves.

While names are looked up for the first time, every listener waits, as in Envoy. Beyond Envoy it says for which
clusters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec

from master.admin import envoy_json
from master.admin.page import JSON, Context, Reply, Request
from master.admin.view import ServerView
from proxy.config.listener import Listener

_STARTING = ("PRE_INITIALIZING", "INITIALIZING")


async def page(request: Request, context: Context) -> Reply:
    mask = request.query.get("mask", "")
    wanted = mask.split(",") if mask else ["listener", "cluster"]
    found = list(_unready(context.view, wanted)) if context.view.state in _STARTING else []
    return Reply(envoy_json.dump({"unready_targets_dumps": found} if found else {}), JSON)


def _unready(view: ServerView, wanted: list[str]) -> Iterator[dict[str, Any]]:
    if "listener" in wanted:
        for listener in view.config.listeners:
            yield {"name": f"init manager Listener-local-init-manager {listener.name} {_number(listener)}"}
    if "cluster" in wanted and (clusters := _warming(view)):
        yield {"name": "init manager Clusters", "target_names": [f"target Cluster {name}" for name in clusters]}


def _number(listener: Listener) -> int:
    """It tells two configurations of one listener apart."""
    return int.from_bytes(hashlib.blake2b(msgspec.msgpack.encode(listener), digest_size=8).digest(), "little")


def _warming(view: ServerView) -> list[str]:
    """DNS clusters whose first lookup has brought neither addresses nor a failure."""
    counters = view.metrics().counters
    return [
        cluster.name
        for cluster in view.config.clusters
        if cluster.dns is not None
        and any(locality.endpoints for locality in cluster.dns.localities)
        and not any(counters.get(f"cluster.{cluster.stat_name}.update_{end}", 0) for end in ("success", "failure"))
    ]
