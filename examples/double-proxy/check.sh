#!/usr/bin/env bash
# Asks through both proxies, and lets each of them in turn lose its patience.
source "$(dirname "${BASH_SOURCE[0]}")/../lib/checks.sh"

begin PORT SERVICE_PROXY_PORT SERVICE_PORT EDGE_ADMIN_PORT SERVICE_ADMIN_PORT
edge="http://127.0.0.1:$PORT"
made="$(dirname "$work"/tmp/*/edge.pem)"
as_edge=(-k --cert "$made/edge.pem" --key "$made/edge.key") # curl checks names, and this certificate has a URI alone
service_proxy="https://127.0.0.1:$SERVICE_PROXY_PORT"
edge_stats="http://127.0.0.1:$EDGE_ADMIN_PORT/stats"
service_stats="http://127.0.0.1:$SERVICE_ADMIN_PORT/stats"

expect "no answer of the service" "^hello from service: GET /hello" "$edge/hello"
expect "the first proxy's name" "^server: edge" -I "$edge/"

forged=(-H "x-forwarded-for: 203.0.113.7" -H "x-request-id: mine")
expect "one address is added, by the edge" "^x-forwarded-for: 203.0.113.7,[0-9.]+$" "${forged[@]}" "$edge/"
expect "the service proxy asked by itself trusts who asks" "^x-request-id: mine" "${as_edge[@]}" "${forged[@]}" "$service_proxy/"
if curl -sS "${forged[@]}" "$edge/" | grep -q "^x-request-id: mine"; then fail "the edge trusts who asks"; fi

if curl -sSk "$service_proxy/" > /dev/null 2>&1; then fail "somebody else than the edge came in"; fi
if curl -sSk --cert "$made/service-proxy.pem" --key "$made/service-proxy.key" "$service_proxy/" > /dev/null 2>&1; then
    fail "somebody with another name than the edge's came in"
fi
expect "no count of who has no certificate" "ssl.fail_verify_no_cert: 1$" "$service_stats"
expect "no count of who has another name" "ssl.fail_verify_san: 1$" "$service_stats"

expect "no HTTP/2 between the proxies" "^http.service.downstream_cx_http2_total: [1-9]" "$service_stats"

expect "the edge's timeout" "^HTTP/1.1 504" -i "$edge/?delay=1.5"
expect "the edge did not count its timeout" "^cluster.service-proxy.upstream_rq_timeout: 1$" "$edge_stats"
expect "the second proxy counted it as its own" "^cluster.service.upstream_rq_timeout: 0$" "$service_stats"

expect "the second proxy's timeout" "^HTTP/1.1 504" -i "$edge/patient?delay=3"
expect "the second proxy did not count its timeout" "^cluster.service.upstream_rq_timeout: 1$" "$service_stats"
expect "the edge counted it as its own" "^cluster.service-proxy.upstream_rq_timeout: 1$" "$edge_stats"
expect "the edge did not count what came back" "^cluster.service-proxy.upstream_rq_504: 2$" "$edge_stats"
end "$PORT" "$SERVICE_PROXY_PORT"
