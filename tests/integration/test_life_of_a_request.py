"""The configuration of Envoy's "Life of a request": what of it is still missing, and a request through the rest."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from master.config.finding import Finding
from tests.kit.certificates import Authority
from tests.kit.client import Address
from tests.kit.config import findings
from tests.kit.envoy import validate
from tests.kit.origin import Origin
from tests.kit.parity import run_pair
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy

WHOLE = (Path(__file__).parent / "life_of_a_request.yaml").read_text()
MISSING = {"stats_sinks"}
"""Fields that are not implemented. Whoever implements one takes it out; nothing is ever added."""


@pytest.fixture
def certified(tmp_path: Path) -> Path:
    """A directory with the files that the configuration names."""
    pair = Authority().issue("acme.com")
    (tmp_path / "cert.pem").write_text(pair.chain)
    (tmp_path / "key.pem").write_text(pair.key)
    return tmp_path


def unsupported() -> list[Finding]:
    return [finding for finding in findings(WHOLE) if finding.kind == "unsupported"]


def remainder(directory: Path, *ports: int) -> str:
    """The configuration without the fields that we report, its endpoints at `ports`, which speak HTTP/1.1 in plain
    text. The certificate is that of `directory`.
    """
    text = WHOLE.replace("{directory}/cert.pem", f"{directory}/cert.pem").replace(
        "{directory}/key.pem", f"{directory}/key.pem"
    )
    tree: Any = yaml.safe_load(text)
    for of_others in ("transport_socket", "http2_protocol_options"):
        del tree["static_resources"]["clusters"][0][of_others]
    for finding in unsupported():
        parent = tree
        for step in finding.path[:-1]:
            parent = parent[step]
        del parent[finding.path[-1]]
    (locality,) = tree["static_resources"]["clusters"][0]["load_assignment"]["endpoints"]
    del locality["lb_endpoints"][len(ports) :]
    for endpoint, port in zip(locality["lb_endpoints"], ports, strict=True):
        endpoint["endpoint"]["address"]["socket_address"]["port_value"] = port
    return yaml.safe_dump(tree, sort_keys=False)


def ask(address: Address, target: str, host: str = "acme.com", name: str = "acme.com") -> tuple[int, bytes]:
    """Status and body of a GET over TLS; `name` is the server's that is asked for."""
    context = ssl._create_unverified_context()  # whether it is the right one, tests of TLS say
    with (
        socket.create_connection(tcp(address), 30) as sock,
        context.wrap_socket(sock, server_hostname=name) as secured,
    ):
        secured.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        response = http.client.HTTPResponse(secured)
        response.begin()
        return response.status, response.read()


def tcp(address: Address) -> tuple[str, int]:
    assert isinstance(address, tuple)
    return address


def echo(answer: tuple[int, bytes]) -> dict[str, Any]:
    status, body = answer
    assert status == 200
    received: dict[str, Any] = json.loads(body)
    return received


def test_what_is_missing_is_named_and_nothing_else_is_wrong(
    certified: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = {finding.field_path for finding in unsupported()}
    with capsys.disabled():
        print("", f"{len(missing)} fields of Envoy's life of a request are missing:", *sorted(missing), sep="\n  ")
    assert missing == MISSING
    assert {finding.field_path for finding in findings(WHOLE.replace("{directory}", str(certified)))} == MISSING


def test_a_request_through_the_rest(certified: Path) -> None:
    with Origin("one", "two") as origin, Proxy(remainder(certified, *origin.ports.values())) as proxy:
        edge = proxy.address("listener_https")
        answers = [echo(ask(edge, "/foo")) for _ in range(2)]
        assert {answer["origin"] for answer in answers} == {"one", "two"}
        headers = dict(answers[0]["headers"])
        assert headers["x-forwarded-for"]  # use_remote_address
        assert headers["x-forwarded-proto"] == "https"
        assert ask(edge, "/foo?a=b", "ACME.com")[0] == 200
        assert ask(edge, "/foo/")[0] == 404
        assert ask(edge, "/foo", "www.acme.com")[0] == 404
        with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):  # no filter chain is for that name
            ask(edge, "/foo", name="other.com")
        stats = proxy.stats()
        assert stats["http.ingress_http.downstream_rq_2xx"] == 3
        assert stats["http.ingress_http.no_route"] == 2
        assert stats["cluster.some_service.upstream_rq_2xx"] == 3
        log = proxy.directory / "access.log"
        wait_for(
            lambda: log.exists() and len(log.read_text().splitlines()) == 5,
            deadline=30,
            what="the access log is written",
        )
        assert '"GET /foo/ HTTP/1.1" 404 NR' in log.read_text()


def comparable(answer: tuple[int, bytes]) -> tuple[int, Any]:
    """An echo without what is another one each time."""
    status, body = answer
    if status != 200:
        return answer
    received = {key: value for key, value in json.loads(body).items() if key not in ("connection", "request")}
    return status, {**received, "headers": [pair for pair in received["headers"] if pair[0] != "x-request-id"]}


@pytest.mark.parity("rule 1", "rule 3")
def test_the_rest_as_envoy_serves_it(certified: Path) -> None:
    # One host, because Envoy begins its round at a random one.
    with Origin() as origin, run_pair(remainder(certified, origin.port)) as pair:
        addresses = pair.envoy.address(), pair.ours.address()
        for target in ("/foo", "/foo?a=b", "/foo/", "/FOO", "/"):
            for host in ("acme.com", "ACME.com", "acme.com:443", "www.acme.com"):
                theirs, ours = (comparable(ask(address, target, host)) for address in addresses)
                assert ours == theirs


@pytest.mark.parity("rule 66")
def test_envoy_accepts_the_whole(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed, and Envoy loads the certificate when it validates")
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=acme.com", "-days", "2"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run([openssl, *made, *files], check=True, capture_output=True)
    accepted, said = validate(WHOLE.replace("{directory}", str(tmp_path)))
    assert accepted, said
