#!/usr/bin/env bash
# Opens WebSockets on each route, lets one be silent for too long, and looks at the log and the counters.
source "$(dirname "${BASH_SOURCE[0]}")/../lib/checks.sh"

begin PORT ADMIN_PORT CHAT_PORT
stats="http://127.0.0.1:$ADMIN_PORT/stats"
client() { "$PYTHON" "$example/client.py" "ws://127.0.0.1:$PORT$1" "${@:2}"; }

[[ "$(client /chat hello again)" == $'hello\nagain\nclosed by us' ]] || fail "no echo: $(client /chat hello again)"
[[ "$(client /plain/x)" == "refused: 403" ]] || fail "an upgrade where there is none: $(client /plain/x)"
expect "the same service in HTTP" "^plain HTTP: /plain/x" "http://127.0.0.1:$PORT/plain/x"
said="$(client /impatient --wait hello)"
[[ "$said" == $'hello\nclosed by the other side' ]] || fail "a silent tunnel: $said"

expect "no count of tunnels" "^http.web.downstream_cx_upgrades_total: 2$" "$stats"
expect "a tunnel is still open" "^http.web.downstream_cx_upgrades_active: 0$" "$stats"
expect "no count of the refused upgrade" "^http.web.downstream_rq_ws_on_non_ws_route: 1$" "$stats"
for _ in $(seq 100); do # the log is written behind the requests
    [[ "$(grep -c '"upgrade":' "$work/output")" == 4 ]] && break
    sleep 0.1
done
for line in '"details":"upgrade_failed"' '"details":"stream_idle_timeout".*"path":"/impatient"' '"status":101,"upgrade":"websocket"'; do
    grep -q "$line" "$work/output" || fail "the access log has no $line: $(cat "$work/output")"
done
end "$PORT" "$ADMIN_PORT"
