"""Secrets on the real Envoy and on ours: of the bootstrap, and of files that change under both."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.integration.tls.terminating import TLS, authority, certificate, inline
from tests.integration.tls.test_filter_chains import bootstrap, chain
from tests.kit.certificates import Pair as KeyPair
from tests.kit.parity import Pair, run_pair
from tests.kit.process import wait_for
from tests.kit.secrets import put, put_pair, put_secret
from tests.kit.tls_load import meet
from tests.parity.rules import of

FIRST, SECOND, STATIC = (
    authority().issue("a.test", "10.1.2.3", "spiffe://a/b", name=name, days=10.5) for name in "123"
)
ALICE, BOB = authority().issue("alice.test", name="alice"), authority().issue("bob.test", name="bob")
SAN = {"san_type": "DNS", "matcher": {"exact": "alice.test"}}
STATS = re.compile(r"sds\.|.*_ssl_socket_factory\.|.*\.ssl\.certificate\.|server\.days_until_first_cert")
NOT_COMPARED = re.compile(r"sds\.\w+\.(update_time|version_text|key_rotation_failed)$")
"""A time; ours have no text; Envoy tries once for each file that is moved."""


class Running(NamedTuple):
    pair: Pair
    directory: Path


def secured(status: int, name: str, common: dict[str, Any]) -> dict[str, Any]:
    typed = {"@type": f"type.googleapis.com/{TLS}.DownstreamTlsContext", "common_tls_context": common}
    socket = {"name": "tls", "typed_config": typed}
    return {**chain(status, {"server_names": [name]}), "transport_socket": socket}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("secrets")
    server = put_secret(directory / "server.json", "server", tls_certificate=put_pair(directory, FIRST))
    trust = put_secret(directory / "trust.json", "trust", validation_context={"trusted_ca": inline(authority().pem)})
    combined = {
        "default_validation_context": {"match_typed_subject_alt_names": [SAN]},
        "validation_context_sds_secret_config": trust,
    }
    upstream = {
        "@type": f"type.googleapis.com/{TLS}.UpstreamTlsContext",
        "common_tls_context": {"tls_certificate_sds_secret_configs": [server], "combined_validation_context": combined},
    }
    cluster = {
        "name": "up",
        "load_assignment": {"cluster_name": "up"},
        "transport_socket": {"name": "tls", "typed_config": upstream},
    }
    text = bootstrap(
        secured(200, "file.test", {"tls_certificate_sds_secret_configs": [server]}),
        secured(
            200,
            "combined.test",
            {"tls_certificate_sds_secret_configs": [{"name": "static"}], "combined_validation_context": combined},
        ),
        clusters=[cluster],
        stat_prefix="tls",
    )
    tree = json.loads(text)
    tree["node"] = {"id": "node", "cluster": "fleet"}
    tree["static_resources"]["secrets"] = [{"name": "static", "tls_certificate": certificate(STATIC)}]
    with run_pair(json.dumps(tree), apart="the stats of secrets are compared here") as pair:
        yield Running(pair, directory)


def both(running: Running, ask: Callable[[Any], Any]) -> tuple[Any, Any]:
    return ask(running.pair.envoy), ask(running.pair.ours)


def all_stats(of_whom: Any) -> dict[str, int]:
    found = json.loads(of_whom.admin("/stats?format=json").body)["stats"]
    return {stat["name"]: stat["value"] for stat in found if "name" in stat}


def stats(of_whom: Any) -> dict[str, int]:
    found = all_stats(of_whom)
    return {name: value for name, value in found.items() if STATS.match(name) and not NOT_COMPARED.match(name)}


def wait_for_equal_stats(running: Running, **expected: int) -> None:
    """Until both say the same, and this of `sds.server.`"""
    wanted = {f"sds.server.{name}": value for name, value in expected.items()}

    def equal() -> bool:
        envoy, ours = both(running, stats)
        return bool(envoy == ours and envoy.items() >= wanted.items())

    wait_for(equal, deadline=20, what=f"equal stats: {both(running, stats)}")


def certificates(of_whom: Any) -> list[str]:
    """Envoy's SDS loads files into its configuration, so it does not know their paths any more."""
    page = json.loads(of_whom.admin("/certs").body)["certificates"]
    for context in page:
        for each in (*context["ca_cert"], *context["cert_chain"]):
            assert each.pop("path")
            each["subject_alt_names"].sort(key=json.dumps)
    return sorted(json.dumps(context, sort_keys=True) for context in page)


def secrets(of_whom: Any) -> Any:
    dumps = json.loads(of_whom.admin("/config_dump").body)["configs"]
    (found,) = [dump for dump in dumps if dump["@type"].endswith("SecretsConfigDump")]
    for secret in found["dynamic_active_secrets"]:
        assert secret.pop("last_updated")
    found["dynamic_active_secrets"].sort(key=lambda secret: secret["name"])
    return found


def serials(running: Running, name: str) -> tuple[int, int]:
    context = ssl.create_default_context(cadata=authority().pem)
    context.check_hostname = False
    envoy, ours = (meet(each.address("main"), context, name) for each in (running.pair.envoy, running.pair.ours))
    return envoy, ours


@pytest.mark.parity(
    "config.bootstrap.v3.Bootstrap.StaticResources.secrets",
    *of("extensions.transport_sockets.tls.v3.Secret", "name", "tls_certificate", "validation_context"),
    *of("extensions.transport_sockets.tls.v3.SdsSecretConfig", "name", "sds_config"),
)
def test_what_is_told_of_secrets_and_certificates(running: Running) -> None:
    wait_for_equal_stats(running, update_success=1)
    envoy, ours = both(running, certificates)
    assert ours == envoy
    envoy, ours = both(running, secrets)
    assert ours == envoy
    assert serials(running, "file.test") == (FIRST.certificate.serial_number,) * 2
    for page in ("/certs", "/config_dump"):
        assert b"PRIVATE KEY" not in running.pair.ours.admin(page).body


@pytest.mark.parity("extensions.transport_sockets.tls.v3.CommonTlsContext.combined_validation_context")
def test_a_combined_validation_context(running: Running, tmp_path: Path) -> None:
    def comes_in(address: tuple[str, int], pair: KeyPair | None) -> bool:
        context = authority().client(pair, path=str(tmp_path / "client.pem"))
        context.check_hostname = False
        try:
            return meet(address, context, "combined.test") == STATIC.certificate.serial_number
        except OSError:
            return False

    for pair, welcome in ((ALICE, True), (BOB, False), (None, False)):
        seen = [comes_in(each.address("main"), pair) for each in (running.pair.envoy, running.pair.ours)]
        assert seen == [welcome, welcome]


@pytest.mark.parity("extensions.transport_sockets.tls.v3.CommonTlsContext.tls_certificate_sds_secret_configs")
def test_files_that_change(running: Running) -> None:
    directory, file = running.directory, running.directory / "server.json"
    text = file.read_text()
    put(directory / "tls.key", SECOND.key)
    wait_for(
        lambda: all(found["sds.server.key_rotation_failed"] for found in both(running, all_stats)),
        deadline=20,
        what="a failed rotation",
    )
    put(directory / "tls.crt", SECOND.chain)
    wait_for(
        lambda: serials(running, "file.test") == (SECOND.certificate.serial_number,) * 2, deadline=20, what="a rotation"
    )
    put(file, "{")
    wait_for_equal_stats(running, update_attempt=2, update_failure=1)
    put(file, text.replace('"server"', '"another"'))
    wait_for_equal_stats(running, update_attempt=3, update_rejected=1)
    inlined = json.loads(text)
    inlined["resources"][0]["tls_certificate"] = certificate(FIRST)
    put(file, json.dumps(inlined))
    wait_for_equal_stats(running, update_attempt=4, update_success=2)
    assert serials(running, "file.test") == (FIRST.certificate.serial_number,) * 2
