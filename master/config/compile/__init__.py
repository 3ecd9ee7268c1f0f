"""Compiles an Envoy v3 bootstrap to the frozen structs that the data plane runs on (`proxy/config/`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from google.protobuf import json_format

from master.config.compile.address import compile_address
from master.config.compile.cluster import compile_clusters
from master.config.compile.context import Context
from master.config.compile.dns_resolver import compile_resolver
from master.config.compile.listener import compile_listeners
from master.config.compile.secrets import Read, Secrets
from master.config.finding import Finding
from master.config.walk import Path
from proxy.access_log.file import check_path
from proxy.config.bootstrap import CompiledConfig, Node
from proxy.config.cluster import Endpoints
from proxy.config.dns import MACHINE

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.bootstrap.v3.Bootstrap": ("node", "static_resources", "admin", "cluster_manager"),
    "envoy.config.bootstrap.v3.ClusterManager": ("local_cluster_name",),
    "envoy.config.bootstrap.v3.Bootstrap.StaticResources": ("listeners", "clusters", "secrets"),
    "envoy.config.bootstrap.v3.Admin": ("address",),
    "envoy.config.core.v3.Node": ("id", "cluster", "locality", "metadata"),
}


def compile_bootstrap(
    message: Any,
    *,
    version: int,
    unsupported: Iterable[Path] = (),
    to_come: Iterable[str] = (),
    read_secret: Read | None = None,
) -> tuple[CompiledConfig | None, list[Finding]]:
    """Compiles a `config.bootstrap.v3.Bootstrap`; without a config if there is any finding.

    Fields that are not supported are not looked at; `unsupported` are the paths of those that are set. `to_come` are
    directories that will be there, and the proxy's own, once it runs; `read_secret` reads files of secrets.
    Constraints of single fields (`validate.rules`) are the loader's business; here are references, duplicates,
    addresses and whatever else spans fields.
    """
    resources = message.static_resources
    context = Context(
        clusters=frozenset(cluster.name for cluster in resources.clusters),
        unsupported=frozenset(unsupported),
        node=_node(message.node),
        to_come=frozenset(to_come),
        secrets=Secrets(read_secret),
        local_cluster=message.cluster_manager.local_cluster_name,
    )
    context = dataclasses.replace(context, dns_resolver=compile_resolver(message, context, MACHINE))
    if context.local_cluster:
        context.require_cluster(context.local_cluster, "cluster_manager", "local_cluster_name")
    here = context.at("static_resources")
    context.secrets.declare(resources.secrets, here.at("secrets"))
    listeners = compile_listeners(resources.listeners, here.at("listeners"))
    events = message.cluster_manager.outlier_detection.event_log_path
    check_path(events, context, "cluster_manager", "outlier_detection", "event_log_path")
    clusters, hosts = compile_clusters(resources.clusters, message.cluster_manager, here.at("clusters"))
    admin = None
    if message.admin.HasField("address"):
        admin = compile_address(message.admin.address, context.at("admin", "address"))
    source = _source(message, context)
    if context.findings:
        return None, context.findings
    config = CompiledConfig(
        version=version,
        node=context.node,
        listeners=listeners,
        clusters=clusters,
        endpoints=Endpoints(version=1, clusters=hosts),
        admin_address=admin,
        source=source,
        secrets=tuple(context.secrets.from_files.values()),
    )
    return config, []


def _source(message: Any, context: Context) -> str:
    """The message as Envoy's JSON. A well-known type that is out of its range has none."""
    try:
        return json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None)
    except (json_format.SerializeToJsonError, TypeError) as error:
        context.error((), str(error), kind="type")
        return ""


def _node(message: Any) -> Node:
    """`metadata` stays in the source alone."""
    at = message.locality
    return Node(message.id, message.cluster, at.region, at.zone, at.sub_zone)
