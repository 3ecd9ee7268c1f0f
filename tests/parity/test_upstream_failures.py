"""A cluster of ours beside Envoy's, on the same misbehaving origins: the same outcome, the same counters.

Our side is `proxy.upstream` alone: what it raises is what Envoy's access log says, and what it counts is what Envoy's
`cluster.*` stats say. Nothing expected is stored here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import yaml

from proxy.config.common import Address, SocketAddress
from proxy.errors import ProxyError
from proxy.http.headers import Headers
from tests.kit.client import Connection, ConnectionEnded
from tests.kit.envoy import Envoy
from tests.kit.origin import Origin
from tests.kit.process import wait_for
from tests.kit.trio import run_trio
from tests.kit.unreachable import Unreachable, envoy_address
from tests.unit.upstream.rig import Rig, read_body

EXTENSIONS = "type.googleapis.com/envoy.extensions"
REQUESTS = 3
CONNECT_TIMEOUT = 0.3
PAUSE = 0.05  # after each request, for closes that follow it to arrive

# What the origin does, in the words of tests/kit/origin.py.
SCRIPTS = {
    "plain": "",
    "chunked": "chunked=100000",
    "204": "status=204",
    "500": "status=500",
    "informational": "informational=103",
    "connection-close": "header=connection:close",
    "until-close": "until_close=2000",
    "close-before": "close=before",
    "reset-before": "close=before&reset=1",
    "close-after-head": "close=head&body=10",
    "close-in-body": "close=half&body=100000",
    "reset-in-body": "close=half&body=100000&reset=1",
    "close-in-chunks": "close=half&chunked=100000",
    "half-a-status-line": "raw=HTTP/1.1 2",
    "half-a-head": "raw=HTTP/1.1 200 OK%0d%0Acontent-le",
    "junk": "raw=hello there%0d%0a%0d%0a",
    "old-version": "raw=HTTP/1.0 200 OK%0d%0acontent-length: 2%0d%0a%0d%0aok",
    "surplus": "raw=HTTP/1.1 200 OK%0d%0acontent-length: 2%0d%0a%0d%0aok and more",
    "second-response": "raw=HTTP/1.1 204 No%0d%0a%0d%0aHTTP/1.1 200 OK%0d%0acontent-length: 2%0d%0a%0d%0aok",
    "two-lengths": "raw=HTTP/1.1 200 OK%0d%0acontent-length: 2%0d%0acontent-length: 3%0d%0a%0d%0aok",
    "many-headers": "&".join(f"header=x{number}:y" for number in range(120)),
    "100": "informational=100",
}
# Derived by the reader, bytes of another request head, and figures of Envoy's buffers.
NOT_COMPARED = ("completed", "xx", "bytes", "buffered", "flow_control")


def bootstrap(addresses: dict[str, Address], log: Path) -> str:
    entry = {"details": "%RESPONSE_CODE_DETAILS%", "flags": "%RESPONSE_FLAGS%", "status": "%RESPONSE_CODE%"}
    manager = {
        "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "p",
        "access_log": [
            {
                "name": "file",
                "typed_config": {
                    "@type": f"{EXTENSIONS}.access_loggers.file.v3.FileAccessLog",
                    "path": str(log),
                    "log_format": {"json_format": entry},
                },
            }
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "v",
                    "domains": ["*"],
                    "routes": [{"match": {"path": f"/{name}"}, "route": {"cluster": name}} for name in addresses],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{EXTENSIONS}.filters.http.router.v3.Router"},
            }
        ],
    }
    listener = {
        "name": "l",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
    }
    clusters = [
        {
            "name": name,
            "connect_timeout": f"{CONNECT_TIMEOUT}s",
            "load_assignment": {
                "cluster_name": name,
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": envoy_address(address)}}]}],
            },
        }
        for name, address in addresses.items()
    ]
    return yaml.safe_dump({"static_resources": {"listeners": [listener], "clusters": clusters}})


class Bench:
    """Envoy and the addresses of its clusters, one per scenario."""

    def __init__(self, envoy: Envoy, addresses: dict[str, Address], log: Path) -> None:
        self.envoy = envoy
        self.addresses = addresses
        self._log = log

    def outcomes(self, name: str) -> list[dict[str, Any]]:
        """Envoy's log lines for `REQUESTS` requests one after another, with the local replies' bodies."""
        before = self._lines()
        bodies = []
        for _ in range(REQUESTS):
            bodies.append(self._request(name))
            time.sleep(PAUSE)
        wait_for(lambda: self._lines() >= before + REQUESTS, deadline=30, what="Envoy's access log is written")
        lines = [json.loads(line) for line in self._log.read_text().splitlines()[before:]]
        return [{**line, "status": int(line["status"]), "body": body} for line, body in zip(lines, bodies, strict=True)]

    def counters(self, name: str) -> dict[str, int]:
        """The cluster's counters and gauges that are not 0."""
        prefix = f"cluster.{name}.upstream_"
        return compared(
            {key.removeprefix(prefix): n for key, n in self.envoy.stats().items() if key.startswith(prefix)}
        )

    def _lines(self) -> int:
        return len(self._log.read_text().splitlines()) if self._log.exists() else 0

    def _request(self, name: str) -> bytes | None:
        head = f"GET /{name} HTTP/1.1\r\nhost: h\r\nx-script: {SCRIPTS.get(name, '')}\r\n\r\n"
        with Connection(self.envoy.address()) as connection:
            try:
                response = connection.request(head.encode())
            except ConnectionEnded:
                return None
        return response.body if b"upstream connect error" in response.body else None


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("upstream")
    log = directory / "access.log"
    with Origin() as origin, Unreachable(directory) as unreachable:
        scripted = {name: SocketAddress(origin.host, origin.port) for name in SCRIPTS}
        addresses = {**scripted, **unreachable.addresses}
        with Envoy(bootstrap(addresses, log), arguments=("--file-flush-interval-msec", "20")) as envoy:
            yield Bench(envoy, addresses, log)


def compared(stats: dict[str, int]) -> dict[str, int]:
    return {name: n for name, n in stats.items() if n and not any(part in name for part in NOT_COMPARED)}


async def our_outcome(rig: Rig, name: str) -> dict[str, Any]:
    """One request through our cluster, in the words of Envoy's access log."""
    seen: list[int] = []
    stream = None
    headers = Headers([(b"x-script", SCRIPTS.get(name, "").encode())])
    try:
        stream = await rig.cluster.open_stream()
        await stream.send_request(b"GET", b"/" + name.encode(), b"h", headers, end_stream=True)
        await read_body(stream, seen)
    except ProxyError as error:
        found = {"details": error.detail, "flags": error.flag.value if error.flag else "-"}
        return (
            {**found, "status": seen[0], "body": None}
            if seen
            else {**found, "status": error.status, "body": error.body.encode()}
        )
    finally:
        if stream is not None:
            stream.close()
    return {"details": "via_upstream", "flags": "-", "status": seen[0], "body": None}


@run_trio
async def run_ours(rig: Rig, name: str, outcomes: list[dict[str, Any]], counters: dict[str, int]) -> None:
    async with rig:
        for _ in range(REQUESTS):
            outcomes.append(await our_outcome(rig, name))
            await trio.sleep(PAUSE)
            rig.cluster.reap(trio.current_time())
        counters.update(compared(rig.nonzero()))


@pytest.mark.parity("rule 28", "rule 56")
@pytest.mark.parametrize("name", [*SCRIPTS, "refused", "never-accepted", "no-such-socket", "dead-socket"])
def test_outcome_and_counters(bench: Bench, name: str) -> None:
    theirs = bench.outcomes(name)
    ours: list[dict[str, Any]] = []
    counters: dict[str, int] = {}
    run_ours(Rig(bench.addresses[name], connect_timeout=CONNECT_TIMEOUT), name, ours, counters)
    assert ours == theirs
    assert counters == bench.counters(name)
