"""TLS to upstreams on the real Envoy and on ours: what the origin saw, and what became of the request."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tests.integration.tls.terminating import TLS, authority, certificate, inline
from tests.kit import ledger
from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, socket_address, virtual_host
from tests.kit.config import findings
from tests.kit.envoy import Envoy, validate
from tests.kit.parity import Pair, run_pair
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy
from tests.kit.tls_faults import FaultyHosts
from tests.kit.tls_origin import TlsOrigin
from tests.parity.log_lines import json_of, log
from tests.parity.rules import of

ROOT = {"trusted_ca": inline(authority().pem)}
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
SERVER = authority().issue("a.test", "*.b.test", "127.0.0.1", "spiffe://test/server", name="server")
ALICE = authority().issue("alice.test", "10.1.1.1", name="alice")
EXPIRED = authority().issue("expired.test", name="expired", days=-1)
STRANGER = authority("another root").issue("stranger.test", name="stranger")
BOTH = {"tls_params": {"tls_maximum_protocol_version": "TLSv1_3"}}


def tls(validation: Fields | None = None, common: Fields | None = None, **fields: Any) -> Fields:
    """A cluster's `transport_socket`."""
    context = {**({"validation_context": validation} if validation is not None else {}), **(common or {})}
    kind = f"type.googleapis.com/{TLS}.UpstreamTlsContext"
    typed = {"@type": kind, "common_tls_context": context, **fields}
    return {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": typed}}


def named(**options: Any) -> Fields:
    """A cluster's HTTP options with these `upstream_http_protocol_options`."""
    typed = {
        "@type": f"type.googleapis.com/{OPTIONS}",
        "explicit_http_config": {"http_protocol_options": {}},
        "upstream_http_protocol_options": options,
    }
    return {"typed_extension_protocol_options": {OPTIONS: typed}}


def exact(name: str, kind: str = "DNS") -> Fields:
    return {"match_typed_subject_alt_names": [{"san_type": kind, "matcher": {"exact": name}}]}


def bound(address: str, **more: Any) -> Fields:
    """A cluster's `upstream_bind_config` with a source address."""
    return tls() | {"upstream_bind_config": {"source_address": {"address": address, "port_value": 0}, **more}}


AUTO = named(auto_sni=True, auto_san_validation=True)
CLUSTERS: dict[str, Fields] = {
    "auto": tls(ROOT, sni="else.test") | AUTO,
    "auto_sni": tls(sni="static.test") | named(auto_sni=True),
    "auto_san": tls(ROOT, sni="a.test") | named(auto_san_validation=True),
    "auto_and_matcher": tls(ROOT | exact("a.test")) | AUTO,
    "deprecated": tls() | {"upstream_http_protocol_options": {"auto_sni": True}},
    "override": tls() | named(auto_sni=True, override_auto_sni_header="X-Name"),
    "host_sni": tls(sni="else.test", auto_host_sni=True) | {"hostname": "host.test"},
    "no_hostname": tls(sni="a.test", auto_host_sni=True),
    "host_and_auto": tls(auto_host_sni=True) | named(auto_sni=True) | {"hostname": "host.test"},
    "address_sni": tls(sni="127.0.0.1"),
    "sni_san": tls(ROOT | exact("nobody.test"), sni="x.b.test", auto_sni_san_validation=True),
    "sni_san_wrong": tls(ROOT | exact("a.test"), sni="else.test", auto_sni_san_validation=True),
    "sni_san_none": tls(ROOT | exact("a.test"), auto_sni_san_validation=True),
    "client": tls(common={"tls_certificates": [certificate(ALICE)]}),
    "no_protocol": tls(common={"alpn_protocols": ["h9", "other"]}),
    "both": tls(common=BOTH),
    "expired": tls(ROOT, sni="expired.test"),
    "expired_allowed": tls(ROOT | {"allow_expired_certificate": True}, sni="expired.test"),
    "stranger": tls(ROOT, sni="stranger.test"),
    "stranger_accepted": tls(ROOT | {"trust_chain_verification": "ACCEPT_UNTRUSTED"}, sni="stranger.test"),
    "matched": tls(ROOT | exact("x.b.test")),
    "mismatched": tls(ROOT | exact("else.test")),
    "pinned": tls({"verify_certificate_hash": [SERVER.fingerprint]}),
    "not_pinned": tls(ROOT | {"verify_certificate_hash": [ALICE.fingerprint]}),
    "revoked": tls(ROOT | {"crl": inline(authority().revoke(SERVER))}),
    "no_list": tls(ROOT | {"crl": inline(authority("another root").revoke(STRANGER))}),
    "not_revoked": tls(ROOT | {"crl": inline(authority().revoke(ALICE))}),
    "kept_once": tls(common=BOTH, sni="a.test"),
    "kept_never": tls(sni="a.test", max_session_keys=0),
    "encrypts_rsa": tls(ROOT, sni="rsa.test"),
    "encrypts_rsa13": tls(ROOT, BOTH, sni="rsa.test"),
    "encrypts_rsa_unverified": tls(sni="rsa.test"),
    "encrypts_rsa_rsa": tls(common={"tls_params": {"cipher_suites": ["AES128-GCM-SHA256"]}}, sni="rsa.test"),
    "encrypts_rsa_again": tls(sni="rsa.test"),
    "nothing_in_common": tls(ROOT, sni="ec.test"),
    "old": tls(common={"tls_params": {"tls_minimum_protocol_version": "TLSv1_3", **BOTH["tls_params"]}}, sni="old"),
    "plaintext": {},
    "tcp": tls(common={"tls_certificates": [certificate(ALICE)]}, sni="a.test"),
    "tcp_expired": tls(ROOT, sni="expired.test"),
    "tcp_closes": tls(),
    "tcp_source": bound("192.0.2.1"),
    "source": bound("127.0.0.2"),
    "source_any": bound("0.0.0.0"),
    "source_of_another": bound("192.0.2.1"),
    "source_free": bound("192.0.2.1", freebind=True),
    "source_of_ipv6": bound("::1"),
    "source_of_both": bound("::1", extra_source_addresses=[{"address": {"address": "127.0.0.3", "port_value": 0}}]),
    "option": tls() | {"upstream_bind_config": {"socket_options": [{"level": 1, "name": 99999, "int_value": 1}]}},
    "ahead": tls(max_session_keys=0) | {"preconnect_policy": {"per_upstream_preconnect_ratio": 2.5}},
    "ahead_of_few": tls(max_session_keys=0)
    | {
        "preconnect_policy": {"per_upstream_preconnect_ratio": 3},
        "circuit_breakers": {"thresholds": [{"max_connections": 2}]},
    },
    "per_client": tls() | {"connection_pool_per_downstream_connection": True},
    "keepalive": tls() | {"upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 60}}},
    "closes": tls(),
    "resets": tls(),
    "plain": tls(),
    "silent": tls() | {"connect_timeout": "0.3s"},
    "new": tls(),
    "nameless": tls(sni="a.test"),
    "demands": tls(),
    "demands13": tls(common=BOTH),
    "demands_another": tls(common={"tls_certificates": [certificate(STRANGER)]}),
    "match_of_host": tls(sni="cluster")
    | {
        "transport_socket_matches": [
            {"name": "by_name", "match": {"kind": "named"}, **tls(sni="match")},
            {
                "name": "trusting",
                "match": {"kind": 1, "more": [True]},
                **tls(ROOT | exact("nobody.test"), sni="a.test"),
            },
        ],
    },
}
NAMES = ("a.test", "x.b.test:80", "127.0.0.1:1", "[::1]", "nobody.test", "a..b", "A.test", "b" * 256)
OF_ALL = ("a.test",)
HOSTS: dict[str, tuple[str, ...]] = {
    "auto": NAMES, "auto_sni": NAMES, "auto_san": NAMES, "auto_and_matcher": ("a.test", "x.b.test", "else"),
    "encrypts_rsa_again": ("a.test", "a.test", "a.test"), "deprecated": ("a.test", "else"),
    "override": ("a.test", "else"), "host_and_auto": ("a.test", "10.0.0.1"),
}  # fmt: skip
OTHERWISE = {
    r"cluster\.per_client\.upstream_cx_(active|destroy|destroy_local)": "docs/parity.md: when the client has gone",
    r"cluster\.\w+\.ssl\.certificate\..*": "gauges of clusters' certificates are not there yet",
    "TLS_error|setting_SNI": "docs/parity.md: numbers of BoringSSL's errors; compared here",
}
METADATA: dict[str, Fields] = {"match_named": {"kind": "named"}, "match_both": {"kind": 1, "more": [True], "x": 0}}
for name in METADATA:
    CLUSTERS[name] = CLUSTERS["match_of_host"]
OPERATORS = [
    "UPSTREAM_CLUSTER", "REQ(:AUTHORITY)", "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
    *(f"UPSTREAM_TLS_{name}" for name in ("VERSION", "CIPHER", "GROUP", "SESSION_ID")), "UPSTREAM_SERVER_NAME",
    *(f"UPSTREAM_PEER_{name}" for name in ("SUBJECT", "ISSUER", "CERT", "CERT_V_START", "CERT_V_END")),
    "UPSTREAM_PEER_CERT_V_START(%s)", *(f"UPSTREAM_PEER_{name}_SAN" for name in ("DNS", "URI", "IP")),
    *(f"UPSTREAM_LOCAL_{name}_SAN" for name in ("DNS", "URI", "IP")),
]  # fmt: skip
FAILURE = ["RESPONSE_FLAGS", "RESPONSE_CODE_DETAILS", "UPSTREAM_TRANSPORT_FAILURE_REASON"]
OVER_TCP = ("tcp", "tcp_expired", "tcp_closes", "tcp_source")
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:AES128-GCM-SHA256"
NUMBERS = re.compile(r"(\|)\d+:(?=SSL|system)|error:[0-9a-f]{8}:")


def cluster(name: str, port: int, hostname: str = "", **fields: Any) -> Fields:
    endpoint: Fields = {"endpoint": {"address": socket_address("127.0.0.1", port), "hostname": hostname}}
    if name in METADATA:
        endpoint["metadata"] = {"filter_metadata": {"envoy.transport_socket_match": METADATA[name]}}
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}
    return {"name": name, "type": "STATIC", "load_assignment": assignment, "connect_timeout": "5s", **fields}


def tcp_listener(cluster: str) -> Fields:
    """One that passes TCP on to `cluster`, of the same name."""
    proxy = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": cluster,
        "cluster": cluster,
        "access_log": [log(f"tcp_{cluster}", json_of([*OPERATORS, *FAILURE]))],
    }
    chain = {"filters": [{"name": "tcp", "typed_config": proxy}]}
    return {"name": cluster, "address": socket_address("127.0.0.1", 0), "filter_chains": [chain]}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    rsa = authority().issue("rsa.test", rsa_bits=2048, signs=False)
    pairs = {"rsa.test": rsa, "ec.test": authority().issue("ec.test", signs=False)}
    pairs |= {"": SERVER, "expired.test": EXPIRED, "stranger.test": STRANGER}
    directory = tmp_path_factory.mktemp("origin")
    with (
        TlsOrigin(directory, pairs, authority(), prepare=lambda context: context.set_ciphers(CIPHERS)) as origin,
        FaultyHosts(directory, SERVER, authority()) as faulty,
    ):
        ports = {
            **faulty.ports,
            "demands13": faulty.ports["demands"],
            "demands_another": faulty.ports["demands"],
            "tcp_closes": faulty.ports["closes"],
        }
        clusters = [cluster(name, ports.get(name, origin.port), **fields) for name, fields in CLUSTERS.items()]
        everything = virtual_host("all", ["*"], *(route(f"/{name}/", name) for name in CLUSTERS))
        listener = http_listener(everything, access_log=[log("tls", json_of(OPERATORS))])
        listeners = [listener, *map(tcp_listener, OVER_TCP)]
        with run_pair(bootstrap(listeners, clusters), otherwise=OTHERWISE) as running:
            yield running


def seen(pair: Pair, request: bytes) -> tuple[Any, Any]:
    """What the origin saw, or the status and body: Envoy's, ours."""
    found = [
        json.loads(answer.only.body) if answer.status == 200 else (answer.status, answer.only.body)
        for answer in pair.send(request, listener="main")
    ]
    return found[0], found[1]


def failures(side: Envoy | Proxy) -> Counter[tuple[str, ...]]:
    """What the log says of handshakes that failed, without numbers."""
    lines = (side.directory / ledger.NAME).read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    keys = ("UPSTREAM_CLUSTER", "REQ(:AUTHORITY)", "RESPONSE_CODE_DETAILS", "UPSTREAM_TRANSPORT_FAILURE_REASON")
    return Counter(
        tuple(NUMBERS.sub(r"\1", str(entry[key])) for key in keys)
        for entry in entries
        if entry["RESPONSE_FLAGS"] == "UF"
    )


@pytest.mark.parity(
    *of("config.core.v3.UpstreamHttpProtocolOptions", "auto_sni", "auto_san_validation", "override_auto_sni_header"),
    *of("config.cluster.v3.Cluster", "transport_socket_matches", "upstream_bind_config", "upstream_connection_options"),
    *of("config.core.v3.BindConfig", "freebind"),
    *of("extensions.transport_sockets.tls.v3.CertificateValidationContext", "trusted_ca", "crl"),
    *of("extensions.transport_sockets.tls.v3.UpstreamTlsContext", "sni", "auto_host_sni", "auto_sni_san_validation"),
    *of("extensions.transport_sockets.tls.v3.CommonTlsContext", "tls_certificates", "alpn_protocols", "tls_params"),
)
def test_origins_see_the_same_and_failures_have_the_same_words(pair: Pair) -> None:
    for name in CLUSTERS:
        for host in HOSTS.get(name, OF_ALL):
            request = b"GET /%b/ HTTP/1.1\r\nhost: %b\r\nx-name: other.test\r\n\r\n" % (name.encode(), host.encode())
            envoy, ours = seen(pair, request)
            print(name, host, envoy, ours)
    found = failures(pair.ours), failures(pair.envoy)

    def are_the_same() -> bool:
        nonlocal found
        found = failures(pair.ours), failures(pair.envoy)
        return found[0] == found[1] and found[0].total() > 10

    with contextlib.suppress(AssertionError):  # the comparison says more
        wait_for(are_the_same, deadline=10, what="both logs are written")
    assert found[0] == found[1]
    assert found[0].total() > 10


def _all(conditions: list[Callable[[], object]]) -> bool:
    return all(condition() for condition in conditions)


@pytest.mark.parity("rule 62", *of("extensions.filters.network.tcp_proxy.v3.TcpProxy", "access_log"))
def test_tcp_over_tls(pair: Pair) -> None:
    def line(side: Envoy | Proxy, name: str) -> Fields | None:
        path = side.directory / f"tcp_{name}.log"
        found = path.read_text() if path.exists() else ""
        return json.loads(NUMBERS.sub(r"\1", found)) if found.endswith("\n") else None

    for name in OVER_TCP:
        sides = (pair.envoy, pair.ours)
        for side in sides:
            with socket.create_connection(side.address(name), timeout=10) as sock:
                sock.sendall(b"GET /last HTTP/1.1\r\nhost: a.test\r\n\r\n")
                with contextlib.suppress(ConnectionResetError):
                    while sock.recv(65536):
                        pass
        wait_for(partial(_all, [partial(line, side, name) for side in sides]), deadline=10, what=f"both logged {name}")
        envoy, ours = (line(side, name) for side in sides)
        assert envoy
        assert ours
        drawn = [len(entry.pop("UPSTREAM_TLS_SESSION_ID") or "") for entry in (envoy, ours)]
        assert drawn[0] == drawn[1]
        if name == "tcp_source":  # docs/parity.md
            flags = [entry.pop("RESPONSE_FLAGS") for entry in (envoy, ours)]
            assert flags == ["URX", "UF,URX"]
        assert ours == envoy


@pytest.mark.parity(*of("config.cluster.v3.Cluster", "connection_pool_per_downstream_connection"))
def test_a_client_has_connections_of_its_own(pair: Pair) -> None:
    for name, numbers in (("per_client", (1, 2)), ("keepalive", (2, 3))):
        request = b"GET /%b/ HTTP/1.1\r\nhost: a.test\r\n\r\n" % name.encode()
        for answer in pair.send(request * 2, listener="main", responses=2):
            assert tuple(json.loads(response.body)["request"] for response in answer.responses) == numbers


@pytest.mark.parity("rule 45")
def test_the_log_tells_the_same_of_connections(pair: Pair) -> None:
    def lines(side: Envoy | Proxy) -> list[Fields]:
        """Up to the last request; nothing while that is not there."""
        log = side.directory / "tls.log"
        whole, end, _ = (log.read_text() if log.exists() else "").partition("end.test")
        return [json.loads(line) for line in whole.splitlines()[:-1]] if end else []

    pair.send(b"GET /plain/ HTTP/1.1\r\nhost: end.test\r\n\r\n", listener="main")
    wait_for(lambda: all(map(lines, (pair.ours, pair.envoy))), deadline=10, what="both logs are written")
    assert len(lines(pair.ours)) > 50
    for envoy, ours in zip(lines(pair.envoy), lines(pair.ours), strict=True):
        drawn = [entry.pop("UPSTREAM_TLS_SESSION_ID") for entry in (envoy, ours)]
        assert ours == envoy
        assert [len(value or "") for value in drawn] in ([0, 0], [64, 64]), ours


@pytest.mark.parity("extensions.transport_sockets.tls.v3.UpstreamTlsContext.max_session_keys")
def test_the_same_sessions_are_resumed(pair: Pair) -> None:
    for name in ("auto_sni", "kept_once", "kept_never"):
        resumed = []
        for _ in range(3):
            envoy, ours = seen(pair, b"GET /%b/last HTTP/1.1\r\nhost: a.test\r\n\r\n" % name.encode())
            assert ours == envoy, name
            resumed.append(ours["resumed"])
        assert any(resumed) is (name != "kept_never")


REFUSED: dict[str, Fields] = {
    "names without trust": tls(exact("a.test")),
    "a list without trust": tls({"crl": inline(authority().revoke(ALICE))}),
    "time without trust": tls({"allow_expired_certificate": True}),
    "auto_sni_san_validation without validation": tls(sni="a.test", auto_sni_san_validation=True),
    "auto_sni_san_validation without trust": tls({}, sni="a.test", auto_sni_san_validation=True),
    "a match without a socket": {"transport_socket_matches": [{"name": "a", "match": {}}]},
    "a source that is a name": bound("localhost"),
    "two sources of a version": bound(
        "127.0.0.2", extra_source_addresses=[{"address": {"address": "127.0.0.3", "port_value": 0}}]
    ),
    "another source alone": {
        "upstream_bind_config": {
            "extra_source_addresses": [{"address": {"address": "127.0.0.3", "port_value": 0}}],
        }
    },
    "two certificates": tls(common={"tls_certificates": [certificate(ALICE), certificate(SERVER)]}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_both_refuse(name: str) -> None:
    text = bootstrap([], [cluster("c", 1, **REFUSED[name])])
    assert not validate(text)[0]
    assert findings(text)
