"""What becomes of a request on a route: `config.route.v3.RouteAction`, `RedirectAction`, `DirectResponseAction`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from master.config.compile import rewrites
from master.config.compile.hash_policy import compile_hash_policies
from master.config.compile.metadata import compile_labels
from proxy.config.route import ClusterAction, ClusterWeight, DirectResponseAction, RedirectAction
from proxy.filters.header_edits import compile_mutations

if TYPE_CHECKING:
    from master.config.compile.context import Context

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.route.v3.RouteAction": (
        "cluster",
        "cluster_header",
        "weighted_clusters",
        "cluster_not_found_response_code",
        "timeout",
        "prefix_rewrite",
        "regex_rewrite",
        "path_rewrite_policy",
        "host_rewrite_literal",
        "host_rewrite_header",
        "host_rewrite_path_regex",
        "auto_host_rewrite",
        "append_x_forwarded_host",
        "metadata_match",
        "hash_policy",
    ),
    "envoy.config.route.v3.WeightedCluster": ("clusters", "header_name", "use_hash_policy"),
    "envoy.config.route.v3.WeightedCluster.ClusterWeight": (
        "name",
        "cluster_header",
        "weight",
        "typed_per_filter_config",
        "request_headers_to_add",
        "request_headers_to_remove",
        "response_headers_to_add",
        "response_headers_to_remove",
        "host_rewrite_literal",
        "metadata_match",
    ),
    "envoy.config.route.v3.DirectResponseAction": ("status", "body"),
    "envoy.config.route.v3.RedirectAction": (
        "https_redirect",
        "scheme_redirect",
        "host_redirect",
        "port_redirect",
        "path_redirect",
        "prefix_rewrite",
        "regex_rewrite",
        "response_code",
        "strip_query",
    ),
}

NOT_FOUND_STATUS = {0: 503, 1: 404, 2: 500}
"""`RouteAction.ClusterNotFoundResponseCode`."""

REDIRECT_STATUS = {0: 301, 1: 302, 2: 303, 3: 307, 4: 308}
"""`RedirectAction.RedirectResponseCode`."""


def compile_action(message: Any, match: Any, context: Context) -> ClusterAction | None:
    """A `RouteAction` on requests that `match`, a `RouteMatch`, took; None if it leads nowhere, which is reported."""
    timeout = context.duration(message.timeout, "timeout") if message.HasField("timeout") else 15.0
    weighted: tuple[ClusterWeight, ...] = ()
    weight_header = ""
    kind = message.WhichOneof("cluster_specifier")
    if kind == "weighted_clusters":
        here = context.at("weighted_clusters")
        weighted = _shares(message.weighted_clusters.clusters, here)
        if message.weighted_clusters.use_hash_policy.value and not message.hash_policy:
            here.error(("use_hash_policy",), "there is nothing to hash", "hash_policy of the route")
        weight_header = rewrites.header_name(message.weighted_clusters.header_name, here, "header_name")
    elif kind == "cluster":
        context.require_cluster(message.cluster, "cluster")
    host = rewrites.host_rewrite(message, context)
    if message.append_x_forwarded_host and host is None:
        context.error(
            ("append_x_forwarded_host",), "has no effect unless the host is rewritten", "host_rewrite_literal"
        )
    action = ClusterAction(
        cluster=message.cluster,
        timeout=timeout,
        weighted=weighted,
        cluster_header=rewrites.header_name(message.cluster_header, context, "cluster_header", pseudo=True),
        weight_header=weight_header,
        not_found_status=NOT_FOUND_STATUS[message.cluster_not_found_response_code],
        path_rewrite=rewrites.path_rewrite(message, match, context),
        host_rewrite=host,
        append_x_forwarded_host=message.append_x_forwarded_host,
        labels=compile_labels(message.metadata_match),
        hash_policies=compile_hash_policies(message.hash_policy, context.at("hash_policy")),
        drawn_by_hash=message.weighted_clusters.use_hash_policy.value,
    )
    return action if action.cluster or action.cluster_header or weighted else None


def _shares(messages: Any, context: Context) -> tuple[ClusterWeight, ...]:
    """Empty if there is no cluster to choose, which is reported."""
    shares = []
    for index, message in enumerate(messages):
        here = context.at("clusters", index)
        if not message.HasField("weight"):
            here.error((), f"cluster {message.name!r} has no weight", "weight")
        if message.name and message.cluster_header:
            here.error((), "name and cluster_header are both set", "one of them")
        elif message.name:
            here.require_cluster(message.name, "name")
        elif not message.cluster_header and not here.incomplete():
            here.error((), "a weighted cluster without a name", "name or cluster_header")
        shares.append(
            ClusterWeight(
                message.name,
                message.weight.value,
                here.at("typed_per_filter_config").typed_per_filter_config(message.typed_per_filter_config),
                rewrites.header_name(message.cluster_header, here, "cluster_header", pseudo=True),
                compile_mutations(message, here),
                rewrites.host(message.host_rewrite_literal, here, "host_rewrite_literal"),
                compile_labels(message.metadata_match),
            )
        )
    total = sum(share.weight for share in shares)
    if not 0 < total < 2**32:
        context.error(("clusters",), f"the weights add up to {total}", "a sum of 1 to 4294967295")
        return ()
    return tuple(shares)


def compile_direct_response(message: Any, limit: int, context: Context) -> DirectResponseAction:
    """`limit`: bytes of the body."""
    return DirectResponseAction(message.status, context.data_source(message.body, "body", limit=limit))


def compile_redirect(message: Any, context: Context) -> RedirectAction:
    """A `RedirectAction`."""
    kind = message.WhichOneof("path_rewrite_specifier")
    rewrite = rewrites.plain_rewrite(message, kind, context) if kind in ("prefix_rewrite", "regex_rewrite") else None
    if message.path_redirect and not message.path_redirect.startswith("/"):
        context.error(("path_redirect",), f"{message.path_redirect!r} does not begin with /", "a path")
    return RedirectAction(
        status=REDIRECT_STATUS[message.response_code],
        scheme="https" if message.https_redirect else message.scheme_redirect,
        host=rewrites.host(message.host_redirect, context, "host_redirect"),
        port=message.port_redirect,
        path=message.path_redirect,
        path_rewrite=rewrite,
        strip_query=message.strip_query,
    )
