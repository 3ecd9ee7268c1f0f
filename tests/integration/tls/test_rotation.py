"""Secrets that change while the proxy runs: every worker presents the new pair, nobody notices but by its number."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.tls.terminating import TLS, authority
from tests.integration.tls.test_filter_chains import answering, bootstrap
from tests.kit.certificates import Pair
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy, proxyctl
from tests.kit.secrets import put, put_pair, put_secret
from tests.kit.tls_load import HandshakeLoad, meet

DEADLINE = 30.0
FIRST = authority().issue("a.test", name="first")
CLIENT = authority().client()


class Rotating:
    """A running proxy and the directory of its secrets."""

    def __init__(self, proxy: Proxy, directory: Path) -> None:
        self.proxy, self.directory = proxy, directory
        self.address = proxy.address()

    def stat(self, name: str) -> int:
        return self.proxy.stats().get(name, 0)

    def updates(self) -> int:
        return self.stat("listener.tls.server_ssl_socket_factory.ssl_context_update_by_sds")

    def rotate(self, pair: Pair) -> None:
        """Put it in place, and wait until it is in effect."""
        before = self.updates()
        put_pair(self.directory, pair)
        wait_for(lambda: self.updates() > before, deadline=DEADLINE, what="a rotation")

    def worker_connections(self, index: int) -> int:
        return self.stat(f"listener.tls.worker_{index}.downstream_cx_total")

    def seen_at_every_worker(self) -> set[int]:
        """The serial numbers that clients see until each worker has had one."""
        before = [self.worker_connections(index) for index in range(2)]
        serials: set[int] = set()

        def all_asked() -> bool:
            serials.update(meet(self.address, CLIENT, "a.test") for _ in range(4))
            return all(self.worker_connections(index) > count for index, count in enumerate(before))

        wait_for(all_asked, deadline=DEADLINE, what="a connection at each worker")
        return serials


def issue(name: str = "next") -> Pair:
    return authority().issue("a.test", name=name)


@pytest.fixture(scope="module")
def rotating(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rotating]:
    directory = tmp_path_factory.mktemp("secrets")
    wanted = put_secret(directory / "sds.json", "server", tls_certificate=put_pair(directory, FIRST))
    context = {
        "@type": f"type.googleapis.com/{TLS}.DownstreamTlsContext",
        "common_tls_context": {"tls_certificate_sds_secret_configs": [wanted]},
    }
    chain = {"transport_socket": {"name": "tls", "typed_config": context}, "filters": [answering(200)]}
    with Proxy(bootstrap(chain, listener_filters=[], stat_prefix="tls"), concurrency=2) as proxy:
        yield Rotating(proxy, directory)


def test_under_load_nothing_fails_and_every_worker_has_the_new_pair(rotating: Rotating) -> None:
    new = issue()
    with (
        socket.create_connection(rotating.address, timeout=10) as sock,
        CLIENT.wrap_socket(sock, server_hostname="a.test") as old,
        HandshakeLoad(rotating.address, CLIENT, "a.test") as load,
    ):
        rotating.rotate(new)
        assert rotating.seen_at_every_worker() == {new.certificate.serial_number}
        old.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")  # its connection goes on
        assert b" 200 OK" in old.recv(4096)
    assert load.failures == []
    assert set(load.serials) <= {FIRST.certificate.serial_number, new.certificate.serial_number}
    assert rotating.stat("listener_manager.listener_modified") == 0
    assert rotating.stat("listener_manager.total_filter_chains_draining") == 0
    status = json.loads(rotating.proxy.admin("/reload").body)
    assert [entry["why"] for entry in status["history"]] == ["start"]
    assert (status["phase"], status["outcome"]) == ("idle", "")


def test_what_cannot_be_used_is_counted_and_logged_and_the_old_pair_stays(rotating: Rotating) -> None:
    good = issue()
    rotating.rotate(good)
    key, sds = rotating.directory / "tls.key", rotating.directory / "sds.json"
    text = sds.read_text()

    def refuse(name: str, path: Path, content: str) -> None:
        before = rotating.stat(f"sds.server.{name}")
        put(path, content)
        wait_for(lambda: rotating.stat(f"sds.server.{name}") > before, deadline=DEADLINE, what=name)

    refuse("key_rotation_failed", key, FIRST.key)
    assert "the private key is not that of the certificate" in rotating.proxy.output()
    refuse("key_rotation_failed", key, good.key[:100])
    refuse("update_failure", sds, text[:50])
    refuse("update_rejected", sds, text.replace('"server"', '"another"'))
    assert rotating.seen_at_every_worker() == {good.certificate.serial_number}
    assert "PRIVATE KEY" not in rotating.proxy.output()
    put(sds, text)
    put(key, good.key)


def test_a_worker_that_starts_later_has_the_newest_pair(rotating: Rotating) -> None:
    new = issue()
    rotating.rotate(new)
    (worker,) = [each for each in rotating.proxy.processes() if (each["role"], each["index"]) == ("worker", 0)]
    os.kill(worker["pid"], signal.SIGKILL)
    wait_for(
        lambda: [each for each in rotating.proxy.processes() if each["role"] == "worker" and each["restarts"]],
        deadline=DEADLINE,
        what="another worker",
    )
    assert rotating.seen_at_every_worker() == {new.certificate.serial_number}


def test_a_controller_that_starts_later_sees_what_changed_meanwhile(rotating: Rotating) -> None:
    new = issue()
    (controller,) = [each for each in rotating.proxy.processes() if each["role"] == "controller"]
    os.kill(controller["pid"], signal.SIGKILL)
    put_pair(rotating.directory, new)
    wait_for(
        lambda: meet(rotating.address, CLIENT, "a.test") == new.certificate.serial_number,
        deadline=DEADLINE,
        what="the new pair",
    )
    assert rotating.seen_at_every_worker() == {new.certificate.serial_number}


def test_certificates_with_few_days_left(rotating: Rotating) -> None:
    rotating.rotate(authority().issue("a.test", "10.0.0.1", days=5.5))
    few = proxyctl("certs", "--min-days", "7", runtime=rotating.proxy.runtime)
    assert few.returncode == 1
    assert "listener main" in few.stdout
    assert f"{rotating.directory}/tls.crt" in few.stdout
    enough = proxyctl("certs", "--min-days", "5", "--json", runtime=rotating.proxy.runtime)
    assert (enough.returncode, json.loads(enough.stdout)["data"]) == (0, [])
    assert rotating.stat("server.days_until_first_cert_expiring") == 5
    rotating.rotate(authority().issue("a.test", days=-1))
    assert rotating.stat("server.days_until_first_cert_expiring") == 0


def test_a_reload_and_a_hot_restart_take_the_newest_pair(rotating: Rotating) -> None:
    new = issue()
    rotating.rotate(new)
    assert proxyctl("reload", runtime=rotating.proxy.runtime).returncode == 0
    assert rotating.seen_at_every_worker() == {new.certificate.serial_number}
    done = proxyctl("restart", runtime=rotating.proxy.runtime, deadline=120)
    assert done.returncode == 0, done.stderr
    assert rotating.seen_at_every_worker() == {new.certificate.serial_number}
    newer = issue("newer")
    put_pair(rotating.directory, newer)
    wait_for(
        lambda: meet(rotating.address, CLIENT, "a.test") == newer.certificate.serial_number,
        deadline=DEADLINE,
        what="a rotation by the new generation",
    )
