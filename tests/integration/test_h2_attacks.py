"""Attacks by HTTP/2 against the running proxy: each meets its limit, is counted, and told; a neighbour does not notice.

One worker serves both, and its memory is watched. The table is `tests/kit/h2_attacks.py`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

import psutil
import pytest

from tests.kit import h2_attacks
from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.h2_attacks import ATTACKS, OVER_HTTP2, Attack, mount
from tests.kit.h2_client import H2Client
from tests.kit.h2_origin import H2Origin
from tests.kit.large_origin import LargeOrigin
from tests.kit.origin import Origin
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy

ANSWERED_WITHIN = 5.0  # s, far above what an answer takes on a busy machine, far below "hangs"
PROTOCOLS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
HTTP2 = {
    "typed_extension_protocol_options": {
        PROTOCOLS: {
            "@type": f"type.googleapis.com/{PROTOCOLS}",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
}
GROWTH = 20 * 1024 * 1024  # bytes
LARGE = next(at for at, attack in enumerate(ATTACKS) if attack.heads)
TESTED = (*ATTACKS[:LARGE], OVER_HTTP2, *ATTACKS[LARGE:])  # before its like, whose memory it would find free


class Bed(NamedTuple):
    proxy: Proxy
    worker: psutil.Process


def heady() -> Fields:
    """A route whose answer is all head."""
    headers = [{"header": {"key": f"x-{number}", "value": "y" * 4000}} for number in range(4)]
    reply = {"match": {"path": h2_attacks.HEADY}, "direct_response": {"status": 200}}
    return {**reply, "response_headers_to_add": headers}


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    with Origin() as origin, LargeOrigin() as large, H2Origin() as h2:
        routes = (
            heady(),
            route(h2_attacks.LARGE, "large"),
            route(h2_attacks.LARGE_OVER_HTTP2.partition("?")[0], "large-over-http2"),
            route(h2_attacks.SLOW, "origin", idle_timeout="0.5s"),
            route("/h2", "h2"),
            route("/", "origin"),
        )
        listener = http_listener(virtual_host("all", ["*"], *routes), codec_type="HTTP2")
        clusters = [static_cluster("large", large.port), static_cluster("origin", origin.port)]
        clusters += [static_cluster(name, h2.port, **HTTP2) for name in ("h2", "large-over-http2")]
        with Proxy(bootstrap([listener], clusters)) as proxy:
            (pid,) = [process["pid"] for process in proxy.processes() if process["role"] == "worker"]
            with H2Client(proxy.address()) as client:
                assert client.get("/?body=5").status == 200
            yield Bed(proxy, psutil.Process(pid))


class Neighbour:
    """A client that asks for one thing after the other. `waits` are its times (s), `peak` is the worker's memory."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self.waits: list[float] = []
        self.faults: list[object] = []
        self.peak = 0
        self._over = threading.Event()

    def ask(self) -> None:
        try:
            self._ask()
        except OSError as error:  # a time-out, above all
            self.faults.append(error)

    def _ask(self) -> None:
        with H2Client(self._bed.proxy.address()) as client:
            while not (self._over.is_set() and self.waits):
                began = time.monotonic()
                answer = client.get("/?body=5")
                self.waits.append(time.monotonic() - began)
                if (answer.status, len(answer.body)) != (200, 5):
                    self.faults.append(answer)
                    return
                self.peak = max(self.peak, self._bed.worker.memory_info().rss)

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """All through the block, and once more behind it."""
        thread = threading.Thread(target=self.ask)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()


def told(bed: Bed, attack: Attack) -> int:
    stats = bed.proxy.stats()
    return sum(stats.get(name, 0) for name in attack.stats)


@pytest.mark.parametrize("attack", TESTED, ids=lambda attack: attack.name)
def test_attack(bed: Bed, attack: Attack) -> None:
    counted = told(bed, attack)
    before = bed.worker.memory_info().rss
    neighbour = Neighbour(bed)
    with neighbour.asking():
        seen = mount(attack, bed.proxy.address())
    assert neighbour.faults == []
    assert max(neighbour.waits) < ANSWERED_WITHIN
    assert neighbour.peak - before < GROWTH
    if attack.resets:
        assert seen.resets[attack.reset] == sum(seen.resets.values()) >= attack.resets
        assert told(bed, attack) - counted >= attack.resets
        return
    if attack.heads:
        assert seen.heads == attack.heads
        wait_for(lambda: told(bed, attack) > counted, deadline=10, what=f"{attack.stats} has risen")
        return
    assert seen.closed
    assert seen.codes == ([] if attack.code is None else [attack.code])
    assert told(bed, attack) - counted == 1


def test_streams_that_nobody_reads_leave_their_upstream_connection_to_others(bed: Bed) -> None:
    """Together they ask for more than its window, which is 24 MiB."""
    with H2Client(bed.proxy.address(), window=0) as stuck, H2Client(bed.proxy.address()) as neighbour:
        streams = [stuck.begin("/h2?body=500000") for _ in range(60)]
        while not all(stuck.responses[stream].headers for stream in streams):
            stuck.read()
        assert len(neighbour.get("/h2?body=500000").body) == 500000
        assert bed.proxy.stats()["cluster.h2.upstream_cx_total"] == 1
