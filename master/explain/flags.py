"""Every response flag in words. The names and letters are Envoy's (`%RESPONSE_FLAGS%`)."""

from __future__ import annotations

from typing import Literal, NamedTuple

from proxy.errors import Flag

Fault = Literal["client", "us", "upstream"]


class Meaning(NamedTuple):
    """What happened, whose side it was on, and what to look at next."""

    words: str
    fault: Fault
    look: str


FLAGS: dict[Flag, Meaning] = {
    Flag.FAILED_LOCAL_HEALTH_CHECK: Meaning(
        "the proxy reports itself as failed (`healthcheck fail`), and says so to its health checker",
        "us",
        "`proxyctl healthcheck ok` takes it back",
    ),
    Flag.NO_HEALTHY_UPSTREAM: Meaning(
        "the cluster has no host that may be used: it is empty, its name does not resolve, or all hosts are unhealthy",
        "upstream",
        "`proxyctl clusters` shows the cluster's hosts and their health; an empty STRICT_DNS cluster means that its "
        "name has no address yet",
    ),
    Flag.UPSTREAM_REQUEST_TIMEOUT: Meaning(
        "the upstream had not answered completely when the route's timeout ended",
        "upstream",
        "how long does this request take at the host itself? `proxyctl stats --filter upstream_rq_time` shows what is "
        "usual; RouteAction.timeout gives it longer (0: as long as it takes)",
    ),
    Flag.LOCAL_RESET: Meaning(
        "the proxy itself reset the stream",
        "us",
        "the detail beside the flag says why; the log of the worker may have more",
    ),
    Flag.UPSTREAM_REMOTE_RESET: Meaning(
        "the upstream reset the stream before its response was complete",
        "upstream",
        "the upstream's own log at this time",
    ),
    Flag.UPSTREAM_CONNECTION_FAILURE: Meaning(
        "no connection to the upstream host could be made",
        "upstream",
        "does the service listen on that address, and may this machine reach it? Try the address of the attempt with "
        "`curl`; `proxyctl clusters` shows whether all hosts of the cluster are affected",
    ),
    Flag.UPSTREAM_CONNECTION_TERMINATION: Meaning(
        "the upstream closed the connection before it answered",
        "upstream",
        "the upstream's log at this time: a crash, a restart, or its keep-alive timeout being shorter than ours "
        "(Cluster's HttpProtocolOptions.idle_timeout must be the shorter one)",
    ),
    Flag.UPSTREAM_OVERFLOW: Meaning(
        "a circuit breaker of the cluster was full: the request was refused without being tried",
        "us",
        "`proxyctl stats --filter circuit_breakers` and `upstream_rq_active` show what fills it: an upstream that has "
        "become slow, or limits that are too low for this load",
    ),
    Flag.NO_ROUTE_FOUND: Meaning(
        "no virtual host has this authority, or none of its routes takes this request",
        "client",
        "compare authority and path with `proxyctl config-dump --resource static_route_configs`; a port in the "
        "authority counts in the comparison with domains",
    ),
    Flag.DELAY_INJECTED: Meaning(
        "the fault filter delayed the request on purpose",
        "us",
        "the fault filter in the configuration of the listener or route",
    ),
    Flag.FAULT_INJECTED: Meaning(
        "the fault filter ended the request on purpose",
        "us",
        "the fault filter in the configuration of the listener or route",
    ),
    Flag.RATE_LIMITED: Meaning(
        "a rate limit was used up",
        "client",
        "the rate limit filter's stats show how many requests it let through and how many not",
    ),
    Flag.UNAUTHORIZED_EXTERNAL_SERVICE: Meaning(
        "the external authorization service denied the request, or could not be asked",
        "client",
        "the authorization service's log; the detail tells a denial from an error",
    ),
    Flag.RATE_LIMIT_SERVICE_ERROR: Meaning(
        "the rate limit service could not be asked, and the filter denies requests then",
        "us",
        "is the rate limit service's cluster healthy? `proxyctl clusters` shows it",
    ),
    Flag.DOWNSTREAM_CONNECTION_TERMINATION: Meaning(
        "the client closed its connection before the response was complete",
        "client",
        "did the client give up waiting? Compare its own timeout with the time this took",
    ),
    Flag.UPSTREAM_RETRY_LIMIT_EXCEEDED: Meaning(
        "every retry that the retry policy allows failed as well",
        "upstream",
        "the attempts below show what each of them met",
    ),
    Flag.STREAM_IDLE_TIMEOUT: Meaning(
        "no byte moved in either direction for the idle timeout of a stream",
        "upstream",
        "who was silent? With a complete request it was the upstream, otherwise the client",
    ),
    Flag.INVALID_ENVOY_REQUEST_HEADERS: Meaning(
        "an `x-envoy-*` header of the request has a value that means nothing",
        "client",
        "the client's headers; the router's strict_check_headers decides which are looked at",
    ),
    Flag.DOWNSTREAM_PROTOCOL_ERROR: Meaning(
        "the client broke the protocol, or a limit of it",
        "client",
        "the detail says which rule; `curl -v` with the client's own request repeats it",
    ),
    Flag.DOWNSTREAM_REMOTE_RESET: Meaning(
        "the client gave the request up (HTTP/2 RST_STREAM), or its headers were too many or too large",
        "client",
        "the detail says which; a client's own timeout looks like a reset",
    ),
    Flag.UPSTREAM_MAX_STREAM_DURATION_REACHED: Meaning(
        "the request to the upstream took longer than the cluster's max_stream_duration",
        "upstream",
        "HttpProtocolOptions.max_stream_duration of the cluster",
    ),
    Flag.RESPONSE_FROM_CACHE_FILTER: Meaning(
        "the response came from the cache",
        "us",
        "nothing: this is no failure",
    ),
    Flag.NO_FILTER_CONFIG_FOUND: Meaning(
        "the configuration of a filter had not arrived from the control plane",
        "us",
        "the control plane's log, and its connection to this proxy",
    ),
    Flag.DURATION_TIMEOUT: Meaning(
        "the request took longer than max_stream_duration of the connection manager or route",
        "us",
        "max_stream_duration of the route, or of HttpConnectionManager.common_http_protocol_options",
    ),
    Flag.UPSTREAM_PROTOCOL_ERROR: Meaning(
        "what the upstream sent was not a valid HTTP response, or was cut short",
        "upstream",
        "the attempt names the rule that was broken; is it really an HTTP service that listens there, without TLS?",
    ),
    Flag.NO_CLUSTER_FOUND: Meaning(
        "the route names a cluster that does not exist",
        "us",
        "`proxyctl clusters` lists the clusters that exist; `proxyctl validate` finds such routes beforehand",
    ),
    Flag.OVERLOAD_MANAGER: Meaning(
        "the proxy refused the request because it was short of resources",
        "us",
        "`proxyctl ps` shows memory, CPU and loop lag of each worker",
    ),
    Flag.DNS_RESOLUTION_FAILED: Meaning(
        "the name of the host could not be resolved",
        "upstream",
        "resolve the name on this machine; `proxyctl stats --filter update_` shows the resolver's failures",
    ),
    Flag.FILTER_EXCEPTION: Meaning(
        "a filter in Python raised an exception",
        "us",
        "the log has the traceback of the first failure at each place; the detail names file and line",
    ),
}
