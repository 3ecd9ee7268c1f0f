#!/usr/bin/env bash
# Runs the proxy with the filter on free ports, asks what a reader would ask, breaks the configuration, runs the tests.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
PYTHON="${PYTHON:-python3}"
PROXYCTL="${PROXYCTL:-proxyctl}"
read -r PORT ORIGIN_PORT ADMIN_PORT < <("$PYTHON" - <<'END'
import random, socket
def free():  # none that the kernel gives to others meanwhile (ip_local_port_range)
    while True:
        try:
            return socket.create_server(("127.0.0.1", random.randrange(15000, 32000)))
        except OSError:
            pass
sockets = [free() for _ in range(3)]
print(*(s.getsockname()[1] for s in sockets))
END
)
work="$(mktemp -d)"
export TRIREME_RUNTIME_DIR="$work/run"
sed -e "s/port_value: 8080/port_value: $PORT/" -e "s/port_value: 9000/port_value: $ORIGIN_PORT/" \
    -e "s/port_value: 9901/port_value: $ADMIN_PORT/" "$here/envoy.yaml" > "$work/envoy.yaml"

"$PYTHON" "$here/../lib/origin.py" origin "$ORIGIN_PORT" &
origin=$!
# Unquoted on purpose: PROXYCTL may be a command with arguments.
$PROXYCTL run -c "$work/envoy.yaml" --filter-path "$here/filters" --concurrency 1 2> "$work/log" &
proxy=$!
finish() {
    kill "$origin" "$proxy" 2>/dev/null || true
    wait || true
    cat "$work/log" >&2
    rm -rf "$work"
}
trap finish EXIT
fail() { echo "check.sh: $*" >&2; exit 1; }

for _ in $(seq 300); do
    curl -fs "http://127.0.0.1:$PORT/health" >/dev/null && break
    kill -0 "$proxy" || exit 1
    sleep 0.1
done
status() { curl -s -o "$work/body" -w '%{http_code}' "$@"; }
[[ "$(status "http://127.0.0.1:$PORT/")" == 401 ]] || fail "somebody without a key got in"
[[ "$(cat "$work/body")" == "a valid key is needed" ]] || fail "the reply is another one"
for _ in $(seq 50); do
    [[ "$(status -H 'x-api-key: open-sesame' "http://127.0.0.1:$PORT/hello")" == 200 ]] && break
    sleep 0.1 # the origin is starting
done
grep -q "^x-client: ali-baba" "$work/body" || fail "the service behind was not told who asks"
if grep -q "open-sesame" "$work/body"; then fail "the key went on"; fi
[[ "$(status "http://127.0.0.1:$PORT/health")" == 200 ]] || fail "the open route needs a key"

sed "s/keys:$/kees:/" "$work/envoy.yaml" > "$work/bad.yaml"
code=0
$PROXYCTL validate -c "$work/bad.yaml" --filter-path "$here/filters" > "$work/findings" || code=$?
[[ "$code" == 3 ]] || fail "validate ended with $code for a bad configuration"
grep -q 'filter_config.value: .*`keys`\|filter_config.value: .*`kees`' "$work/findings" || fail "the finding names nothing"

# As anybody's tests would run, who has the proxy installed: without the settings of this repository.
PYTHONPATH="$here/../..${PYTHONPATH:+:$PYTHONPATH}" "$PYTHON" -m pytest -q -p no:cacheprovider -c /dev/null \
    --rootdir "$here" "$here" > "$work/tests" 2>&1 || { cat "$work/tests" >&2; fail "its own tests fail"; }
kill -TERM "$proxy"
code=0
wait "$proxy" || code=$?
[[ "$code" == 0 ]] || fail "the proxy ended with $code"
echo "python-filter: ok"
