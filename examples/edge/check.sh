#!/usr/bin/env bash
# Asks the edge by name, over both versions of HTTP, with and without a certificate, and as those whom it turns away.
source "$(dirname "${BASH_SOURCE[0]}")/../lib/checks.sh"

begin PORT HTTP_PORT ADMIN_PORT SHOP_PORT API_PORT
made="$(dirname "$work"/tmp/*/edge-root.pem)"
trust=(--cacert "$made/edge-root.pem" --connect-to "::127.0.0.1:")
alice=(--cert "$made/alice.pem" --key "$made/alice.key")
shop="https://shop.example:$PORT"
api="https://api.example:$PORT"

# refused WHAT NAME DETAIL ARGUMENT…: curl does not come in, and `proxyctl why` tells of NAME by this DETAIL.
refused() {
    if curl -sS --max-time 20 "${@:4}" > /dev/null 2>&1; then fail "$1 came in"; fi
    ${PROXYCTL:-.venv/bin/proxyctl} why --limit 1 > "$work/why"
    grep -q "(a TLS connection to $2)" "$work/why" && grep -q "\[$3\]" "$work/why" \
        || fail "$1: expected $2 and $3, got: $(cat "$work/why")"
}

expect "HTTP/2 by ALPN" "^HTTP/2 200" -i --http2 "${trust[@]}" "$shop/"
expect "HTTP/1.1 by ALPN" "^HTTP/1.1 200" -i --http1.1 "${trust[@]}" "$shop/"
expect "the shop, over HTTP/1.1 to itself" "^hello from shop: GET /cart" "${trust[@]}" "$shop/cart"
expect "a name below shop.example" "^hello from shop" "${trust[@]}" "https://eu.shop.example:$PORT/"
expect "what browsers are to remember" "^strict-transport-security: max-age" -i "${trust[@]}" "$shop/"
expect "the scheme for the service" "^x-forwarded-proto: https" "${trust[@]}" "$shop/"
expect "plain HTTP is sent on" "^location: https://shop.example:$PORT/cart\?a=b$" -i "${trust[@]}" \
    "http://shop.example:$HTTP_PORT/cart?a=b"
expect "a browser that follows" "^hello from shop: GET /cart" -L "${trust[@]}" "http://shop.example:$HTTP_PORT/cart"

expect "a route for everybody" "^hello from api: GET /status" "${trust[@]}" "$api/status"
expect "a route for those with a certificate" "403$" -o /dev/null -w '%{http_code}\n' "${trust[@]}" "$api/orders"
expect "a client with a certificate" "^hello from api: GET /orders" "${trust[@]}" "${alice[@]}" "$api/orders"
expect "who asks, for the service" "^x-forwarded-client-cert: .*Subject=\"CN=alice\";URI=spiffe://example/team/ops$" \
    "${trust[@]}" "${alice[@]}" "$api/orders"
forged=(-H 'x-forwarded-client-cert: Subject="CN=root"')
if curl -sS "${trust[@]}" "${forged[@]}" "$api/status" | grep -qi client-cert; then fail "a client says who it is"; fi

refused "a certificate of another authority" api.example tls_client_certificate_untrusted \
    "${trust[@]}" --cert "$made/mallory.pem" --key "$made/mallory.key" "$api/status"
refused "an old version" api.example tls_no_shared_version --tls-max 1.2 "${trust[@]}" "$api/status"
refused "a client that does not trust the edge" shop.example tls_alert_from_client --connect-to "::127.0.0.1:" "$shop/"
refused "a name that nobody serves" other.example filter_chain_not_found -k --connect-to "::127.0.0.1:" \
    "https://other.example:$PORT/"
for _ in $(seq 100); do # the log is written behind the connections
    grep -q "^shop shop.example TLSv1.3 -$" "$work/output" && grep -q "^- other.example - -$" "$work/output" && break
    sleep 0.1
done
grep -q "^api api.example - .*CERTIFICATE_VERIFY_FAILED" "$work/output" \
    || fail "the access log does not say why: $(cat "$work/output")"
stats="http://127.0.0.1:$ADMIN_PORT/stats"
expect "no count of the shop's handshakes" "ssl.versions.TLSv1.3: [1-9]" "$stats?filter=ssl.versions"
end "$ADMIN_PORT" "$HTTP_PORT"
