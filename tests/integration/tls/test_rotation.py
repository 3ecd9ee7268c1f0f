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
from tests.kit.secrets import put_pair, put_secret
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
    new = authority().issue("a.test", days=5.5)
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
    assert rotating.stat("server.days_until_first_cert_expiring") == 5
    status = json.loads(rotating.proxy.admin("/reload").body)
    assert [entry["why"] for entry in status["history"]] == ["start"]
    assert (status["phase"], status["outcome"]) == ("idle", "")
    few = proxyctl("certs", "--min-days", "7", runtime=rotating.proxy.runtime)
    assert few.returncode == 1
    assert f"{rotating.directory}/tls.crt" in few.stdout


def test_a_pair_that_does_not_match_is_counted_and_logged_and_the_old_one_stays(rotating: Rotating) -> None:
    before, failed = meet(rotating.address, CLIENT, "a.test"), rotating.stat("sds.server.key_rotation_failed")
    put_pair(rotating.directory, Pair(FIRST.certificate, issue().private))
    wait_for(
        lambda: rotating.stat("sds.server.key_rotation_failed") > failed, deadline=DEADLINE, what="a failed rotation"
    )
    assert "the private key is not that of the certificate" in rotating.proxy.output()
    assert "PRIVATE KEY" not in rotating.proxy.output()
    assert meet(rotating.address, CLIENT, "a.test") == before


def test_processes_that_start_later_have_the_newest_pair(rotating: Rotating) -> None:
    """A controller sees what changed while there was none, a worker begins with what is in effect."""
    new = issue()
    processes = {each["role"]: each["pid"] for each in rotating.proxy.processes()}
    os.kill(processes["controller"], signal.SIGKILL)
    put_pair(rotating.directory, new)
    wait_for(
        lambda: meet(rotating.address, CLIENT, "a.test") == new.certificate.serial_number,
        deadline=DEADLINE,
        what="the new pair",
    )
    os.kill(processes["worker"], signal.SIGKILL)
    wait_for(lambda: _restarted(rotating.proxy), deadline=DEADLINE, what="another worker")
    assert rotating.seen_at_every_worker() == {new.certificate.serial_number}


def _restarted(proxy: Proxy) -> bool:
    return sum(each["role"] == "worker" and each["restarts"] > 0 for each in proxy.processes()) == 1
