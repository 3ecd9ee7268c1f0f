#!/usr/bin/env bash
# Asks each service through its sidecar, and each for what the other says.
source "$(dirname "${BASH_SOURCE[0]}")/../lib/checks.sh"

begin SHOP_PORT STOCK_PORT SHOP_EGRESS_PORT STOCK_EGRESS_PORT SHOP_ADMIN_PORT STOCK_ADMIN_PORT
expect "the shop did not answer" "^hello from shop: GET /1" "http://127.0.0.1:$SHOP_PORT/1"
expect "the answer did not pass the sidecar" "^server: shop-sidecar" -I "http://127.0.0.1:$SHOP_PORT/"
expect "the shop did not reach the stock" "^hello from stock: GET /answer" "http://127.0.0.1:$SHOP_PORT/ask"
expect "the shop's egress was not passed" "^x-from: shop" "http://127.0.0.1:$SHOP_PORT/ask"
expect "the stock did not reach the shop" "^hello from shop: GET /answer" "http://127.0.0.1:$STOCK_PORT/ask"
expect "the stock's egress was not passed" "^x-from: stock" "http://127.0.0.1:$STOCK_PORT/ask"

expect "the stock was not told who asks" "^x-forwarded-client-cert: .*URI=spiffe://example/shop$" \
    "http://127.0.0.1:$SHOP_PORT/ask"
made="$(dirname "$work"/tmp/*/mesh-root.pem)"
as_shop=(-k --cert "$made/shop.pem" --key "$made/shop.key") # curl checks names, and the certificates have URIs alone
expect "the shop by its certificate" "^x-forwarded-client-cert: .*URI=spiffe://example/shop$" "${as_shop[@]}" \
    "https://127.0.0.1:$STOCK_PORT/"
if curl -sSk "https://127.0.0.1:$STOCK_PORT/" > /dev/null 2>&1; then fail "somebody without a certificate came in"; fi
forged=(-H 'x-forwarded-client-cert: URI=spiffe://example/shop')
if curl -sS "${forged[@]}" "http://127.0.0.1:$STOCK_PORT/" | grep -q client-cert; then fail "a client says who it is"; fi

expect "no handshake went out" "^cluster.stock.ssl.handshake: [1-9]" "http://127.0.0.1:$SHOP_ADMIN_PORT/stats"
expect "no request went out" "^cluster.stock.upstream_rq_2xx: 3$" "http://127.0.0.1:$SHOP_ADMIN_PORT/stats"
expect "no request came in" "^http.ingress.downstream_rq_2xx: [4-9]" "http://127.0.0.1:$STOCK_ADMIN_PORT/stats"
expect "the name was not looked up" "^stock::127.0.0.1:$STOCK_PORT::" "http://127.0.0.1:$SHOP_ADMIN_PORT/clusters"
expect "the socket is no host" "^app::/.*/shop.sock::" "http://127.0.0.1:$SHOP_ADMIN_PORT/clusters"
end "$SHOP_PORT" "$STOCK_PORT" "$SHOP_ADMIN_PORT" "$STOCK_ADMIN_PORT"
