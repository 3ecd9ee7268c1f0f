#!/usr/bin/env bash
# Asks the edge for each of its services, for its own answers, and for what it counted.
source "$(dirname "${BASH_SOURCE[0]}")/../lib/checks.sh"

begin PORT ADMIN_PORT SHOP_1_PORT SHOP_2_PORT BLOG_PORT
edge="http://127.0.0.1:$PORT"
stats="http://127.0.0.1:$ADMIN_PORT/stats"
shop=(-H "Host: shop.example")

both="$(curl -sS "${shop[@]}" "$edge/" "$edge/")"
for instance in shop-1 shop-2; do
    grep -q "hello from $instance" <<< "$both" || fail "$instance was not asked: $both"
done
expect "a name below shop.example" "^hello from shop-" -H "Host: eu.shop.example" "$edge/"
expect "routing by host" "^hello from blog" -H "Host: blog.example" "$edge/"
expect "routing by path" "^hello from blog: GET /blog/1" "${shop[@]}" "$edge/blog/1"
expect "a prefix ends at a separator" "^hello from shop-[12]: GET /blogs" "${shop[@]}" "$edge/blogs"
expect "routing by header" "^hello from blog" "${shop[@]}" -H "x-preview: blog" "$edge/"

expect "the edge's own answer" "^the edge is up" "${shop[@]}" "$edge/healthz"
expect "a refused path" "^HTTP/1.1 403" -i "${shop[@]}" "$edge/admin/users"
expect "a host that nobody serves" "^HTTP/1.1 404" -i "$edge/"
expect "a service that is too slow" "^HTTP/1.1 504" -i "${shop[@]}" "$edge/?delay=2"

expect "a header for the service" "^x-edge: front-proxy" "${shop[@]}" -H "x-edge: forged" "$edge/"
expect "a header for the client" "^x-content-type-options: nosniff" -i "${shop[@]}" "$edge/"
expect "the edge's name" "^server: edge" -i "${shop[@]}" "$edge/"
if curl -sS "${shop[@]}" -H "x-user: root" "$edge/" | grep -qi "^x-user"; then fail "a client says who its user is"; fi

forged=(-H "x-forwarded-for: 203.0.113.7" -H "x-request-id: mine" -H "x-envoy-retry-on: 5xx")
expect "the client's address is not added" "^x-forwarded-for: 203.0.113.7,[0-9.]+$" "${shop[@]}" "${forged[@]}" "$edge/"
seen="$(curl -sS "${shop[@]}" "${forged[@]}" "$edge/")"
if grep -qiE "^(x-request-id: mine|x-envoy-retry-on)" <<< "$seen"; then fail "a client acts as a proxy of ours: $seen"; fi

expect "no count of what found no route" "^http.edge.no_route: 1$" "$stats"
expect "no count of the timeout" "^cluster.shop.upstream_rq_timeout: 1$" "$stats"
expect "no count of the blog's answers" "^cluster.blog.upstream_rq_2xx: 3$" "$stats"
for _ in $(seq 100); do # the log is written behind the requests
    [[ "$(grep -c '"flags":' "$work/output")" == 3 ]] && break
    sleep 0.1
done
for line in '"details":"route_not_found","flags":"NR"' '"details":"response_timeout","flags":"UT","host":"shop.example"'; do
    grep -q "$line" "$work/output" || fail "the access log has no $line: $(cat "$work/output")"
done
if grep -q '"status":200' "$work/output"; then fail "the access log has what did not fail"; fi
end "$PORT" "$ADMIN_PORT"
