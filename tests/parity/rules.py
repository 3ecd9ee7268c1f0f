"""The rules that parity cases name: what is easy to get wrong about Envoy, one line each.

`@pytest.mark.parity("rule 5")` names one, `@pytest.mark.parity("config.route.v3.RouteAction.prefix_rewrite")` a field
of Envoy's API (without its `envoy.`). `tests.parity.report` holds cases and rules together. Numbers never change.
"""

from __future__ import annotations

from typing import NamedTuple

HCM = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


class Rule(NamedTuple):
    """`awaits`: the feature that it is about, which is not built yet; until then it needs no case."""

    text: str
    awaits: str = ""


_PRIORITIES = "priorities, degraded and panicking hosts"
_XDS = "discovery from a control plane"

RULES: dict[int, Rule] = {
    # Routing
    1: Rule("a host's virtual host: exact, else the longest suffix, else the longest prefix, else `*`; none twice"),
    2: Rule("hosts are compared without case and with their port; whoever finds no route gets 404 and `NR`"),
    3: Rule("the first route that matches in everything, in the order of the file"),
    4: Rule("`prefix` is any prefix, `path_separated_prefix` ends at a slash; paths and regexes see no query"),
    5: Rule("`prefix_rewrite` replaces what matched, keeps the query, and leaves `x-envoy-original-path`"),
    6: Rule("`regex_rewrite` replaces every match in the path alone; logs see the rewritten path"),
    7: Rule("a rewritten host leaves `x-envoy-original-host`, and `x-forwarded-host` where it is asked for"),
    8: Rule("redirects: 301, which port stays, whose query stays"),
    9: Rule("direct responses: `location` with 201 and 3xx, bodies of a bounded size, headers edited by the route"),
    10: Rule("headers are edited from the most specific level to the least, or the other way round"),
    11: Rule("`append_action`: further lines by default; what an empty value does"),
    12: Rule("paths stay as they came unless `normalize_path`, `merge_slashes`; a fragment is 400"),
    13: Rule("escaped slashes: kept, refused, redirected with 307, or unescaped"),
    # HTTP/1 and the messages
    14: Rule("HTTP/1.0 is 426, what cannot be read 400; the connection ends"),
    15: Rule("60 KiB and 100 headers, then 431"),
    16: Rule("fields of the hop go, names become lower-case, `server` is replaced where it stood, `date` comes last"),
    17: Rule("a URL in the request line counts more than Host, and its `https` claims nothing"),
    18: Rule("CONNECT needs a `connect_matcher` and its upgrade, and ends here or goes on"),
    19: Rule("an upgrade that is not enabled is 403; an accepted one is a tunnel"),
    20: Rule("100-continue is the proxy's to answer; a response before the request's end closes the connection"),
    # Who is asking
    21: Rule(
        "`x-forwarded-for` grows with `use_remote_address` alone, without a space; for loopback by our own address"
    ),
    22: Rule("which address of `x-forwarded-for` is the client's, by the number of trusted hops"),
    23: Rule("a request is internal by its one address, and only within `internal_address_config`"),
    24: Rule("what requests from outside may not ask for, and what an edge takes away besides"),
    25: Rule("`x-forwarded-proto` is the edge's to say, else the client's"),
    26: Rule("`x-request-id`: made, kept or replaced, and when the client is told"),
    27: Rule("what the router tells the upstream and the client; `suppress_envoy_headers`"),
    # Local replies
    28: Rule("status, body, flag and detail of whatever fails; HEAD gets the length alone"),
    29: Rule("a gRPC request's local reply: 200 with `grpc-status` and `grpc-message`"),
    30: Rule("details have underscores for spaces, and names of their own"),
    31: Rule("flags stand in one fixed order; 0 is the status of no response; no method of what cannot be read"),
    # Balancing and health
    32: Rule("degraded hosts take what healthy ones leave", _PRIORITIES),
    33: Rule("how load spills over between priorities", _PRIORITIES),
    34: Rule("a priority below its panic threshold uses all of its hosts", _PRIORITIES),
    35: Rule("localities by weight, by zone, and slow start", "locality-aware balancing"),
    36: Rule("when an outlier is found, by default"),
    37: Rule("how many outliers may be ejected, and how long"),
    38: Rule("circuit breakers: what each limits, and what is refused with `overflow`"),
    # Times and retries
    39: Rule("a route's timeout begins with the request's end and covers all attempts"),
    40: Rule("a try's timeout ends with the response's head, and loses against a shorter one of the route"),
    41: Rule("idle streams and idle connections; a route's word counts more"),
    42: Rule("`max_stream_duration` of connection manager, route and cluster"),
    43: Rule("the request's own timeouts, and how long a closed connection lingers"),
    44: Rule("`grpc-timeout` counts only up to `grpc_timeout_header_max`, and is told on"),
    45: Rule("the access log's default line, JSON, and what command operators say"),
    46: Rule("what is retried, how often, after how long, and what that counts as"),
    # Discovery
    47: Rule("the order of a start: clusters, endpoints, listeners, routes", _XDS),
    48: Rule("what is acknowledged and refused, and what a refusal leaves in effect", _XDS),
    49: Rule("warming clusters and listeners", _XDS),
    # Stats and the admin interface
    50: Rule("Prometheus: names, families, labels, buckets"),
    51: Rule("histograms in /stats, and which stats were used"),
    52: Rule("which stats exist from the start, their names, tags and values"),
    53: Rule("admin pages: methods, unknown paths, headers"),
    # Restart and drain
    54: Rule("a hot restart: counters go on, gauges are summed, the old process leaves last"),
    55: Rule("a drain: which responses close, what `/healthcheck/fail` and `/drain_listeners` do"),
    # Upstream connections
    56: Rule("a connection carries one request, is kept for the next, and is closed after what cannot be trusted"),
    57: Rule("HTTP/2: how many streams a connection carries, SETTINGS, GOAWAY", "HTTP/2 upstream"),
    58: Rule("which connections are shared, and when an unhealthy host's are closed"),
    59: Rule("hash rings and least requests", "ring hash, Maglev, least request"),
    60: Rule("the options that Envoy recommends for an edge, those of HTTP/1 and of paths"),
    # More
    61: Rule("mirrored requests: fire and forget, `-shadow` in the host"),
    62: Rule("TCP proxy: ends, resets, attempts, `UH` and `UF,URX`"),
    # What comes up beside these
    63: Rule("where a message ends: length, chunks, close; several requests on one connection"),
    64: Rule("fields, methods and status lines that HTTP forbids, and those that only look odd"),
    65: Rule("a YAML scalar becomes its field's type as in Envoy"),
    66: Rule("the same configurations are refused; what Envoy silently ignores is an error of ours"),
    67: Rule("a second bootstrap merges into the first"),
    68: Rule("what differs, as docs/parity.md says"),
    69: Rule("a change of the configuration: what it counts, and which connections stay"),
    70: Rule("names become hosts, and later answers change them"),
    71: Rule("hosts take turns by their weights"),
    72: Rule("what a cluster counts apart: internal, external and canary"),
    73: Rule("admin pages: their fields, forms and words"),
    74: Rule("health checks: what is asked, which answers and how many of them count, what the event log says"),
    # gRPC
    80: Rule("gRPC-Web: its content types, base64, trailers in a frame of the body, and answers that are no gRPC"),
    81: Rule("calls of gRPC: status, text, metadata and messages, cancellation and deadlines"),
}


def of(message: str, *fields: str) -> list[str]:
    """Names of several fields of one message."""
    return [f"{message}.{field}" for field in fields]
