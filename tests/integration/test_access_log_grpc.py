"""Access logs of gRPC services in the running proxy: a service that comes and goes, and one that is not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.als_server import AlsServer
from tests.kit.bootstrap import bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.client import Connection
from tests.kit.origin import Origin
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy
from tests.parity.test_access_log_grpc import HTTP2, logger


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


def configuration(origin: Origin, port: int, **common: Any) -> str:
    log = logger("HttpGrpcAccessLogConfig", "log")
    log["typed_config"]["common_config"].update(common)
    listener = http_listener(virtual_host("v", ["*"], route("/", "origin")), access_log=[log])
    return bootstrap([listener], [static_cluster("origin", origin.port), static_cluster("als", port, **HTTP2)])


def ask(proxy: Proxy, *targets: str) -> None:
    with Connection(proxy.address()) as connection:
        for target in targets:
            assert connection.request(f"GET {target}?body=1 HTTP/1.1\r\nhost: h\r\n\r\n".encode()).status == 200


def paths(als: AlsServer) -> list[str]:
    return [entry["request"]["path"].partition("?")[0] for entry in als.entries("log")]


def test_a_service_that_goes_and_comes_back(origin: Origin, tmp_path: Path) -> None:
    path = tmp_path / "entries"
    with AlsServer(path) as als:
        port = als.port
        with Proxy(configuration(origin, port)) as proxy:
            ask(proxy, "/first", "/second")
            wait_for(lambda: paths(als) == ["/first", "/second"], deadline=20, what="it has them")
            als.process.kill()
            als.process.wait()
            ask(proxy, "/lost")  # nobody waits for the log
            with AlsServer(path, port=port) as again:

                def arrived() -> bool:
                    ask(proxy, "/third")
                    return "/third" in paths(again)

                wait_for(arrived, deadline=30, what="it has those that came later")
            stats = proxy.stats()
            assert stats["access_logs.grpc_access_log.logs_written"] >= 4
            assert stats["server.worker_restarts"] == 0


def test_what_is_buffered_goes_out_with_the_worker(origin: Origin, tmp_path: Path) -> None:
    with AlsServer(tmp_path / "entries") as als:
        with Proxy(configuration(origin, als.port, buffer_flush_interval="3600s")) as proxy:
            ask(proxy, "/kept")
            assert paths(als) == []
            proxy.stop()
        assert paths(als) == ["/kept"]


def test_a_full_buffer_does_not_wait(origin: Origin, tmp_path: Path) -> None:
    with (
        AlsServer(tmp_path / "entries") as als,
        Proxy(configuration(origin, als.port, buffer_flush_interval="3600s", buffer_size_bytes=1000)) as proxy,
    ):
        ask(proxy, *(f"/{number}" for number in range(20)))
        wait_for(lambda: len(paths(als)) >= 10, deadline=20, what="full buffers were sent")
