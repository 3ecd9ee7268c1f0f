#!/usr/bin/env bash
# Runs the quickstart on free ports in a runtime directory of its own and asks what a reader would ask.
source "$(dirname "${BASH_SOURCE[0]}")/../lib/checks.sh"

begin PORT ORIGIN_PORT ADMIN_PORT
expect "no answer of the origin" "^hello from origin: GET /hello" "http://127.0.0.1:$PORT/hello"
expect "the answer did not pass the proxy" "^server: envoy" -I "http://127.0.0.1:$PORT/"
expect "no statistics" "^cluster.origin.upstream_rq_200: [1-9]" "http://127.0.0.1:$ADMIN_PORT/stats"
end "$PORT" "$ADMIN_PORT"
