"""The whole of it: a question and a configuration in, an answer out. Pure, but for the time that compiling takes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from master.explain import details
from master.explain.flags import FLAGS
from master.explain.request import changes, listener, terms
from master.explain.request.answer import Answer, Candidate, Configuration, Named, Outcome, Reply, Setting
from master.explain.request.cluster import Counts, cluster, named_by, shares
from master.explain.request.edits import edits
from master.explain.request.filters import filters
from master.explain.request.paths import to_cluster, to_listener, to_route, with_routing
from master.explain.request.place import DEFAULT, Place, Places
from master.explain.request.question import Question
from master.explain.story import flags_of
from proxy.config.bootstrap import CompiledConfig
from proxy.config.cluster import Endpoints
from proxy.config.common import Address, PluginConfig
from proxy.config.lb_subsets import Labels
from proxy.config.route import ClusterAction
from proxy.explain import trial as trials
from proxy.explain.routing import Routing, find_domain
from proxy.explain.trial import Trial
from proxy.filters.network import hcm_config, tcp_proxy_config
from proxy.http.authority import without_port
from proxy.route.reasons import describe, quoted
from proxy.route.weighted import Weighted

HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
TCP_PROXY = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"

MAX_BODY_SHOWN = 200
"""Characters."""


def explain(
    question: Question,
    config: CompiledConfig,
    endpoints: Endpoints,
    *,
    bound: Mapping[str, Sequence[Address]] = {},
    counts: Counts | None = None,
) -> Answer:
    """What would become of `question`. `bound`: the addresses that listeners really have; `counts`: the tables of the
    proxy that runs. Raises `QuestionError`.
    """
    source = json.loads(config.source)
    reached = listener.find(question, config.listeners, bound)
    told = _Told(question, config, endpoints, Places(source), counts, reached)
    answer = told.answer()
    return msgspec.structs.replace(answer, configuration=Configuration(config.version, fingerprint=fingerprint(source)))


def fingerprint(source: Mapping[str, Any]) -> str:
    """Of a bootstrap, as JSON in proto spelling."""
    return hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()


class _Told:
    """One answer in the making."""

    def __init__(
        self,
        question: Question,
        config: CompiledConfig,
        endpoints: Endpoints,
        places: Places,
        counts: Counts | None,
        reached: listener.Reached,
    ) -> None:
        self.question = question
        self.config = config
        self.endpoints = endpoints
        self.places = places
        self.counts = counts
        self.reached = reached
        self.listener = config.listeners[reached.number]
        self.chain = 0  # a listener has one
        self.paths = to_listener(places, config, reached.number, self.chain)

    def answer(self) -> Answer:
        last = self.listener.filter_chains[self.chain].filters[-1]
        if last.type_url != HCM:
            return self._tcp(last)
        manager = msgspec.msgpack.decode(last.config, type=hcm_config.Config)
        asked = trials.Question(
            self.question.head,
            self.question.source,
            self.reached.local,
            self.question.drawn,
            trials.ByTls(self.question.host) if self.listener.filter_chains[self.chain].tls is not None else None,
        )
        clusters = {one.name: one for one in self.config.clusters}
        trial = trials.run(self.listener, manager, clusters, asked)
        fields = self._admission(trial, manager)
        if trial.routing is not None:
            self.paths = with_routing(self.paths, self.places, manager, trial.routing)
            fields |= self._routing(trial.routing, manager)
            if trial.routing.entry is not None and not trial.routing.to_tls:
                fields |= self._route(trial, trial.routing, manager)
        if trial.forwarding is None:
            fields["reply"] = _reply(trial)
        return self._begun(_outcome(trial), notes=self._notes(trial, manager), **fields)

    def _begun(self, outcome: Outcome, **fields: Any) -> Answer:
        chains = self.listener.filter_chains
        how = "the only one" if len(chains) == 1 else f"of {len(chains)}"
        return Answer(
            self.question.method,
            self.question.url,
            outcome,
            Named(self.reached.number, self.listener.name, self.reached.how, Place(self.paths.listener)),
            Named(self.chain, chains[self.chain].name, how, Place(self.paths.chain)),
            **fields,
        )

    def _tcp(self, last: PluginConfig) -> Answer:
        kind = last.type_url.rpartition(".")[2]
        note = f"the listener's filter is {kind}: it looks at no request"
        if last.type_url != TCP_PROXY:
            return self._begun("tcp", notes=(note,))
        clusters = msgspec.msgpack.decode(last.config, type=tcp_proxy_config.Config).clusters
        drawn = Weighted([(choice, choice.weight) for choice in clusters])
        choice = drawn.at(self.question.drawn % drawn.total)
        place = self.places.first((*self.paths.manager, "cluster"), (*self.paths.manager, "weighted_clusters"))
        how = "the TCP proxy" if len(clusters) == 1 else f"one of {len(clusters)} weighted clusters of the TCP proxy"
        return self._begun("tcp", cluster=self._cluster(choice.name, how, place, choice.labels), notes=(note,))

    def _admission(self, trial: Trial, manager: hcm_config.Config) -> dict[str, Any]:
        inside = "from inside" if trial.from_inside else "from outside"
        fields: dict[str, Any] = {"caller": f"{trial.remote.removesuffix(':0')}, {inside}"}
        if trial.received is not None and trial.admitted is not None:
            why = changes.of_admission(
                manager, self.places, self.paths._replace(routes=(*self.paths.manager, "route_config"))
            )
            fields["seen"] = changes.head(trial.admitted)
            fields["admission"] = changes.changes(trial.received, trial.admitted, why)
        return fields

    def _routing(self, routing: Routing, manager: hcm_config.Config) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        if routing.host >= 0:
            host = manager.route_config.virtual_hosts[routing.host]
            asked = quoted(routing.named)
            how = f"its domain {routing.domain} takes {asked}" if "*" in routing.domain else f"{asked} is its domain"
            fields["virtual_host"] = Named(routing.host, host.name, how, self._domain_place(routing, host.domains))
        fields["tried"] = tuple(
            Candidate(
                refusal.number,
                refusal.entry.route.name,
                str(refusal.reason),
                refusal.reason.by_path,
                self._condition(
                    to_route(self.paths, self.places, manager, routing, refusal.number), refusal.reason.field
                ),
            )
            for refusal in routing.refused
        )
        if routing.entry is not None:
            if routing.to_tls:
                place = self.places.of(*self.paths.host, "require_tls")
                fields["route"] = Named(-1, "", "require_tls: the request did not come by TLS", place)
            else:
                fields["route"] = Named(
                    routing.number,
                    routing.entry.route.name,
                    describe(routing.entry.route.match),
                    Place(self.paths.route),
                )
        return fields

    def _domain_place(self, routing: Routing, domains: Sequence[str]) -> Place:
        return Place((*self.paths.host, "domains", domains.index(routing.domain)))

    def _condition(self, route: tuple[str | int, ...], field: tuple[str | int, ...]) -> Place:
        match = (*route, "match")
        return self.places.first((*match, *field), (*match, "path_match_policy"), match)

    def _route(self, trial: Trial, routing: Routing, manager: hcm_config.Config) -> dict[str, Any]:
        assert routing.entry is not None
        assert routing.chosen is not None
        action = routing.entry.route.action
        fields: dict[str, Any] = {
            "edits": edits(trial, manager.route_config, routing, self.places, self.paths),
            "filters": filters(trial, manager, self.places, self.paths),
        }
        if trial.admitted is not None and trial.at_router is not None:
            fields["by_filters"] = changes.changes(trial.admitted, trial.at_router)
        if isinstance(action, ClusterAction):
            how, place = named_by(routing, self.places, self.paths)
            request = trial.at_router or trial.admitted
            assert request is not None
            name, high = routing.chosen.cluster_name(request), action.forwarding.high_priority
            labels = trial.forwarding.context.labels if trial.forwarding is not None else routing.chosen.labels
            found = self._cluster(name, how, place, labels, high=high)
            fields["cluster"] = msgspec.structs.replace(found, shares=shares(routing, self.places, self.paths))
            fields["mirrors"] = self._mirrors(action)
        if trial.forwarding is not None and trial.upstream is not None and trial.at_router is not None:
            at = to_cluster(self.places, self.config, trial.forwarding.cluster.config.name)
            fields["timeouts"] = terms.timeouts(
                trial, trial.forwarding, manager, trial.forwarding.cluster.config, self.places, self.paths, at
            )
            fields["retry"] = terms.retries(trial, trial.forwarding, manager, self.places, self.paths)
            fields["upstream"] = changes.head(trial.upstream)
            fields["by_route"] = changes.changes(trial.at_router, trial.upstream)
        return fields

    def _cluster(self, name: str, how: str, place: Place, labels: Labels, *, high: bool = False) -> Any:
        return cluster(name, how, place, labels, self.config, self.endpoints, self.places, self.counts, high=high)

    def _mirrors(self, action: ClusterAction) -> tuple[Setting, ...]:
        field = "request_mirror_policies"
        at = self.places.first((*self.paths.action, field), (*self.paths.host, field)).path
        return tuple(
            Setting(
                mirror.cluster or f"(header {mirror.cluster_header})",
                "all requests" if mirror.runtime_fraction is None else f"{_share(mirror.runtime_fraction)} of requests",
                self.places.of(*at, index) if at else DEFAULT,
            )
            for index, mirror in enumerate(action.forwarding.mirrors)
        )

    def _notes(self, trial: Trial, manager: hcm_config.Config) -> tuple[str, ...]:
        notes = []
        by_tls = self.listener.filter_chains[self.chain].tls is not None
        if self.question.secure and not by_tls:
            notes.append("https: the listener does not end TLS, so the request is explained as if it came in the clear")
        follows = self.places.of(*self.paths.action, "internal_redirect_policy")
        if trial.forwarding is not None and follows.path:
            notes.append(f"redirects of the upstream may be followed by the proxy itself ({follows})")
        if by_tls and not self.question.secure:
            notes.append("the listener speaks TLS: the request is explained as if it came by that")
        if by_tls:
            notes.append("by TLS, from a client that shows no certificate")
        if trial.routing is not None and trial.routing.host < 0:
            notes.append(_no_domain(trial.routing, manager))
        if trial.skipped:
            notes.append(f"filters that were not run: {', '.join(trial.skipped)}")
        return tuple(notes)


def _no_domain(routing: Routing, manager: hcm_config.Config) -> str:
    """Why no virtual host takes the request. A port counts in the comparison, which surprises."""
    count = len(manager.route_config.virtual_hosts)
    note = f"{quoted(routing.named)} is no domain of the {count} virtual hosts"
    bare = without_port(routing.named)
    if bare != routing.named and find_domain(manager.route_config, bare)[0] >= 0:
        note += f"; {quoted(bare)} would be: ignore_port_in_host_matching or strip_any_host_port take the port away"
    return note


def _outcome(trial: Trial) -> Outcome:
    if trial.forwarding is not None:
        return "forwarded"
    routing = trial.routing
    if routing is None:
        return "refused"
    if routing.entry is None:
        return "no_route"
    return "answered" if trial.detail == "direct_response" else "failed"


def _reply(trial: Trial) -> Reply:
    flags = flags_of(trial.flags)
    known = details.find(trial.detail)
    meaning = known.words if known is not None else FLAGS[flags[0]].words if flags else ""
    body = trial.body.decode("utf-8", "replace")
    shown = body if len(body) <= MAX_BODY_SHOWN else f"{body[:MAX_BODY_SHOWN]}…"
    headers = tuple((_text(name), _text(value)) for name, value in trial.headers)
    return Reply(trial.status, trial.detail, trial.flags, meaning, headers, shown, len(trial.body))


def _share(fraction: tuple[int, int]) -> str:
    return f"{100 * fraction[0] / fraction[1]:g} %"


def _text(value: bytes) -> str:
    return value.decode("latin-1")
