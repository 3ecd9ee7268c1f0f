"""The hash that requests of one plan share, for clusters whose balancer looks at it."""

from __future__ import annotations

from proxy.filters.router.hashing import policy_of
from proxy.http.express_request import RequestPlan
from proxy.http.express_varying import MARK
from proxy.http.identity import REQUEST_ID, Hop
from proxy.http.request import Request
from proxy.route.entry import RouteEntry
from proxy.route.hash_policy import RequestHash, Subject
from proxy.upstream.cluster import Cluster


class NotShared(Exception):
    """Each request has a hash of its own."""


def shared_hash(plan: RequestPlan, request: Request, hop: Hop, entry: RouteEntry, cluster: Cluster) -> int | None:
    """That of `request`, which is the plan's as it comes to the router from a client over `hop`. None if it has none or
    nobody wants to know; raises `NotShared`.
    """
    policy = policy_of(entry, cluster)
    if policy is None:
        return None
    if not policy.settled(request.headers) or _varies(policy, plan, request):
        raise NotShared
    return policy.number(Subject(request, plan.caller(hop)))


def _varies(policy: RequestHash, plan: RequestPlan, request: Request) -> bool:
    if plan.generates_id and REQUEST_ID in policy.headers:
        return True
    return any(MARK in value for name in policy.headers for value in request.headers.get_all(name))
