"""How routes and filters differ from plain ones, and the ways to write names."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st

from proxy.config.common import HeaderMatcher, StringMatcher
from proxy.config.forwarding import Forwarding, MaxStreamDuration, RetryPolicy
from proxy.config.hash_policy import CookieMaker, HashPolicy
from proxy.config.header_mutation import HeaderMutations, Mutation
from proxy.config.http1 import HeaderCase
from proxy.config.lb import Hashing, LoadBalancing
from proxy.config.route import ClusterAction, HostRewrite, PathRewrite, Route, VirtualCluster
from proxy.config.target import TargetRules

HEADER_MUTATION = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
CONSTANT = (
    Mutation(b"x-tier", "OVERWRITE_IF_EXISTS_OR_ADD", "gold"),
    Mutation(b"user-agent", "REMOVE"),
    Mutation(b"server", "APPEND_IF_EXISTS_OR_ADD", "more"),
)
EDITS = st.one_of(
    st.just(()),
    st.lists(
        st.sampled_from(
            [
                *CONSTANT,
                Mutation(b"x-request-id", "REMOVE"),
                Mutation(b"x-request-id", "OVERWRITE_IF_EXISTS_OR_ADD", "7a1d3f9e"),
                Mutation(b"x-path", "ADD_IF_ABSENT", "%REQ(:PATH)%"),
                Mutation(b"x-envoy-upstream-service-time", "OVERWRITE_IF_EXISTS", "soon"),
                Mutation(b"x-envoy-upstream-rq-timeout-ms", "ADD_IF_ABSENT", "5000"),
                Mutation(b"connection", "ADD_IF_ABSENT", "x-a"),
                Mutation(b"date", "REMOVE"),
            ]
        ),
        max_size=3,
    ).map(tuple),
)


LEVEL = st.one_of(
    st.just(HeaderMutations()),
    st.builds(
        HeaderMutations,
        request=st.lists(
            st.sampled_from(
                [
                    *CONSTANT,
                    Mutation(b"cookie", "REMOVE"),
                    Mutation(b"x-tier", "APPEND_IF_EXISTS_OR_ADD", "silver"),
                    Mutation(b"x-tier", "ADD_IF_ABSENT", "tin"),
                    Mutation(b"x-path", "ADD_IF_ABSENT", "%REQ(:PATH)%"),
                    Mutation(b"x-host", "OVERWRITE_IF_EXISTS", "changed"),
                ]
            ),
            max_size=2,
        ).map(tuple),
        response=st.lists(
            st.sampled_from(
                [
                    *CONSTANT,
                    Mutation(b"date", "REMOVE"),
                    Mutation(b"content-type", "ADD_IF_ABSENT", "x/y"),
                    Mutation(b"x-envoy-upstream-service-time", "REMOVE"),
                    Mutation(b"x-status", "ADD_IF_ABSENT", "%RESPONSE_CODE%"),
                ]
            ),
            max_size=2,
        ).map(tuple),
    ),
)
HASHES = [
    HashPolicy("header", "x-request-id"),
    HashPolicy("header", "user-agent", terminal=True),
    HashPolicy("header", ":path"),
    HashPolicy("cookie", "k"),
    HashPolicy("cookie", "made", cookie=CookieMaker(9)),
    HashPolicy("source_ip"),
    HashPolicy("query_parameter", "q"),
]
HASHED = LoadBalancing("MAGLEV", hashing=Hashing(table_size=5))
ACTIONS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "path_rewrite": st.sampled_from([PathRewrite("prefix", "/new/"), PathRewrite("regex", "/-", "/+")]),
        "host_rewrite": st.sampled_from(
            [
                HostRewrite("literal", "new.test"),
                HostRewrite("header", "x-host"),
                HostRewrite("header", "traceparent"),
                HostRewrite("path_regex", "of.test", ".*"),
                HostRewrite("auto"),
            ]
        ),
        "append_x_forwarded_host": st.booleans(),
        "forwarding": st.builds(
            Forwarding,
            idle_timeout=st.sampled_from([None, 0.0, 9.0]),
            retry=st.none()
            | st.builds(
                RetryPolicy,
                st.sampled_from([("5xx",), ("reset",), ("retriable-status-codes", "retriable-headers")]),
                per_try_timeout=st.sampled_from([0.0, 5.0]),
                base_interval=st.just(0.001),
                max_interval=st.just(0.001),
                retriable_status_codes=st.just((404,)),
                retriable_headers=st.just((HeaderMatcher("server"),)),
                retriable_request_headers=st.sampled_from(
                    [(), (HeaderMatcher(":path", StringMatcher("prefix", "/a")),)]
                ),
            ),
            max_stream_duration=st.sampled_from([None, None, MaxStreamDuration(9.0)]),
        ),
        "cluster_header": st.just("x-cluster"),
        "hash_policies": st.lists(st.sampled_from(HASHES), min_size=1, max_size=2).map(tuple),
    },
)


class Routing(NamedTuple):
    """How one route differs from a plain one, and what stands around it."""

    action: dict[str, Any]
    mutations: HeaderMutations = HeaderMutations()
    host: Mapping[str, Any] = MappingProxyType({})
    target: TargetRules = TargetRules()

    def apply(self, plain: Route) -> Route:
        changed = {**self.action, **({"cluster": ""} if "cluster_header" in self.action else {})}
        assert isinstance(plain.action, ClusterAction)
        action = msgspec.structs.replace(plain.action, **changed)
        return msgspec.structs.replace(plain, action=action, header_mutations=self.mutations)


PLAIN_ROUTING = Routing({})
ROUTINGS = st.builds(
    Routing,
    ACTIONS,
    LEVEL,
    st.fixed_dictionaries(
        {},
        optional={
            "header_mutations": LEVEL,
            "request_attempt_count": st.booleans(),
            "response_attempt_count": st.booleans(),
            "require_tls": st.sampled_from(["NONE", "NONE", "EXTERNAL_ONLY", "ALL"]),
            "virtual_clusters": st.just((VirtualCluster("gets", (HeaderMatcher(":method", present=True),)),)),
        },
    ),
    st.builds(
        TargetRules,
        normalize_path=st.booleans(),
        merge_slashes=st.booleans(),
        escaped_slashes=st.sampled_from(["KEEP", "REJECT", "REDIRECT", "FORWARD"]),
        strip_port=st.sampled_from(["", "matching", "any"]),
        strip_trailing_dot=st.booleans(),
    ),
)


CONSTANT_ROUTING = Routing(
    {"host_rewrite": HostRewrite("literal", "new.test"), "append_x_forwarded_host": True},
    HeaderMutations(request=CONSTANT, response=CONSTANT),
    {"request_attempt_count": True, "response_attempt_count": True},
    TargetRules(normalize_path=True, merge_slashes=True, strip_port="any"),
)

REWRITTEN = [
    Routing({"path_rewrite": rewrite}) for rewrite in (PathRewrite("prefix", "/new/"), PathRewrite("regex", "/-", "/+"))
]

CASES = st.sampled_from(
    [
        None,
        HeaderCase(proper=True),
        HeaderCase(preserves=True),
        HeaderCase(preserves=True, proper=True, forwards_reason=True),
    ]
)
