"""What the express lanes of a connection manager know about heads that have come before: plans, and where they lead."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from proxy.config.forwarding import Forwarding
from proxy.config.route import ClusterAction
from proxy.filters.express_watch import LEAST_TIMEOUT
from proxy.filters.http.router import Router
from proxy.filters.http.router_headers import Terms, finish_terms, settle
from proxy.filters.network.hcm_express_hash import NotShared, shared_hash
from proxy.filters.network.hcm_route_stats import observed
from proxy.http import express_request, express_varying, grpc, grpc_timeout, header_case
from proxy.http.exchange import Policy
from proxy.http.express_read_response import ReadPlans
from proxy.http.express_request import Arrival, RequestPlan
from proxy.http.express_response import ResponsePlans, Shelf, WrittenPlans
from proxy.http.express_stream_response import StreamPlans
from proxy.http.express_upstreamed import ListedHead, WrittenHead
from proxy.http.headers import Headers
from proxy.http.identity import Hop, Identities
from proxy.http.stream_info import StreamInfo
from proxy.http.target import Target
from proxy.route.entry import RouteEntry
from proxy.route.rewrite import ORIGINAL_PATH
from proxy.route.table import RouteTable, VirtualHostRoutes
from proxy.upstream.cluster import Cluster
from proxy.upstream.load_balancer_context import LoadBalancerContext
from proxy.upstream.manager import ClusterView
from proxy.upstream.stats import Outcomes

_MAX_PLANS = 512
_MAX_FIELDS = 4096
"""Together, what a connection manager keeps of heads: 2 MiB, and as much again for each route that they take."""

_MAX_DESTINATIONS = 16

_FIRST_ATTEMPT = StreamInfo(0.0)  # for edits that look at nothing else
_FIRST_ATTEMPT.upstream_attempts = 1


def _of_the_first_attempt(edit: Callable[[Headers, StreamInfo], None]) -> Callable[[Headers], None]:
    return lambda headers: edit(headers, _FIRST_ATTEMPT)


class Destination:
    """Where a route leads, and what becomes of a plan's head on the way there. `multiplexed`: to HTTP/2."""

    __slots__ = ("cluster", "context", "entry", "head", "multiplexed", "outcomes", "responses", "rewrite_path")

    def __init__(
        self,
        entry: RouteEntry,
        cluster: Cluster,
        head: WrittenHead | ListedHead,
        responses: ResponsePlans[Any],
        outcomes: Outcomes,
        context: LoadBalancerContext,
    ) -> None:
        self.context = context
        self.entry = entry
        self.rewrite_path = entry.rewrite_path
        self.cluster = cluster
        self.head = head
        self.multiplexed = isinstance(head, ListedHead)
        self.responses = responses
        self.outcomes = outcomes


class Sent(NamedTuple):
    """Where a request has gone whose head no plan was for (`hcm_express_hooks`)."""

    responses: ResponsePlans[Any]
    outcomes: Outcomes
    multiplexed: bool = False


class PlannedHead:
    """A plan with the routes that requests of its kind have taken."""

    __slots__ = ("__weakref__", "_build", "_destinations", "_found", "_keeps", "_routes", "fields", "method", "plan")

    def __init__(
        self,
        plan: RequestPlan,
        method: bytes,
        fields: bytes,
        routes: VirtualHostRoutes | None,
        keeps: Callable[[bytes], bool],
        build: Callable[[RequestPlan, RouteEntry], Destination | None],
    ) -> None:
        self.plan = plan
        self.method = method
        self.fields: bytes | None = fields
        self._routes = routes
        self._keeps = keeps
        self._build = build
        self._found: RouteEntry | None = None
        self._destinations: dict[RouteEntry, Destination | None] = {}

    @property
    def by_path_alone(self) -> bool:
        """Whether no route looks at more than the path."""
        return self._routes is None or self._routes.by_path_alone

    def route(self, path: bytes) -> RouteEntry | None:
        """The route of a request of this kind for `path`, drawn if it is shared; None if the lane has none."""
        routes, request, found = self._routes, self.plan.request, self._found
        if routes is None or routes.beyond_head:  # the plan's request would keep its first draw
            return None
        if path != request.path or found is None or not routes.by_path_alone:
            if not self._keeps(path):
                return None
            request.path = path
            found = self._found = routes.find(path, request)
            if found is None:
                return None
        return found.choose(request)

    def forget(self) -> None:
        """Routes or clusters have changed: whoever still holds this finds that it fits no head, and asks anew. It holds
        none of them any more, since a connection of HTTP/2 may keep it for as long as it lives.
        """
        self.fields = self._routes = self._found = None
        self._destinations = {}

    def destination(self, entry: RouteEntry) -> Destination | None:
        """Where `entry` leads a request of this kind; None if the general path has to see to it."""
        try:
            return self._destinations[entry]
        except KeyError:
            if len(self._destinations) >= _MAX_DESTINATIONS:
                self._destinations.clear()
            destination = self._destinations[entry] = self._build(self.plan, entry)
            return destination


class Plans:
    """Every part of the configuration that a plan depends on, and the plans."""

    def __init__(
        self,
        *,
        router: Router,
        editors: Sequence[Any],
        policy: Policy,
        routes: RouteTable,
        clusters: ClusterView,
        identities: Identities,
        target: Target,
        codec_options: dict[str, Any],
        scheme: bytes,
        whole: bool = False,
    ) -> None:
        """`whole`: a plan knows every value of its head."""
        self.router = router
        self._whole = whole
        self._editors = editors
        self._policy = policy
        self._routes = routes
        self._clusters = clusters
        self._identities = identities
        self._target = target
        self._codec_options = codec_options
        self._scheme = scheme
        self.max_head = int(codec_options["max_headers_bytes"])
        self._written = functools.partial(
            WrittenPlans, key_format=header_case.written_here(codec_options["header_case"])
        )
        self._plans: dict[tuple[object, ...], PlannedHead | None] = {}
        self._shelf = Shelf()
        self._responses: dict[tuple[Cluster, RouteEntry | None, bool, bool], ResponsePlans[Any]] = {}
        self._given: weakref.WeakSet[PlannedHead] = weakref.WeakSet()

    def renew(self, policy: Policy, routes: RouteTable) -> None:
        """These count from the next request on, and so does what the names of clusters mean now."""
        self._policy, self._routes = policy, routes
        self.forget()

    def forget(self) -> None:
        """Make every plan anew."""
        for planned in self._given:
            planned.forget()
        self._given.clear()
        self._plans.clear()
        self._responses.clear()
        self._shelf = Shelf()

    def find(self, arrival: Arrival, hop: Hop) -> PlannedHead | None:
        """The plan for the head of `arrival`; None if the general path has to see to it."""
        arrival.varying = ()
        if len(arrival.fields) > _MAX_FIELDS:
            return self._plan(arrival, hop)
        key: tuple[object, ...] = (arrival.kind, arrival.method, arrival.fields, hop.kind)
        if key in self._plans:
            return self._plans[key]
        skeleton = None if self._whole else express_varying.skeleton(arrival.fields)
        if skeleton is not None:
            whole, key = key, (arrival.kind, arrival.method, *skeleton.key, hop.kind)
            if key not in self._plans:
                self._keep(key, self._plan_with_marks(arrival, hop, skeleton.values))
            planned = self._plans[key]
            if planned is not None:
                arrival.varying = skeleton.values
                return planned
            key = whole
        planned = self._plan(arrival, hop)
        self._keep(key, planned)
        return planned

    def _keep(self, key: tuple[object, ...], planned: PlannedHead | None) -> None:
        if len(self._plans) >= _MAX_PLANS:
            self._plans.clear()
        self._plans[key] = planned

    def _plan_with_marks(self, arrival: Arrival, hop: Hop, values: tuple[bytes, ...]) -> PlannedHead | None:
        """A plan for all whose head differs in these `values` alone; None if somebody may look at them."""
        if self._routes.reads_fields:
            return None
        arrival.varying = values
        planned = self._plan(arrival, hop, express_varying.marked(arrival.fields))
        arrival.varying = ()
        return planned if planned is not None and planned.by_path_alone else None

    def _plan(self, arrival: Arrival, hop: Hop, marked: bytes | None = None) -> PlannedHead | None:
        """`marked` are the header lines of `arrival` with marks for its varying values, if it has such."""
        fields = arrival.fields if marked is None else marked
        understood = arrival.understand(fields, self._codec_options, self._scheme)
        if understood is None:
            return None
        plan = express_request.plan(understood, hop, self._identities, self._target, len(arrival.varying))
        if plan is None:
            return None
        routes = self._routes.virtual_host_of(plan.request)
        build = functools.partial(self._destination, hop)
        planned = PlannedHead(plan, arrival.method, fields, routes, self._target.keeps, build)
        self._given.add(planned)
        return planned

    def heads_of(self, cluster: Cluster, *, to_head: bool) -> ResponsePlans[Any]:
        """The plans for what the hosts of `cluster` answer, to HEAD or to what is not, as it comes."""
        kind = cluster, None, False, to_head
        if kind not in self._responses:
            self._responses[kind] = ReadPlans.of_cluster(self._shelf, cluster.config, to_head=to_head)
        return self._responses[kind]

    def _destination(self, hop: Hop, plan: RequestPlan, entry: RouteEntry) -> Destination | None:
        """`hop` is that of a connection of the plan's kind."""
        action, router = entry.route.action, self.router
        if router.checked and not set(router.checked).isdisjoint(dict(plan.request.headers.items)):
            return None
        if router.hides_grpc_codes and grpc.is_request(plan.request.headers):
            return None
        if not isinstance(action, ClusterAction) or not entry.by_head or observed(entry):
            return None
        editing = [editor.express(self._policy.overrides(entry, editor.name)) for editor in self._editors]
        if not all(editing):
            return None
        request = plan.request.copy()
        for edit_request, _ in editing:
            edit_request(request.headers)
        cluster = self._clusters.get(entry.cluster_name(request))
        if cluster is None or cluster.config.pool_per_downstream_connection:  # a plan is for all connections
            return None
        if cluster.outlier is not None and grpc.is_request(request.headers):  # which counts by another status
            return None
        transport = cluster.transport_options(request)
        if transport is not None and express_varying.MARK.decode() in "".join(
            (transport.server_name or "", *transport.sans)
        ):
            return None
        try:
            number = shared_hash(plan, request, hop, entry, cluster)
        except NotShared:
            return None
        if action.forwarding.max_grpc_timeout is not None and express_varying.MARK in (
            request.headers.get(grpc_timeout.NAME) or b""
        ):
            return None  # each has a time of its own
        terms = settle(
            request, action, entry.retry, tell=router.envoy_headers, respect_expected=router.respects_expected
        )
        if entry.finish_request is not None:
            entry.finish_request(request, _FIRST_ATTEMPT, router.envoy_headers)
            if entry.rewrite_path is not None and router.envoy_headers:
                plan.tell_path(request.headers, ORIGINAL_PATH)
        finish_terms(request, terms, entry)
        protocol, streams = cluster.config.protocol, request.protocol == "HTTP/2"
        multiplexed = protocol == "http2" or (protocol == "downstream" and streams)
        to_head = request.method == b"HEAD"
        if to_head and (multiplexed or streams):  # which end in ways of their own
            return None
        head = plan.upstreamed(request, None if multiplexed else cluster.config.http1)
        if head is None or not plain(entry, action.forwarding, terms, cluster):
            return None
        edits = [edit_response for _, edit_response in reversed(editing)]
        if entry.finish_response is not None:
            edits.insert(0, _of_the_first_attempt(entry.finish_response))
        kind = cluster, entry if edits or terms.retry is not None else None, streams, to_head
        responses = self._responses.get(kind)
        if responses is None:
            responses = self._responses[kind] = (StreamPlans if streams else self._written)(
                self._shelf,
                self._policy.response,
                edits,
                max_bytes=cluster.config.max_response_headers_kb * 1024,
                max_count=cluster.config.max_response_headers_count,
                service_time=router.envoy_headers,
                remember=header_case.reader(cluster.config.http1.header_case),
                refused=terms.retry.wants_response if terms.retry is not None else None,
                to_head=to_head,
            )
        context = LoadBalancerContext(entry.labels, number, transport=transport, http2=streams)
        outcomes = cluster.outcomes(internal=plan.internal)
        return Destination(entry, cluster, head, responses, outcomes, context)


def plain(entry: RouteEntry, options: Forwarding, terms: Terms, cluster: Cluster) -> bool:
    """Whether the lane can hold `terms`: it keeps no time below `LEAST_TIMEOUT`, and makes one attempt, of one kind for
    all paths. A response that is to be retried has no plan (`ResponsePlans`), so it is handed over.
    """
    times = (terms.timeout, terms.per_try_timeout, terms.per_try_idle_timeout, options.idle_timeout or 0.0)
    durations = (terms.stream_duration or 0.0, cluster.config.max_stream_duration)
    return (
        not terms.no_content
        and not cluster.picks_by_request
        and cluster.config.protocol != "alpn"
        and cluster.config.breaker.max_connection_pools is None  # who has none must not take another host's turn
        and not cluster.config.http1.send_fully_qualified_url  # a plan's target is a path
        and not (terms.retry is not None and terms.asked)
        and not any(0 < limit < LEAST_TIMEOUT for limit in (*times, *durations))
        and options.max_stream_duration is None
        and not options.high_priority
        and not terms.hedge
        and not options.mirrors
        and options.internal_redirect is None
        and not options.tcp_posts
        and not (entry.retry is not None and entry.retry.policy.retriable_request_headers)
    )
