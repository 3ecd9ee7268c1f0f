"""Tag extraction: which parts of a stat's name are labels (Envoy's default rules, features §13 rule 52).

A rule sees the whole name. What it captures as a tag is cut out of the name, so that
`cluster.back.upstream_rq_503` becomes `cluster.upstream_rq` with the tags response_code=503 and cluster_name=back.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

TOKEN = r"[^.]+"
"""A tag's value, as a rule: everything up to the next dot."""

ADDRESS = r"(?:\d{1,3}(?:\.\d{1,3}){3}|\[[a-fA-F_\d]+\])_\d+"
"""An address as stat names spell it: `127.0.0.1_80`, `[__1]_80`."""

MAX_CACHED_NAMES = 65536


class Extracted(NamedTuple):
    """`base` is the name without its tags; `tags` are (name, value) in the order in which Envoy prints labels."""

    base: str
    tags: tuple[tuple[str, str], ...]


class _Rule(NamedTuple):
    """`pattern`: group 1 is cut out of the name, group 2 is the value. `unless` is a value that is not a tag.

    `hint` is a part that every matching name has; looking for it first is much cheaper than the pattern.
    """

    tag: str
    pattern: re.Pattern[str]
    hint: str
    unless: str = ""


def _regex(tag: str, pattern: str, *, hint: str, unless: str = "") -> _Rule:
    return _Rule(tag, re.compile(pattern, re.ASCII), hint, unless)


def _tokens(tag: str, pattern: str) -> _Rule:
    """A rule in Envoy's token notation: `*` one token, `**` one or more, `$` the token that is the tag's value."""
    text = re.escape(pattern).replace(r"\*\*", ".+").replace(r"\*", TOKEN).replace(r"\$\.", rf"(({TOKEN})\.)")
    *_, hint = (literal for literal in re.split(r"[*$]+", pattern) if literal.strip("."))
    return _Rule(tag, re.compile(f"^{text}$", re.ASCII), hint)


# Envoy tries the rules that may start anywhere first, then those of the name's first token; regular expressions
# before token patterns. Labels are printed in this order, which is why it is kept.
_RULES = (
    _regex("envoy.response_code", r"_rq(_(\d{3}))$", hint="_rq_"),
    _regex("envoy.response_code_class", r"_rq_((\d))xx$", hint="_rq_"),
    _regex("envoy.ssl_curve", r"^(?:listener|cluster)\..*?\.ssl\.curves(\.([\w-]+))$", hint=".ssl.curves."),
    _regex("envoy.ssl_sigalg", r"^(?:listener|cluster)\..*?\.ssl\.sigalgs(\.([\w-]+))$", hint=".ssl.sigalgs."),
    _regex("envoy.ssl_version", r"^(?:listener|cluster)\..*?\.ssl\.versions(\.(TLSv\d\.\d))$", hint=".ssl.versions."),
    _regex(
        "envoy.tls_certificate",
        rf"^(?:listener|cluster)\..*?\.ssl\.certificate\.(({TOKEN})\.).*$",
        hint=".ssl.certificate.",
    ),
    _regex(
        "envoy.worker_id",
        rf"^(?:listener\.(?:{ADDRESS}|{TOKEN})|server|listener_manager|thread_local_cluster_manager)\.worker_((\d+)\.)",
        hint=".worker_",
    ),
    _regex("envoy.ssl_cipher", r"^listener\..*?\.ssl\.ciphers(\.([\w-]+))$", hint=".ssl.ciphers."),
    _regex("cipher_suite", rf"^cluster\.{TOKEN}\.ssl\.ciphers(\.([\w-]+))$", hint=".ssl.ciphers."),
    _regex(
        "envoy.health_check_name",
        rf"^cluster\.{TOKEN}\.health_check(\.name\.({TOKEN}))\..+",
        hint=".health_check.name.",
    ),
    _regex("envoy.http_conn_manager_prefix", rf"^listener\..*?\.http\.(({TOKEN})\.)", hint=".http."),
    _regex("envoy.listener_address", rf"^listener\.(({ADDRESS}|{TOKEN})\.)", hint="listener.", unless="admin"),
    _regex("envoy.rbac_http_prefix", rf"^http\.{TOKEN}\.rbac\.(({TOKEN})\.).*?", hint=".rbac."),
    _regex("envoy.rds_route_config", rf"^http\.{TOKEN}\.rds\.(([\w.-]+)\.)\w+?$", hint=".rds."),
    _regex("envoy.xds_resource_name", rf"^sds\.(({TOKEN})\.).+", hint="sds."),
    _tokens("envoy.grpc_bridge_method", "cluster.*.grpc.*.$.**"),
    _tokens("envoy.grpc_bridge_service", "cluster.*.grpc.$.**"),
    _tokens("envoy.http_user_agent", "http.*.user_agent.$.**"),
    _tokens("envoy.virtual_cluster", "vhost.*.vcluster.$.**"),
    _tokens("envoy.fault_downstream_cluster", "http.*.fault.$.**"),
    _tokens("envoy.tcp_prefix", "tcp.$.**"),
    _tokens("envoy.udp_prefix", "udp.$.**"),
    _tokens("envoy.clientssl_prefix", "auth.clientssl.$.**"),
    _tokens("envoy.ratelimit_prefix", "ratelimit.$.**"),
    _tokens("envoy.ext_authz_prefix", "cluster.*.ext_authz.$.**"),
    _tokens("envoy.cluster_name", "cluster.$.**"),
    _tokens("envoy.ext_authz_prefix", "http.*.ext_authz.$.**"),
    _tokens("envoy.http_conn_manager_prefix", "http.$.**"),
    _tokens("envoy.virtual_host", "vhost.$.**"),
    _tokens("envoy.route", "vhost.*.route.$.**"),
    _tokens("envoy.thrift_prefix", "thrift.$.**"),
    _tokens("envoy.redis_prefix", "redis.$.**"),
    _tokens("envoy.local_http_ratelimit_prefix", "$.http_local_rate_limit.**"),
    _tokens("envoy.local_network_ratelimit_prefix", "local_rate_limit.$.**"),
    _tokens("envoy.local_listener_ratelimit_prefix", "listener_local_ratelimit.$.**"),
    _tokens("envoy.dns_filter_prefix", "dns_filter.$.**"),
    _tokens("envoy.connection_limit_prefix", "connection_limit.$.**"),
    _tokens("envoy.rbac_prefix", "$.rbac.**"),
    _tokens("envoy.google_grpc_client_prefix", "grpc.$.**"),
)


@functools.lru_cache(maxsize=MAX_CACHED_NAMES)
def extract(name: str) -> Extracted:
    """The tags of the stat `name` and the name without them."""
    tags: list[tuple[str, str]] = []
    cuts: list[tuple[int, int]] = []
    for rule in _RULES:
        found = rule.pattern.search(name) if rule.hint in name else None
        if found and found[2] != rule.unless:
            tags.append((rule.tag, found[2]))
            cuts.append(found.span(1))
    return Extracted(_without(name, cuts), tuple(tags))


def _without(name: str, cuts: list[tuple[int, int]]) -> str:
    """`name` without the union of the spans `cuts`."""
    kept, position = [], 0
    for start, end in sorted(cuts):
        kept.append(name[position:start])
        position = max(position, end)
    return "".join(kept) + name[position:]
