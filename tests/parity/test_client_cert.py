"""`x-forwarded-client-cert` on the real Envoy and on ours: the same clients over TLS, the same certificates."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.filters.network.hcm_identity_config import CLIENT_CERT_DETAILS, CLIENT_CERT_MODES
from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair
from tests.parity.rules import HCM, of

DOWNSTREAM_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
OWN_URIS = ("spiffe://own/a", "spiffe://own/b")
CLIENTS = {
    "rich": ('/C=US/O=Acme "Q", Inc;x/CN=cli ent+', ("spiffe://peer/x@y&z", "http://two"), ("a.test", "*.b.test")),
    "odd": ("/O=Zürich\tAG/emailAddress=a@b.test/serialNumber=7/SN=s/GN=g/title=t+CN=two\nlines", (), ("a.test",)),
    "poor": ("/", (), ()),
}
"""Subject, URI names and DNS names of clients' certificates."""

THEIRS: tuple[list[str], ...] = ([], ["By=z;Hash=1"], ["By=z;Hash=1", "By=y"])


class Authority:
    """Makes certificates with openssl's command."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._openssl("req", "-x509", *self._new_key("ca"), "-out", "ca.pem", "-subj", "/CN=ca")

    def __truediv__(self, name: str) -> Path:
        return self._directory / name

    def issue(self, name: str, subject: str, uris: tuple[str, ...] = (), hosts: tuple[str, ...] = ()) -> None:
        names = ",".join([*(f"URI:{uri}" for uri in uris), *(f"DNS:{host}" for host in hosts)])
        (self / f"{name}.ext").write_text(f"subjectAltName={names}" if names else "basicConstraints=CA:FALSE")
        self._openssl("req", "-utf8", "-multivalue-rdn", *self._new_key(name), "-out", f"{name}.csr", "-subj", subject)
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", f"{name}.ext")
        self._openssl("x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.pem")

    def _new_key(self, name: str) -> tuple[str, ...]:
        return "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key"

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self._directory, check=True, capture_output=True, timeout=30)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl command to make certificates with")
    made = Authority(tmp_path_factory.mktemp("certificates"))
    made.issue("server", "/CN=server", OWN_URIS)
    for name, said in CLIENTS.items():
        made.issue(name, *said)
        (made / f"{name}-chain.pem").write_text((made / f"{name}.pem").read_text() + (made / "ca.pem").read_text())
    return made


def over_tls(listener: Fields, authority: Authority) -> Fields:
    pair = {
        "certificate_chain": {"filename": str(authority / "server.pem")},
        "private_key": {"filename": str(authority / "server.key")},
    }
    validation = {"trusted_ca": {"filename": str(authority / "ca.pem")}}
    common = {"tls_certificates": [pair], "validation_context": validation}
    config = {"@type": DOWNSTREAM_TLS, "common_tls_context": common}
    listener["filter_chains"][0]["transport_socket"] = {"name": "tls", "typed_config": config}
    return listener


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Iterator[Pair]:
    everything = virtual_host("v", ["*"], route("/", "origin"))
    listeners = [
        over_tls(
            http_listener(
                everything,
                name=f"{mode}-{bool(details)}",
                forward_client_cert_details=mode,
                set_current_client_cert_details=details,
            ),
            authority,
        )
        for mode in CLIENT_CERT_MODES
        for details in ({}, dict.fromkeys(CLIENT_CERT_DETAILS, True))
    ]
    with Origin() as origin:
        text = bootstrap(listeners, [static_cluster("origin", origin.port)])
        with run_pair(text) as running:
            yield running


def told(address: tuple[str, int], authority: Authority, client: str, theirs: list[str]) -> list[str]:
    """The header as the origin received it."""
    context = ssl.create_default_context(cafile=str(authority / "ca.pem"))
    context.check_hostname = False
    if client:
        context.load_cert_chain(authority / f"{client}-chain.pem", authority / f"{client}.key")
    lines = "".join(f"x-forwarded-client-cert: {value}\r\n" for value in theirs)
    with context.wrap_socket(socket.create_connection(address, timeout=10)) as sock:
        sock.sendall(f"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{lines}\r\n".encode())
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
    received = json.loads(answer.partition(b"\r\n\r\n")[2])["headers"]
    values = [value for name, value in received if name == "x-forwarded-client-cert"]
    return [",".join(values)] if values else []  # Envoy shows several lines as one


@pytest.mark.parity("rule 24", *of(HCM, "forward_client_cert_details", "set_current_client_cert_details"))
@pytest.mark.parametrize("mode", CLIENT_CERT_MODES)
@pytest.mark.parametrize("detailed", [False, True])
def test_what_is_told_of_a_certificate(pair: Pair, authority: Authority, mode: str, detailed: bool) -> None:
    name = f"{mode}-{detailed}"
    for client in ("", *CLIENTS):
        for theirs in THEIRS:
            envoys = told(pair.envoy.address(name), authority, client, theirs)
            ours = told(pair.ours.address(name), authority, client, theirs)
            assert ours == envoys, (client, theirs, [each.partition("Subject=")[2][:200] for each in (*ours, *envoys)])
