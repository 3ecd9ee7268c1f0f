# Sourced by the `run` of each example: its ports, the installation, services, proxies, and the end of all of them.
#
# PYTHON, VENV      which Python, and the virtual environment to install into (.venv)
# PROXYCTL          an installed proxyctl to use instead; may be a command with arguments
# <NAME>_PORT, …    other ports than those in the example's files
set -euo pipefail
lib="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
example="$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)"
root="$(cd "$lib/../.." && pwd)"
PYTHON="${PYTHON:-python3}"
VENV="${VENV:-.venv}"

cd "$root"
if [[ -z "${PROXYCTL:-}" ]]; then
    PROXYCTL="$VENV/bin/proxyctl"
    if [[ ! -x "$PROXYCTL" ]]; then
        "$PYTHON" -c 'import sys; sys.exit("Python 3.11 or newer is needed; this is " + sys.version.split()[0]
            + ". PYTHON=python3.12, for instance, names another one.") if sys.version_info < (3, 11) else None'
        echo "installing into $VENV, this once; it may take a minute" >&2
        "$PYTHON" -m venv "$VENV"
        "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --editable .
    fi
fi

work="$(mktemp -d)"
children=() awaited=() marks=() values=(-e "s|/tmp/trireme-example|$work|")
finish() {
    for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
    wait || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ports NAME=NUMBER…: the ports that the example's files name. The environment may choose others.
ports() {
    local pair name
    for pair in "$@"; do
        name="${pair%%=*}"
        declare -g "$name=${!name:-${pair#*=}}"
        # In two steps, so that a chosen number is never taken for the default of another port.
        marks+=(-e "s/port_\(value\|redirect\): ${pair#*=}\b/port_\1: @$name@/")
        values+=(-e "s/@$name@/${!name}/")
        awaited+=("${!name}")
    done
}

# service NAME PORT|SOCKET [PEER]: starts lib/origin.py.
service() {
    "$PYTHON" "$lib/origin.py" "$@" &
    children+=($!)
    awaited+=("$2")
}

# proxy FILE OPTION…: runs the proxy on the example's FILE, with the ports that were chosen.
proxy() {
    sed "${marks[@]}" "${values[@]}" "$example/$1" > "$work/$1"
    # Unquoted on purpose: PROXYCTL may be a command with arguments.
    $PROXYCTL run -c "$work/$1" "${@:2}" &
    children+=($!)
}

accept() {
    "$PYTHON" - "$@" 2>/dev/null <<'END_OF_PYTHON'
import socket, sys
for target in sys.argv[1:]:
    unix = "/" in target
    with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as probe:
        probe.settimeout(1)
        probe.connect(target if unix else ("127.0.0.1", int(target)))
END_OF_PYTHON
}

# serve < TEXT: waits until all of them accept connections, says so with TEXT, and stays until they end or Ctrl-C.
serve() {
    local child
    until accept "${awaited[@]}"; do
        for child in "${children[@]}"; do
            kill -0 "$child" 2>/dev/null || { wait "$child"; exit $?; } # it has said why
        done
        sleep 0.1
    done
    { echo; cat; echo "Ctrl-C ends it."; } >&2
    wait -n "${children[@]}"
}
