"""What routes, headers and access logs say of a TLS connection and of whoever is behind it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.integration.tls.terminating import ask, authority, context, inline, server, terminating
from tests.integration.tls.test_filter_chains import INSPECTOR, chain, over_tls, running
from tests.kit.certificates import Pair
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import Rig

MATCH = "envoy.config.route.v3.RouteMatch"
LOGGED = (
    "DOWNSTREAM_TLS_VERSION",
    "DOWNSTREAM_TLS_CIPHER",
    "DOWNSTREAM_TLS_GROUP",
    "REQUESTED_SERVER_NAME",
    "DOWNSTREAM_PEER_SUBJECT",
    "DOWNSTREAM_PEER_ISSUER",
    "DOWNSTREAM_PEER_SERIAL",
    "DOWNSTREAM_PEER_FINGERPRINT_256",
    "DOWNSTREAM_PEER_DNS_SAN",
    "DOWNSTREAM_PEER_URI_SAN",
    "DOWNSTREAM_PEER_IP_SAN",
    "DOWNSTREAM_PEER_EMAIL_SAN",
    "DOWNSTREAM_PEER_CERT_V_START(%Y)",
    "DOWNSTREAM_PEER_CHAIN_SERIALS",
    "DOWNSTREAM_LOCAL_SUBJECT",
    "DOWNSTREAM_LOCAL_DNS_SAN",
)


def optional() -> dict[str, Any]:
    return context(common={"validation_context": {"trusted_ca": inline(authority().pem)}})


def client(pair: Pair | None, directory: Path) -> Any:
    return authority().client(pair, path=str(directory / "client.pem"))


@run_trio
async def test_the_access_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    fields = json.dumps({name: f"%{name}%" for name in LOGGED})
    hcm = f"""
    access_log:
    - name: file
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
        path: {log}
        log_format: {{json_format: {fields}}}
    """
    alice = authority().issue("alice.test", "spiffe://a/b", "10.0.0.7", "a@b.test", name="alice")
    async with terminating(optional(), hcm=hcm) as rig:
        await ask(rig, client(alice, tmp_path))
        await ask(rig, client(None, tmp_path))
        await rig.quiet()
    known, unknown = map(json.loads, log.read_text().splitlines())
    serial, issuer = (hexadecimal(pair.certificate.serial_number) for pair in (alice, authority().pair))
    assert known == {
        "DOWNSTREAM_TLS_VERSION": "TLSv1.3",
        "DOWNSTREAM_TLS_CIPHER": "TLS_AES_128_GCM_SHA256",
        "DOWNSTREAM_TLS_GROUP": "X25519",
        "REQUESTED_SERVER_NAME": "a.test",
        "DOWNSTREAM_PEER_SUBJECT": "CN=alice",
        "DOWNSTREAM_PEER_ISSUER": "CN=test root",
        "DOWNSTREAM_PEER_SERIAL": serial,
        "DOWNSTREAM_PEER_FINGERPRINT_256": known["DOWNSTREAM_PEER_FINGERPRINT_256"],
        "DOWNSTREAM_PEER_DNS_SAN": "alice.test",
        "DOWNSTREAM_PEER_URI_SAN": "spiffe://a/b",
        "DOWNSTREAM_PEER_IP_SAN": "10.0.0.7",
        "DOWNSTREAM_PEER_EMAIL_SAN": "a@b.test",
        "DOWNSTREAM_PEER_CERT_V_START(%Y)": str(alice.certificate.not_valid_before_utc.year),
        "DOWNSTREAM_PEER_CHAIN_SERIALS": f"{serial},{issuer}",
        "DOWNSTREAM_LOCAL_SUBJECT": "CN=server",
        "DOWNSTREAM_LOCAL_DNS_SAN": "a.test,*.b.test",
    }
    assert len(known["DOWNSTREAM_PEER_FINGERPRINT_256"]) == 64
    assert unknown["DOWNSTREAM_PEER_SUBJECT"] is None
    assert unknown["DOWNSTREAM_TLS_VERSION"] == "TLSv1.3"


def hexadecimal(serial: int) -> str:
    return serial.to_bytes((serial.bit_length() + 7) // 8).hex()


ROUTES = """
name: local
virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - {match: {prefix: /, tls_context: {presented: true, validated: true}}, direct_response: {status: 201}}
  - {match: {prefix: /, tls_context: {presented: true}}, direct_response: {status: 202}}
  - {match: {prefix: /}, direct_response: {status: 203}}
"""


async def status(rig: Rig, pair: Pair | None, directory: Path) -> bytes:
    return (await ask(rig, client(pair, directory))).split(b" ")[1]


@run_trio
@pytest.mark.field(f"{MATCH}.tls_context", f"{MATCH}.TlsContextMatchOptions.presented")
@pytest.mark.field(f"{MATCH}.TlsContextMatchOptions.validated")
async def test_routes_by_certificate(tmp_path: Path) -> None:
    transport_socket = optional()
    validation = transport_socket["typed_config"]["common_tls_context"]["validation_context"]
    validation["trust_chain_verification"] = "ACCEPT_UNTRUSTED"
    strange = authority("another root").issue("x.test")
    async with terminating(transport_socket, route_config=ROUTES) as rig:
        assert await status(rig, server(), tmp_path) == b"201"
        assert await status(rig, strange, tmp_path) == b"202"
        assert await status(rig, None, tmp_path) == b"203"


@run_trio
async def test_tls_is_what_require_tls_asks_for() -> None:
    routes = ROUTES.replace("  domains:", "  require_tls: ALL\n  domains:")
    async with terminating(context(), hcm="use_remote_address: true", route_config=routes) as rig:
        assert (await ask(rig, authority().client())).split(b" ")[1] == b"203"


@pytest.mark.field(f"{INSPECTOR}.enable_ja3_fingerprinting", f"{INSPECTOR}.enable_ja4_fingerprinting")
@run_trio
async def test_a_listener_knows_its_clients_by_their_first_message(tmp_path: Path) -> None:
    path = tmp_path / "log"
    logged = {"text_format_source": {"inline_string": "%TLS_JA3_FINGERPRINT% %TLS_JA4_FINGERPRINT%\n"}}
    file = {"@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(path)}
    logs = [{"name": "file", "typed_config": {**file, "log_format": logged}}]
    config = {
        "@type": f"type.googleapis.com/{INSPECTOR}",
        "enable_ja3_fingerprinting": True,
        "enable_ja4_fingerprinting": True,
    }
    inspector = [{"name": "tls", "typed_config": config}]
    async with running(chain(201, tls=True), access_log=logs, listener_filters=inspector) as rig:
        await over_tls(rig, "a.test")
        await rig.quiet()
    assert re.fullmatch("[0-9a-f]{32} t13d[0-9]{4}00_[0-9a-f]{12}_[0-9a-f]{12}\n", path.read_text())
