"""TLS on the real Envoy and on ours: who gets which filter chain and certificate, who may come in, what is counted."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.integration.tls.terminating import TLS, authority, certificate, inline
from tests.integration.tls.test_filter_chains import bootstrap, chain
from tests.kit.certificates import Pair as KeyPair
from tests.kit.parity import Pair, run_pair
from tests.kit.process import wait_for
from tests.parity.rules import of

GET = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
ROOT = {"trusted_ca": inline(authority().pem)}
FIRST, SECOND = authority().issue("first.test"), authority().issue("*.second.test", "second.test")
ALICE = authority().issue("alice.test", "spiffe://test/alice", name="alice")
BOB = authority().issue("bob.test", name="bob")
EXPIRED = authority().issue("alice.test", name="expired", days=-1)
STRANGER = authority("another root").issue("alice.test", name="stranger")
COUNTED = (
    "handshake", "no_certificate", "connection_error", "fail_verify_no_cert", "fail_verify_error", "fail_verify_san",
    "fail_verify_cert_hash", "versions.TLSv1.2", "versions.TLSv1.3", "sigalgs.ecdsa_secp256r1_sha256",
)  # fmt: skip
INSPECTED = ("tls_found", "tls_not_found", "sni_found", "sni_not_found", "alpn_found", "alpn_not_found")


def secured(status: int, match: dict[str, Any], *pairs: KeyPair, common: Any = None, **fields: Any) -> dict[str, Any]:
    certificates = [certificate(pair) for pair in pairs or (FIRST,)]
    typed = {
        "@type": f"type.googleapis.com/{TLS}.DownstreamTlsContext",
        "common_tls_context": {"tls_certificates": certificates, **(common or {})},
        **fields,
    }
    return {**chain(status, match), "transport_socket": {"name": "tls", "typed_config": typed}}


def validating(status: int, name: str, *, required: bool = False, **validation: Any) -> dict[str, Any]:
    common = {"validation_context": {**ROOT, **validation}}
    return secured(status, {"server_names": [name]}, common=common, require_client_certificate=required)


SAN = [{"san_type": "URI", "matcher": {"prefix": "spiffe://test/"}}]
CHAINS = [
    secured(
        201, {"server_names": ["first.test", "*.second.test"]}, FIRST, SECOND, common={"alpn_protocols": ["p1", "p2"]}
    ),
    secured(202, {"server_names": ["*.test"]}),
    secured(203, {"server_names": ["deep.first.test"], "application_protocols": ["p2"]}),
    secured(204, {"transport_protocol": "tls", "source_type": "SAME_IP_OR_LOOPBACK"}),
    validating(205, "optional.test"),
    validating(206, "required.test", required=True),
    validating(207, "named.test", match_typed_subject_alt_names=SAN),
    validating(208, "revoked.test", crl=inline(authority().revoke(BOB))),
    validating(209, "anybody.test", trust_chain_verification="ACCEPT_UNTRUSTED"),
    chain(210, {}),
]

OTHERWISE = {
    r"http\.in\.downstream_cx_(total|ssl_total|destroy)": "docs/parity.md: a handshake that fails",
    r"http\.in\.downstream_cx_destroy_(local|remote)": "docs/parity.md: who closes first",
}


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    text = bootstrap(*CHAINS, stat_prefix="tls")
    with run_pair(text, otherwise=OTHERWISE) as running:
        yield running


class Outcome(NamedTuple):
    """What a client gets: the status, whose certificate it saw, and what was agreed on."""

    status: str
    certificate: bytes = b""
    alpn: str | None = None
    version: str | None = None


class Client(NamedTuple):
    name: str | None = None
    alpn: tuple[str, ...] = ()
    pair: KeyPair | None = None
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3

    def context(self, directory: Path) -> ssl.SSLContext:
        context = authority().client(self.pair, path=str(directory / "client.pem"), alpn=self.alpn)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = self.version
        return context

    def meet(self, address: tuple[str, int], directory: Path) -> Outcome:
        try:
            with (
                socket.create_connection(address, timeout=10) as sock,
                self.context(directory).wrap_socket(sock, server_hostname=self.name) as secure,
            ):
                secure.sendall(GET)
                answer = secure.recv(4096)
                seen = secure.getpeercert(binary_form=True) or b""
                status = answer.split(b" ")[1].decode() if answer else "nothing"
                return Outcome(status, seen, secure.selected_alpn_protocol(), secure.version())
        except OSError:  # an alert, a reset
            return Outcome("refused")


OLD = ssl.TLSVersion.TLSv1_2
CLIENTS = [
    Client("first.test"),
    Client("first.test", ("p2", "p1")),
    Client("first.test", ("p9",), version=OLD),
    Client("www.second.test"),
    Client("second.test"),
    Client("deep.first.test", ("p2",)),
    Client("deep.first.test", ("p1",)),
    Client("else"),
    Client(),
    *(Client("optional.test", pair=each) for each in (None, ALICE, EXPIRED, STRANGER)),
    *(
        Client("required.test", pair=each, version=version)
        for each in (None, ALICE, STRANGER)
        for version in (OLD, ssl.TLSVersion.TLSv1_3)
    ),
    *(Client("named.test", pair=each) for each in (None, ALICE, BOB)),
    *(Client("revoked.test", pair=each) for each in (ALICE, BOB)),
    *(Client("anybody.test", pair=each) for each in (None, ALICE, STRANGER, EXPIRED)),
]


def _counted(stats: dict[str, int]) -> dict[str, int]:
    names = [*(f"listener.tls.ssl.{name}" for name in COUNTED), *(f"tls_inspector.{name}" for name in INSPECTED)]
    names += ["listener.tls.no_filter_chain_match", "listener.tls.downstream_cx_active"]
    return {name: stats.get(name, 0) for name in names}


def _stats_of_envoy(pair: Pair) -> dict[str, int]:
    stats = json.loads(pair.envoy.admin("/stats?format=json").body)["stats"]
    return {stat["name"]: stat["value"] for stat in stats if "name" in stat}


@pytest.mark.parity(
    "rule 62",
    *of("config.listener.v3.FilterChainMatch", "server_names", "application_protocols", "transport_protocol"),
    *of("extensions.transport_sockets.tls.v3.CommonTlsContext", "validation_context"),
)
def test_the_same_clients_come_in_and_are_counted(pair: Pair, tmp_path: Path) -> None:
    for client in CLIENTS:
        seen = [client.meet(address, tmp_path) for address in (pair.envoy.address("main"), pair.ours.address("main"))]
        assert seen[1] == seen[0], client
    for address in (pair.envoy.address("main"), pair.ours.address("main")):
        with socket.create_connection(address, timeout=10) as sock:
            sock.sendall(GET)
            assert sock.recv(100).startswith(b"HTTP/1.1 210")
    wait_for(
        lambda: _counted(pair.ours.stats()) == _counted(_stats_of_envoy(pair)),
        deadline=15,
        what=f"equal stats: {_counted(pair.ours.stats())} and Envoy's {_counted(_stats_of_envoy(pair))}",
    )


@pytest.mark.parity("extensions.transport_sockets.tls.v3.DownstreamTlsContext.common_tls_context")
def test_resumption(pair: Pair, tmp_path: Path) -> None:
    before = pair.ours.stats().get("listener.tls.ssl.session_reused", 0)
    for address in (pair.envoy.address("main"), pair.ours.address("main")):
        context, session = Client("first.test").context(tmp_path), None
        for attempt in range(2):
            with (
                socket.create_connection(address, timeout=10) as sock,
                context.wrap_socket(sock, server_hostname="first.test", session=session) as secure,
            ):
                secure.sendall(GET)
                secure.recv(4096)
                session = secure.session
                assert secure.session_reused is (attempt == 1)
    wait_for(
        lambda: pair.ours.stats()["listener.tls.ssl.session_reused"] == before + 1,
        deadline=10,
        what="a resumed session",
    )
