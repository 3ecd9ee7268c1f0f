"""A hot restart on the real Envoy and on ours, a request in the old one's hands: the same gauges say the same."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.kit.bootstrap import one_origin
from tests.kit.client import Address, Connection, ConnectionEnded, fetch
from tests.kit.envoy import binary
from tests.kit.origin import Origin
from tests.kit.process import START_DEADLINE, stop, wait_for
from tests.kit.proxy import Proxy, proxyctl

GAUGES = ("hot_restart_epoch", "hot_restart_generation", "parent_connections", "total_connections")
SLOW = b"GET /?delay=60 HTTP/1.1\r\nHost: a\r\n\r\n"
QUICK = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def gauges(stats: bytes) -> dict[str, int]:
    found = {stat["name"]: stat["value"] for stat in json.loads(stats)["stats"] if "name" in stat}
    return {name: found[f"server.{name}"] for name in GAUGES}


class Epochs:
    """Envoys that follow one another on one port."""

    def __init__(self, bootstrap: str, directory: Path) -> None:
        self._directory = directory
        self.port = free_port()
        tree = yaml.safe_load(bootstrap)
        tree["static_resources"]["listeners"][0]["address"]["socket_address"]["port_value"] = self.port
        tree["admin"] = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": free_port()}}}
        tree["stats_flush_interval"] = "0.2s"
        self._admin = ("127.0.0.1", tree["admin"]["address"]["socket_address"]["port_value"])
        self._config = directory / "envoy.yaml"
        self._config.write_text(yaml.safe_dump(tree))
        self._base = random.SystemRandom().randrange(1, 100_000_000)
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        epoch = len(self.processes)
        command = [str(binary()), "-c", str(self._config), "--concurrency", "1", "--base-id", str(self._base)]
        command += ["--restart-epoch", str(epoch), "--parent-shutdown-time-s", "30", "--drain-time-s", "20"]
        command += ["--log-path", str(self._directory / f"log.{epoch}")]
        quiet = subprocess.DEVNULL
        self.processes.append(subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet))
        wait_for(lambda: self.epoch() == epoch, deadline=START_DEADLINE, what=f"epoch {epoch} answers")

    def epoch(self) -> int | None:
        try:
            info = json.loads(self.ask("/server_info"))
        except (OSError, ConnectionEnded, ValueError):
            return None
        return info["command_line_options"]["restart_epoch"] if info["state"] == "LIVE" else None

    def ask(self, target: str) -> bytes:
        return fetch(self._admin, f"GET {target} HTTP/1.1\r\nHost: admin\r\n\r\n".encode()).body

    def close(self) -> None:
        for process in reversed(self.processes):
            stop(process)


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


def told(ask: Callable[[], bytes], *, parents: int, total: int, deadline: float = 20.0) -> dict[str, int]:
    """The gauges once they have settled: Envoy's follow its flush interval, ours the heartbeat."""

    def settled() -> dict[str, int] | None:
        found = gauges(ask())
        return found if (found["parent_connections"], found["total_connections"]) == (parents, total) else None

    found = wait_for(settled, deadline=deadline, what=f"{parents} of {total} connections are the parent's")
    assert isinstance(found, dict)
    return found


def of_one_more(stack: contextlib.ExitStack, address: Address, ask: Callable[[], bytes]) -> dict[str, int]:
    """The gauges with a connection that the new one serves: the old one may still accept what comes at once."""
    for patience in (3.0, 3.0, 3.0, 20.0):
        new = stack.enter_context(Connection(address))
        assert new.request(QUICK).status == 200
        try:
            return told(ask, parents=1, total=2, deadline=patience)
        except AssertionError:
            new.sock.close()
    raise AssertionError("no connection is the new one's")


@pytest.mark.parity("rule 54")
def test_gauges_before_during_and_after_the_drain(origin: Origin, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        envoy = Epochs(one_origin(origin.port), tmp_path)
        stack.callback(envoy.close)
        envoy.start()
        proxy = stack.enter_context(Proxy(one_origin(origin.port), arguments=["--shutdown-drain-time-s", "1"]))
        sides = {
            ("127.0.0.1", envoy.port): lambda: envoy.ask("/stats?format=json"),
            proxy.address(): lambda: proxy.admin("/stats?format=json").body,
        }
        olds = [stack.enter_context(Connection(address)) for address in sides]
        for old in olds:
            old.send(SLOW)
        theirs, ours = (told(ask, parents=0, total=1) for ask in sides.values())
        assert ours["hot_restart_epoch"] == theirs["hot_restart_epoch"] == 0
        assert ours["hot_restart_generation"] == theirs["hot_restart_generation"]
        envoy.start()
        assert proxyctl("restart", runtime=proxy.runtime).returncode == 0
        theirs, ours = (of_one_more(stack, address, ask) for address, ask in sides.items())
        assert ours == theirs
        for old in olds:
            old.close()
        theirs, ours = (told(ask, parents=0, total=total) for ask, total in zip(sides.values(), (2, 1), strict=True))
        # Envoy adds the parent's own gauge, of which it has the last value, to what it has asked the parent itself.
        assert ours == {**theirs, "total_connections": 1}
