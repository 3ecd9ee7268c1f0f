"""Bulk through the running program: the right bytes, exact counts, nothing left. `TRIREME_TRANSFER_MB` says how many.

Run with `-s` for throughput and CPU time per GB.
"""

from __future__ import annotations

import os
import time

import psutil

from tests.kit.process import wait_for
from tests.kit.proxy import Proxy
from tests.kit.transfer import SEED, TransferOrigin, run_clients
from tests.unit.proxy.filters.network.tcp import tcp_bootstrap

TOTAL = int(os.environ.get("TRIREME_TRANSFER_MB", "300")) * 10**6
MEAN = 4 * 1024 * 1024


def worker(proxy: Proxy) -> psutil.Process:
    (found,) = (entry["pid"] for entry in proxy.processes() if entry["role"] == "worker")
    return psutil.Process(found)


def quiet(proxy: Proxy) -> dict[str, int]:
    """The stats once no connection is left."""

    def none_left() -> bool:
        stats = proxy.stats()
        return not any(stats[name] for name in ("cluster.c.upstream_cx_active", "cluster.c.upstream_rq_active"))

    wait_for(none_left, deadline=30, what="every connection is closed")
    return proxy.stats()


def descriptors(process: psutil.Process) -> int:
    return process.num_fds()


def test_random_cuts_half_closes_and_resets() -> None:
    with TransferOrigin() as origin, Proxy(tcp_bootstrap("stat_prefix: t, cluster: c", c=origin.port)) as proxy:
        process, address = worker(proxy), proxy.address()
        before = descriptors(process)
        cpu, began = sum(process.cpu_times()[:2]), time.monotonic()
        plans = run_clients(address, TOTAL // 2, mean=MEAN, resets=False)
        seconds, cpu = time.monotonic() - began, sum(process.cpu_times()[:2]) - cpu
        stats = quiet(proxy)
        up = sum(plan.upload + SEED.size for plan in plans)
        down = sum(plan.download for plan in plans)
        print(f"\n{(up + down) / 1e9:.2f} GB in {seconds:.1f} s, {cpu * 1e9 / (up + down):.2f} s of CPU per GB")
        assert stats["tcp.t.downstream_cx_rx_bytes_total"] == stats["cluster.c.upstream_cx_tx_bytes_total"] == up
        assert stats["tcp.t.downstream_cx_tx_bytes_total"] == stats["cluster.c.upstream_cx_rx_bytes_total"] == down
        assert stats["tcp.t.downstream_cx_total"] == len(plans)

        broken = run_clients(address, TOTAL // 2, mean=MEAN, resets=True)
        stats = quiet(proxy)
        assert stats["tcp.t.downstream_cx_total"] == len(plans) + len(broken)
        assert stats["tcp.t.downstream_cx_tx_bytes_buffered"] == 0
        assert stats["cluster.c.upstream_cx_tx_bytes_total"] <= stats["tcp.t.downstream_cx_rx_bytes_total"]
        assert stats["cluster.c.upstream_cx_rx_bytes_total"] >= stats["tcp.t.downstream_cx_tx_bytes_total"]
        # Spare pipes are kept; a direction has one at most.
        assert descriptors(process) <= before + 2 * 2 * 6
        assert origin.faults() == ""
