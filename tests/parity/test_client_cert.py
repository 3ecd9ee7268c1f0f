"""`x-forwarded-client-cert` of the real Envoy over TLS, and what our function makes of the same certificates."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.config.common import SocketAddress
from proxy.config.identity import ClientCert, Identity
from proxy.filters.network.hcm_identity_config import CLIENT_CERT_DETAILS, CLIENT_CERT_MODES
from proxy.http.headers import Headers
from proxy.http.identity import CLIENT_CERT, Identities
from proxy.net.certificates import Certificates, PeerCertificate
from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.envoy import Envoy
from tests.kit.origin import Origin
from tests.parity.rules import HCM, of

DOWNSTREAM_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
OWN_URIS = ("spiffe://own/a", "spiffe://own/b")
CLIENTS = {
    "rich": ('/C=US/O=Acme "Q", Inc;x/CN=cli ent+', ("spiffe://peer/x@y&z", "http://two"), ("a.test", "*.b.test")),
    "poor": ("/", (), ()),
}
"""Subject, URI names and DNS names of clients' certificates."""

THEIRS = ([], ["By=z;Hash=1"], ["By=z;Hash=1", "By=y"])


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
        self._openssl("req", *self._new_key(name), "-out", f"{name}.csr", "-subj", subject)
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", f"{name}.ext")
        self._openssl("x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.pem")

    def facts(self, name: str) -> Certificates:
        """Of a client that sends its certificate and the authority's."""
        chain = tuple(ssl.PEM_cert_to_DER_cert((self / file).read_text()) for file in (f"{name}.pem", "ca.pem"))
        said = self._openssl("x509", "-in", f"{name}.pem", "-noout", "-subject", "-nameopt", "RFC2253")
        _, uris, hosts = CLIENTS[name]
        return Certificates(PeerCertificate(chain, said.strip().removeprefix("subject="), uris, hosts), OWN_URIS)

    def _new_key(self, name: str) -> tuple[str, ...]:
        return "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key"

    def _openssl(self, *arguments: str) -> str:
        done = subprocess.run(
            ["openssl", *arguments], cwd=self._directory, check=True, capture_output=True, text=True, timeout=30
        )
        return done.stdout


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
def envoy(authority: Authority) -> Iterator[Envoy]:
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
    with Origin() as origin, Envoy(bootstrap(listeners, [static_cluster("origin", origin.port)])) as running:
        yield running


def told_by_envoy(address: tuple[str, int], authority: Authority, client: str, theirs: list[str]) -> list[str]:
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
    return [value for name, value in received if name == "x-forwarded-client-cert"]


@pytest.mark.parity("rule 24", *of(HCM, "forward_client_cert_details", "set_current_client_cert_details"))
@pytest.mark.parametrize("mode", CLIENT_CERT_MODES)
@pytest.mark.parametrize("detailed", [False, True])
def test_what_envoy_tells_of_a_certificate(envoy: Envoy, authority: Authority, mode: str, detailed: bool) -> None:
    config = ClientCert(mode, CLIENT_CERT_DETAILS if detailed else ())  # type: ignore[arg-type]
    rules = Identities(Identity(client_cert=config), "192.0.2.1")
    here = SocketAddress("127.0.0.1", 1)
    for client in ("", *CLIENTS):
        facts = authority.facts(client) if client else Certificates(own_uri_sans=OWN_URIS)
        hop = rules.hop(here, here, b"https", facts)
        for theirs in THEIRS:
            headers = Headers([(CLIENT_CERT, value.encode()) for value in theirs])
            rules.admit(headers, hop)
            # Envoy shows several lines as one.
            ours = [b",".join(headers.get_all(CLIENT_CERT)).decode()] if CLIENT_CERT in headers else []
            envoys = told_by_envoy(envoy.address(f"{mode}-{detailed}"), authority, client, theirs)
            assert (client, theirs, ours) == (client, theirs, envoys)
