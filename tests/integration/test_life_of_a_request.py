"""The configuration of Envoy's "Life of a request": what of it is still missing, and a request through the rest."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from master.config.finding import Finding
from tests.kit.client import Response, get
from tests.kit.config import findings
from tests.kit.envoy import validate
from tests.kit.origin import Origin
from tests.kit.parity import run_pair
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy

WHOLE = (Path(__file__).parent / "life_of_a_request.yaml").read_text()
MANAGER = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config"
MISSING = {
    "static_resources.listeners[0].listener_filters",
    "static_resources.listeners[0].filter_chains[0].filter_chain_match",
    "static_resources.listeners[0].filter_chains[0].transport_socket",
    f"{MANAGER}.http2_protocol_options",
    "static_resources.clusters[0].transport_socket",
    "static_resources.clusters[0].http2_protocol_options",
    "stats_sinks",
}
"""Fields that are not implemented. Whoever implements one takes it out; nothing is ever added."""


def unsupported() -> list[Finding]:
    return [finding for finding in findings(WHOLE) if finding.kind == "unsupported"]


def remainder(*ports: int) -> str:
    """The configuration without the fields that we report, its endpoints at `ports`."""
    tree: Any = yaml.safe_load(WHOLE)
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


def echo(response: Response) -> dict[str, Any]:
    assert response.status == 200
    received: dict[str, Any] = json.loads(response.body)
    return received


def test_what_is_missing_is_named_and_nothing_else_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = {finding.field_path for finding in unsupported()}
    with capsys.disabled():
        print("", f"{len(missing)} fields of Envoy's life of a request are missing:", *sorted(missing), sep="\n  ")
    assert missing == MISSING
    assert {finding.field_path for finding in findings(WHOLE.replace("{directory}", str(tmp_path)))} == MISSING


def test_a_request_through_the_rest() -> None:
    with Origin("one", "two") as origin, Proxy(remainder(*origin.ports.values())) as proxy:
        edge = proxy.address("listener_https")
        answers = [echo(get(edge, "/foo", "acme.com")) for _ in range(2)]
        assert {answer["origin"] for answer in answers} == {"one", "two"}
        headers = dict(answers[0]["headers"])
        assert headers["x-forwarded-for"]  # use_remote_address
        assert headers["x-forwarded-proto"] == "http"
        assert get(edge, "/foo?a=b", "ACME.com").status == 200
        assert get(edge, "/foo/", "acme.com").status == 404
        assert get(edge, "/foo", "www.acme.com").status == 404
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


@pytest.mark.parity("rule 1", "rule 3")
def test_the_rest_as_envoy_serves_it() -> None:
    # One host, because Envoy begins its round at a random one.
    with Origin() as origin, run_pair(remainder(origin.port)) as pair:
        for target in ("/foo", "/foo?a=b", "/foo/", "/FOO", "/"):
            for host in ("acme.com", "ACME.com", "acme.com:443", "www.acme.com"):
                request = f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"
                pair.send(request.encode()).assert_same()


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
