#!/usr/bin/env bash
# Asks through both proxies, and lets each of them in turn lose its patience.
source "$(dirname "${BASH_SOURCE[0]}")/../lib/checks.sh"

begin PORT SERVICE_PROXY_PORT SERVICE_PORT EDGE_ADMIN_PORT SERVICE_ADMIN_PORT
edge="http://127.0.0.1:$PORT"
service_proxy="http://127.0.0.1:$SERVICE_PROXY_PORT"
edge_stats="http://127.0.0.1:$EDGE_ADMIN_PORT/stats"
service_stats="http://127.0.0.1:$SERVICE_ADMIN_PORT/stats"

expect "no answer of the service" "^hello from service: GET /hello" "$edge/hello"
expect "the first proxy's name" "^server: edge" -I "$edge/"

forged=(-H "x-forwarded-for: 203.0.113.7" -H "x-request-id: mine")
expect "one address is added, by the edge" "^x-forwarded-for: 203.0.113.7,[0-9.]+$" "${forged[@]}" "$edge/"
expect "the service proxy asked by itself trusts who asks" "^x-request-id: mine" "${forged[@]}" "$service_proxy/"
if curl -sS "${forged[@]}" "$edge/" | grep -q "^x-request-id: mine"; then fail "the edge trusts who asks"; fi

expect "the edge's timeout" "^HTTP/1.1 504" -i "$edge/?delay=1.5"
expect "the edge did not count its timeout" "^cluster.service-proxy.upstream_rq_timeout: 1$" "$edge_stats"
expect "the second proxy counted it as its own" "^cluster.service.upstream_rq_timeout: 0$" "$service_stats"

expect "the second proxy's timeout" "^HTTP/1.1 504" -i "$edge/patient?delay=3"
expect "the second proxy did not count its timeout" "^cluster.service.upstream_rq_timeout: 1$" "$service_stats"
expect "the edge counted it as its own" "^cluster.service-proxy.upstream_rq_timeout: 1$" "$edge_stats"
expect "the edge did not count what came back" "^cluster.service-proxy.upstream_rq_504: 2$" "$edge_stats"
end "$PORT" "$SERVICE_PROXY_PORT"
