"""What the access log says of TLS clients, those that come in and those that do not, on the real Envoy and on ours."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.net.tls.ocsp import read
from tests.integration.tls.terminating import authority, certificate, inline
from tests.integration.tls.test_clients import _Below
from tests.integration.tls.test_filter_chains import bootstrap
from tests.integration.tls.test_pkcs12 import bundle
from tests.kit import ocsp
from tests.kit.envoy import Envoy
from tests.kit.proxy import Proxy
from tests.parity.log_lines import Logs, json_of, log, run_logs
from tests.parity.rules import of
from tests.parity.test_tls import ALICE, BOB, EXPIRED, FIRST, GET, OLD, STRANGER, Client, secured, validating
from tests.unit.proxy.net.test_client_hello import hello

INSPECTOR = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
SETTLED = [
    "FILTER_CHAIN_NAME", "RESPONSE_FLAGS", "RESPONSE_CODE_DETAILS", "REQUESTED_SERVER_NAME", "DOWNSTREAM_PEER_SUBJECT",
    "DOWNSTREAM_TRANSPORT_FAILURE_REASON", "DOWNSTREAM_TLS_SESSION_ID", "TLS_JA3_FINGERPRINT", "TLS_JA4_FINGERPRINT",
    "CONNECTION_TERMINATION_DETAILS", "DOWNSTREAM_PEER_ISSUER_SERIAL", "DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256",
    "DOWNSTREAM_PEER_OTHERNAME_SAN", "DOWNSTREAM_LOCAL_OTHERNAME_SAN", "DOWNSTREAM_PEER_CHAIN_SERIALS",
]  # fmt: skip
TIMES = [
    "DOWNSTREAM_HANDSHAKE_DURATION", "COMMON_DURATION(DS_HS_BEG:DS_HS_END)", "COMMON_DURATION(DS_CX_BEG:DS_HS_END:us)",
]  # fmt: skip
CHAINS = [
    secured(201, {"server_names": ["first.test"]}, common={"alpn_protocols": ["p1", "p2"]}),
    validating(202, "required.test", required=True),
    validating(203, "named.test", match_typed_subject_alt_names=[{"san_type": "DNS", "matcher": {"exact": "x.test"}}]),
    validating(204, "pinned.test", verify_certificate_hash=["00" * 32]),
    validating(204, "revoked.test", crl=inline(authority().revoke(BOB))),
    secured(205, {"server_names": ["new.test"]}, common={"tls_params": {"tls_minimum_protocol_version": "TLSv1_3"}}),
    secured(206, {"server_names": ["slow.test"]}),
    secured(207, {"server_names": ["stateful.test"]}, disable_stateless_session_resumption=True),
]
CHAINS.append(secured(221, {"server_names": ["p12.test"]}, common={"tls_certificates": [{"pkcs12": bundle(FIRST)}]}))
LATE = ocsp.response(FIRST, authority().pair, days=-1)
STAPLES = {
    "good": (ocsp.response(FIRST, authority().pair), "MUST_STAPLE"),
    "none": (b"", "STRICT_STAPLING"),
    "lenient": (LATE, "LENIENT_STAPLING"),
    "strict": (LATE, "STRICT_STAPLING"),
    "must": (LATE, "MUST_STAPLE"),
    "endless": (ocsp.response(FIRST, authority().pair, days=None), "LENIENT_STAPLING"),
}
STAPLED_UNTIL = [answer.next_update for response, _ in STAPLES.values() if response and (answer := read(response))]
for name, (response, policy) in STAPLES.items():
    staple = {"ocsp_staple": {"inline_bytes": base64.b64encode(response).decode()}} if response else {}
    common = {"tls_certificates": [{**certificate(FIRST), **staple}]}
    chained = secured(220, {"server_names": [f"{name}.staple.test"]}, common=common, ocsp_staple_policy=policy)
    CHAINS.append(chained)
for number, each in enumerate(CHAINS):
    each["name"] = f"chain {number}"
CHAINS[6]["transport_socket_connect_timeout"] = "0.1s"


def listener(name: str, *chains: dict[str, Any], **inspector: Any) -> dict[str, Any]:
    """With one log of its connections, and one of their requests."""
    for chain in chains:
        manager = chain["filters"][0]["typed_config"]
        manager["access_log"] = [log("requests", json_of([*SETTLED, *TIMES]))]
    logs = [log("connections", json_of([*SETTLED, *TIMES]))]
    tree: dict[str, Any] = json.loads(bootstrap(*chains, access_log=logs, stat_prefix=name))
    (found,) = tree["static_resources"]["listeners"]
    found["name"] = name
    found["listener_filters"][0]["typed_config"].update(inspector)
    return dict(found)


@pytest.fixture(scope="module")
def logs() -> Iterator[Logs]:
    unlooked = listener("unlooked", {**secured(208, {}), "name": "unlooked"})
    unlooked["listener_filters"] = []
    listeners = [
        listener("main", *CHAINS, enable_ja3_fingerprinting=True, enable_ja4_fingerprinting=True),
        unlooked,
        listener("mixed", {**secured(209, {"transport_protocol": "raw_buffer"}), "name": "plain"}),
        listener("strict", {**secured(210, {}), "name": "s"}, close_connection_on_client_hello_parsing_errors=True),
    ]
    del listeners[2]["filter_chains"][0]["transport_socket"]
    with run_logs(json.dumps({"static_resources": {"listeners": listeners}})) as running:
        yield running


def of_both(logs: Logs, name: str, count: int) -> list[dict[str, Any]]:
    """The next entries of a log, which are the same on both, but for numbers of BoringSSL's and what no two share."""
    logs.wait_for_lines(name, count)
    envoy, ours = (sorted(map(settled, side), key=json.dumps) for side in logs.values(name))
    assert len(ours) == len(envoy) == count
    for here, there in zip(ours, envoy, strict=True):
        assert here == there
    return ours


def settled(entry: dict[str, Any]) -> dict[str, Any]:
    reason = entry["DOWNSTREAM_TRANSPORT_FAILURE_REASON"]
    entry["DOWNSTREAM_TRANSPORT_FAILURE_REASON"] = reason and re.sub(r"(\|)\d+:|(error:)\w{8}:", r"\1\2", reason)
    entry["DOWNSTREAM_TLS_SESSION_ID"] = len(entry["DOWNSTREAM_TLS_SESSION_ID"] or "")
    return {**entry, **{times: entry[times] is not None for times in TIMES}}


def both(logs: Logs, name: str = "main") -> tuple[tuple[str, int], ...]:
    return logs.pair.envoy.address(name), logs.pair.ours.address(name)


def said(address: tuple[str, int], data: bytes) -> None:
    """Say something, and wait for the answer or the end."""
    with socket.create_connection(address, timeout=10) as sock:
        sock.sendall(data)
        with contextlib.suppress(ConnectionResetError):
            while (answer := sock.recv(4096)) and not answer.endswith(b"\r\n\r\n"):
                pass


CERTIFICATE = "CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_"
REFUSED = [
    (Client("required.test"), "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
    (Client("required.test", version=OLD), "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
    (Client("required.test", pair=STRANGER), f"{CERTIFICATE}X509_verify_cert"),
    (Client("required.test", pair=EXPIRED), "certificate_has_expired"),
    (Client("revoked.test", pair=BOB), "certificate_revoked"),
    (Client("named.test", pair=BOB), f"{CERTIFICATE}SAN_matcher,_certificate_SANs_are_[bob.test]"),
    (Client("pinned.test", pair=ALICE), f"{CERTIFICATE}cert_hash_and_spki"),
    (Client("new.test", version=OLD), "UNSUPPORTED_PROTOCOL"),
]
PLAIN = [
    ("unlooked", GET, "HTTP_REQUEST"),
    ("unlooked", b"CONNECT a:1 HTTP/1.1\r\n\r\n", "HTTPS_PROXY_REQUEST"),
    ("unlooked", b"SSH-2.0-x\r\n", "WRONG_VERSION_NUMBER"),
    ("main", GET, "HTTP_REQUEST"),
    ("mixed", GET, "HTTP_REQUEST"),
]


@pytest.mark.parity("rule 62", *of("config.listener.v3.Listener", "access_log"))
def test_why_clients_were_refused(logs: Logs, tmp_path: Path) -> None:
    for client, _ in REFUSED:
        for address in both(logs):
            assert client.meet(address, tmp_path).status == "refused"
    entries = of_both(logs, "connections", len(REFUSED))
    reasons = [entry["DOWNSTREAM_TRANSPORT_FAILURE_REASON"] for entry in entries]
    for _, words in REFUSED:
        assert any(words in reason for reason in reasons), words


@pytest.mark.parity(*of(INSPECTOR.removeprefix("envoy."), "close_connection_on_client_hello_parsing_errors"))
def test_plain_text(logs: Logs) -> None:
    for listener, data, _ in PLAIN:
        for address in both(logs, listener):
            said(address, data)
    reasons = [entry["DOWNSTREAM_TRANSPORT_FAILURE_REASON"] for entry in of_both(logs, "connections", len(PLAIN))]
    for _, _, words in PLAIN:
        assert any(words in reason for reason in reasons), words
    (served,) = of_both(logs, "requests", 1)
    assert served["DOWNSTREAM_TRANSPORT_FAILURE_REASON"] is None
    for address in both(logs, "strict"):
        said(address, GET)
    logs.wait_for_lines("connections", 1)
    assert [len(lines) for lines in logs.values("connections")] == [1, 1]


@pytest.mark.parity(*of("config.listener.v3.FilterChain", "transport_socket_connect_timeout"))
def test_the_time_is_up(logs: Logs) -> None:
    for address in both(logs):
        said(address, hello("slow.test"))
    (found,) = of_both(logs, "connections", 1)
    assert found["CONNECTION_TERMINATION_DETAILS"] == "transport socket timeout was reached"


@pytest.mark.parity(
    *of(INSPECTOR.removeprefix("envoy."), "enable_ja3_fingerprinting", "enable_ja4_fingerprinting"),
    *of("extensions.transport_sockets.tls.v3.DownstreamTlsContext", "disable_stateless_session_resumption"),
    *of("extensions.transport_sockets.tls.v3.TlsCertificate", "pkcs12"),
)
def test_whoever_comes_in(logs: Logs, tmp_path: Path) -> None:
    clients = [
        Client("first.test", ("p2", "p1")),
        Client("first.test", ("-p", "p1")),
        Client("first.test", version=OLD),
        Client("stateful.test", version=OLD),
        Client("p12.test"),
        Client("required.test", pair=authority().issue("upn:alice@test", "x.test")),
        Client("required.test", pair=_Below().leaf),  # type: ignore[arg-type]
    ]
    for client in clients:
        for address in both(logs):
            assert client.meet(address, tmp_path).status in ("201", "202", "207", "221")
    for name in ("requests", "connections"):
        for found in of_both(logs, name, len(clients)):
            assert re.fullmatch("[0-9a-f]{32}", found["TLS_JA3_FINGERPRINT"])
            assert re.fullmatch("t1[23]d[0-9]{4}.._[0-9a-f]{12}_[0-9a-f]{12}", found["TLS_JA4_FINGERPRINT"])
            stateful = found["REQUESTED_SERVER_NAME"] == "stateful.test"
            assert found["DOWNSTREAM_TLS_SESSION_ID"] == (64 if stateful else 0)


@pytest.mark.parity(
    *of("extensions.transport_sockets.tls.v3.DownstreamTlsContext", "ocsp_staple_policy"),
    *of("extensions.transport_sockets.tls.v3.TlsCertificate", "ocsp_staple"),
)
def test_the_same_responses_are_stapled(logs: Logs, tmp_path: Path) -> None:
    for name, (response, _) in STAPLES.items():
        for asks in (True, False):
            seen = [stapled(address, f"{name}.staple.test", tmp_path, asks=asks) for address in both(logs)]
            assert seen[1] == seen[0], name
            expected = {"good": response, "strict": "refused", "must": "refused"}.get(name, b"") if asks else b""
            assert seen[1] == expected, name
    logs.wait_for_lines("connections", 2 * len(STAPLES))
    logs.lines("connections")
    logs.lines("requests")
    for counted in ("requests", "responses", "omitted", "failed"):
        name = f"listener.main.ssl.ocsp_staple_{counted}"
        assert logs.pair.ours.stats()[name] == logs.pair.envoy.stats()[name] > 0, name


def stapled(address: tuple[str, int], name: str, directory: Path, *, asks: bool) -> bytes | str:
    client = Client(name).context(directory)
    try:
        with (
            socket.create_connection(address, timeout=10) as sock,
            (ocsp.asking(client) if asks else client).wrap_socket(sock, server_hostname=name) as secure,
        ):
            secure.sendall(GET)
            assert secure.recv(4096).startswith(b"HTTP/1.1 220")
            return ocsp.received(secure) if asks else b""
    except OSError:
        return "refused"


@pytest.mark.parity(*of("admin.v3.Certificates", "certificates"))
def test_what_is_told_of_responses(logs: Logs) -> None:
    def details(side: Envoy | Proxy) -> list[str]:
        contexts = json.loads(side.admin("/certs").body)["certificates"]
        found = [certificate.get("ocsp_details") for each in contexts for certificate in each["cert_chain"]]
        ends = {until.strftime("%Y-%m-%dT%H:%M:%SZ") for until in STAPLED_UNTIL if until is not None}
        return sorted(json.dumps(each) for each in found if each is not None and each.get("expiration") in ends)

    assert details(logs.pair.ours) == details(logs.pair.envoy)
    assert len(details(logs.pair.ours)) == len(STAPLES) - 2, "all but the one without an end, and no response"
    first = [
        side.stats()["server.seconds_until_first_ocsp_response_expiring"] for side in (logs.pair.envoy, logs.pair.ours)
    ]
    assert first == [0, 0], "one has expired"


def test_whoever_breaks_the_protocol_later(logs: Logs, tmp_path: Path) -> None:
    before = [side.stats()["listener.main.ssl.connection_error"] for side in (logs.pair.envoy, logs.pair.ours)]
    for address in both(logs):
        with (
            socket.create_connection(address, timeout=10) as sock,
            Client("first.test").context(tmp_path).wrap_socket(sock, server_hostname="first.test") as secure,
        ):
            socket.socket.send(secure, b"\x17\x03\x03\x00\x14" + bytes(20))
            with contextlib.suppress(OSError):
                assert not secure.recv(1)
    logs.wait_for_lines("connections", 1)
    for (entry,) in logs.values("connections"):
        assert "DECRYPTION_FAILED_OR_BAD_RECORD_MAC" in entry["DOWNSTREAM_TRANSPORT_FAILURE_REASON"]
    after = [side.stats()["listener.main.ssl.connection_error"] for side in (logs.pair.envoy, logs.pair.ours)]
    assert after[1] == before[1] + 1
    assert after[0] > before[0], "docs/parity.md: Envoy counts the goodbye that it cannot say any more, too"


def test_nobodys_name_ends_a_line(logs: Logs) -> None:
    names = (b'a\nb "_\xe9.test', b"axb_czd.test", b"axb:czd*test", b"axbyczd.test")
    for name in names:
        for address in both(logs):
            said(address, hello("axbyczd.test").replace(b"axbyczd.test", name))
    entries = of_both(logs, "connections", len(names))
    assert {entry["RESPONSE_FLAGS"] for entry in entries} == {"NR"}
    assert not any("\n" in entry["REQUESTED_SERVER_NAME"] for entry in entries)
