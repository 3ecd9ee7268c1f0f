"""What Envoy and our proxy wrote down of the same traffic: a line of the access log per exchange, and all counters.

`recorded` gives every connection manager of a bootstrap the log; `assert_same` compares both ledgers at the end.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.kit.envoy import Envoy
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy

HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
FILE_LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
NAME = "ledger.log"
PATIENCE = 5.0  # s
QUIET = 0.1  # s without a line after which none is on its way: five of the intervals below
FLUSH = ("--file-flush-interval-msec", "20")
"""Envoy's arguments with which its log is not late."""

OPERATORS = [
    "REQ(:METHOD)", "REQ(:PATH)", "REQ(:AUTHORITY)", "REQ(X-ENVOY-ORIGINAL-PATH)", "PROTOCOL", "ROUTE_NAME",
    "RESPONSE_CODE", "RESPONSE_CODE_DETAILS", "RESPONSE_FLAGS", "BYTES_RECEIVED", "UPSTREAM_CLUSTER",
    "UPSTREAM_REQUEST_ATTEMPT_COUNT", "UPSTREAM_TRANSPORT_FAILURE_REASON",
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "GRPC_STATUS",
]  # fmt: skip
COUNTED = re.compile(r"(cluster|http|vhost|tcp)\.")
REFUSED_HEADS = {
    '"(missing_host_header|path_normalization_failed|http1.unexpected_underscore)"': "docs/parity.md: a refused head",
    r"http\.\w+\.downstream_(rq_rx_reset|rq_response_before_rq_complete)": "counted where the codec refuses",
    r"http\.\w+\.downstream_(cx_protocol_error|rq_failed_path_normalization)": "a fragment is the codec's to refuse",
}
"""For `otherwise`: what log and stats say of a head that was refused."""
NOT_COUNTED = re.compile(
    r"http\.admin\.|cluster_manager|.*(_time|_ms|_bytes_\w+|_buffered|_flow_control_\w+|delayed_close_timeout)$"
)
"""Times; bytes on the wire, which names and numbers of connections vary; Envoy's buffers, which fill as reads happen to
come; who closes first (docs/parity.md).
"""


def recorded(bootstrap: str) -> str:
    """`bootstrap` (YAML), its connection managers with the ledger's log beside their own."""
    tree = yaml.safe_load(bootstrap)
    log = {"@type": FILE_LOG, "path": f"{{directory}}/{NAME}", "log_format": {"json_format": _format()}}
    for manager in _managers(tree):
        manager["access_log"] = [*manager.get("access_log", []), {"name": "ledger", "typed_config": log}]
    return yaml.safe_dump(tree, sort_keys=False)


def _format() -> dict[str, str]:
    return {operator: f"%{operator}%" for operator in OPERATORS}


def _managers(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if str(node.get("@type", "")).endswith(HCM):
            yield node
        for part in node.values():
            yield from _managers(part)
    elif isinstance(node, list):
        for part in node:
            yield from _managers(part)


def assert_same(envoy: Envoy, ours: Proxy, otherwise: Mapping[str, str]) -> None:
    """Equal lines, in any order, and equal counters, but for lines in which a pattern of `otherwise` is found, and
    counters whose whole name matches one.
    """
    skipped = [re.compile(pattern) for pattern in otherwise]
    theirs, here = _written(envoy, ours, skipped)
    different = [f"Envoy's: {line}" for line in theirs - here] + [f"ours:    {line}" for line in here - theirs]
    assert not different, "\n".join(["access logs differ:", *different])

    def apart() -> dict[str, tuple[int, int]]:
        theirs, here = _counters(envoy), _counters(ours)
        return {
            name: (theirs.get(name, 0), here.get(name, 0))
            for name in theirs.keys() | here.keys()
            if theirs.get(name, 0) != here.get(name, 0) and not any(one.fullmatch(name) for one in skipped)
        }

    _settle(lambda: not apart())
    assert not apart(), f"counted otherwise, (Envoy, ours): {apart()}"


def _written(envoy: Envoy, ours: Proxy, skipped: Sequence[re.Pattern[str]]) -> tuple[Counter[str], Counter[str]]:
    """The lines of both, once there are as many and neither writes any more; the comparison is the caller's."""
    end = time.monotonic() + PATIENCE
    before = None
    while True:
        now = _lines(envoy, skipped), _lines(ours, skipped)
        if (now == before and now[0].total() == now[1].total()) or time.monotonic() > end:
            return now
        before = now
        time.sleep(QUIET)


def _settle(condition: Callable[[], bool]) -> None:
    """Leave them time for what they write late; the comparison is the caller's."""
    with contextlib.suppress(AssertionError):
        wait_for(condition, deadline=PATIENCE, what="both ledgers are settled")


def _lines(side: Envoy | Proxy, skipped: Sequence[re.Pattern[str]]) -> Counter[str]:
    path = Path(side.directory) / NAME
    whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
    lines = (json.dumps(json.loads(line), sort_keys=True) for line in whole.splitlines())
    found = Counter(line for line in lines if not any(one.search(line) for one in skipped))
    return Counter({_without_places(line, side): count for line, count in found.items()})


def _without_places(line: str, side: Envoy | Proxy) -> str:
    """Each has a directory and ports of its own."""
    listeners = side.listeners if isinstance(side, Envoy) else side.listeners()
    for _, port in itertools.chain.from_iterable(listeners.values()):
        line = line.replace(f":{port}", ":PORT")
    return line.replace(str(side.directory), "{directory}")


def _counters(side: Envoy | Proxy) -> dict[str, int]:
    return {
        name: value
        for name, value in side.stats().items()
        if value and COUNTED.match(name) and not NOT_COUNTED.match(name)
    }
