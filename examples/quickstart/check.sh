#!/usr/bin/env bash
# Runs the quickstart on free ports in a runtime directory of its own and asks what a reader would ask.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
PYTHON="${PYTHON:-python3}"
read -r PORT ORIGIN_PORT ADMIN_PORT < <("$PYTHON" - <<'END'
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(s.getsockname()[1] for s in sockets))
END
)
export PYTHON PORT ORIGIN_PORT ADMIN_PORT
work="$(mktemp -d)"
export TRIREME_RUNTIME_DIR="$work/run"

"$here/run" 2> "$work/log" &
run=$!
trap 'kill "$run" 2>/dev/null || true; wait "$run" || true; cat "$work/log" >&2; rm -rf "$work"' EXIT

for _ in $(seq 300); do
    grep -q "The proxy serves" "$work/log" && break
    kill -0 "$run" || exit 1
    sleep 0.1
done
fail() { echo "check.sh: $*" >&2; exit 1; }
expect() { grep -qi "$2" <<<"$(curl -fsS "${@:3}")" || fail "$1"; }
expect "no answer of the origin" "^hello from the origin: GET /hello" "http://127.0.0.1:$PORT/hello"
expect "the answer did not pass the proxy" "^server: envoy" -I "http://127.0.0.1:$PORT/"
expect "no statistics" "^cluster.origin.upstream_rq_200: [1-9]" "http://127.0.0.1:$ADMIN_PORT/stats"

kill -TERM "$run"
status=0
wait "$run" || status=$?
[[ "$status" == 143 ]] || fail "ended with $status"
[[ ! -S "$TRIREME_RUNTIME_DIR/admin.sock" ]] || fail "left its admin socket behind"
if curl -s "http://127.0.0.1:$PORT/" >/dev/null; then fail "still serves after its end"; fi
trap 'rm -rf "$work"' EXIT
echo "quickstart: ok"
