"""What tests of the reload share: a configuration with two origins, and commands."""

from __future__ import annotations

import json
import socket
import subprocess
from typing import Any

import yaml

from tests.kit.bootstrap import Fields, http_listener, route, static_cluster, virtual_host
from tests.kit.client import Connection, get
from tests.kit.origin import Origin
from tests.kit.proxy import Proxy, proxyctl

KEEP_ALIVE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def listener(cluster: str, *, name: str = "web", port: int = 0, **fields: Any) -> Fields:
    """Everything to `cluster`; `fields` are further ones of the listener."""
    made = http_listener(virtual_host("all", ["*"], route("/", cluster)), name=name) | fields
    if port:
        made["address"]["socket_address"]["port_value"] = port
    return made


def clusters(origin: Origin, *names: str, **fields: Any) -> list[Fields]:
    return [static_cluster(name, origin.ports[name], **fields) for name in names]


def write(proxy: Proxy, listeners: list[Fields], their_clusters: list[Fields]) -> None:
    """Another configuration, for the next reload."""
    tree = yaml.safe_load(proxy.config.read_text())
    tree["static_resources"] = {"listeners": listeners, "clusters": their_clusters}
    proxy.config.write_text(yaml.safe_dump(tree))


def reload(proxy: Proxy) -> dict[str, Any]:
    """`proxyctl reload`, which has to succeed: its status."""
    done = proxyctl("reload", "--json", runtime=proxy.runtime, deadline=120)
    assert done.returncode == 0, done.stdout + done.stderr + proxy.output()[-3000:]
    status = json.loads(done.stdout)["data"]
    assert isinstance(status, dict)
    return status


def apply(proxy: Proxy, listeners: list[Fields], their_clusters: list[Fields]) -> dict[str, str]:
    """`write`, and `reload`: how each resource has changed."""
    write(proxy, listeners, their_clusters)
    return {f"{change['kind']} {change['name']}": change["how"] for change in reload(proxy)["changes"]}


def refuse(proxy: Proxy, code: int) -> str:
    """`proxyctl reload`, which has to fail with `code`: what it says."""
    done = proxyctl("reload", runtime=proxy.runtime, deadline=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr


def control(proxy: Proxy, *arguments: str) -> subprocess.CompletedProcess[str]:
    return proxyctl(*arguments, runtime=proxy.runtime, deadline=120)


def status(proxy: Proxy) -> dict[str, Any]:
    """What `/reload` says."""
    found = json.loads(proxy.admin("/reload").body)
    assert isinstance(found, dict)
    return found


def asked(address: tuple[str, int] | Connection) -> tuple[str, int]:
    """The origin that answers a request, and the serial number of the connection to it."""
    answer = address.request(KEEP_ALIVE) if isinstance(address, Connection) else get(address)
    assert answer.status == 200, answer.body
    found = json.loads(answer.body)
    return found["origin"], found["connection"]


def refused(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, 5).close()
    except (ConnectionRefusedError, ConnectionResetError):
        return True
    return False


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
