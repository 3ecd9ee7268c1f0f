# Sourced by the `check.sh` of each example: runs the example on free ports and asks what a reader would ask.
set -euo pipefail
example="$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)"
export PYTHON="${PYTHON:-python3}"

fail() {
    echo "check.sh: $*" >&2
    exit 1
}

# begin NAME…: gives each NAME (a port of the example) a free port, starts the example, waits until it serves.
begin() {
    local free
    free="$("$PYTHON" -c 'if True:
        import random, socket, sys
        def free():  # none that the kernel gives to others meanwhile (ip_local_port_range)
            while True:
                try: return socket.create_server(("127.0.0.1", random.randrange(15000, 32000)))
                except OSError: pass
        sockets = [free() for _ in sys.argv[1:]]
        print(*(f"{name}={s.getsockname()[1]}" for name, s in zip(sys.argv[1:], sockets)))' "$@")"
    # shellcheck disable=SC2086
    export $free
    work="$(mktemp -d)"
    mkdir "$work/tmp"
    export TMPDIR="$work/tmp" TRIREME_RUNTIME_DIR="$work/runtime"
    "$example/run" > "$work/output" 2> "$work/log" &
    run=$!
    trap 'kill "$run" 2>/dev/null || true; wait "$run" || true; cat "$work/log" >&2; rm -rf "$work"' EXIT
    for _ in $(seq 600); do
        grep -q "Ctrl-C ends it" "$work/log" && return
        kill -0 "$run" 2>/dev/null || exit 1
        sleep 0.1
    done
    fail "does not serve"
}

# expect WHAT PATTERN ARGUMENT…: what curl prints with these arguments has a line that matches PATTERN.
expect() {
    local answer
    answer="$(curl -sS --max-time 20 "${@:3}" | tr -d '\r')"
    grep -qiE "$2" <<< "$answer" || fail "$1: expected $2 from curl ${*:3}, got:"$'\n'"$answer"
}

# end PORT…: the example ends on SIGTERM, leaves nothing behind, and nobody listens on these ports any longer.
end() {
    local port status=0
    kill -TERM "$run"
    wait "$run" || status=$?
    [[ "$status" == 143 ]] || fail "ended with $status"
    [[ -z "$(ls "$TMPDIR")" ]] || fail "left behind: $(ls "$TMPDIR")"
    [[ ! -S "$TRIREME_RUNTIME_DIR/admin.sock" ]] || fail "left its admin socket behind"
    for port in "$@"; do
        if curl -s "http://127.0.0.1:$port/" > /dev/null; then fail "still serves on $port"; fi
    done
    trap 'rm -rf "$work"' EXIT
    echo "$(basename "$example"): ok"
}
