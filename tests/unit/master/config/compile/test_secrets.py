"""Secrets by name: of the bootstrap, and of files; what of a TLS context comes from which."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from proxy.config.bootstrap import CompiledConfig
from proxy.config.tls import DownstreamTls, UpstreamTls
from tests.integration.tls.terminating import authority, certificate, inline
from tests.integration.tls.test_pkcs12 import bundle
from tests.kit.certificates import Pair
from tests.kit.config import bootstrap, compiled, findings
from tests.kit.secrets import TLS, files, put_pair, put_secret

FIRST, SECOND = authority().issue("first.test"), authority().issue("second.test")
CORE = "envoy.config.core.v3"
SAN = {"san_type": "DNS", "matcher": {"exact": "client.test"}}
KEYS = {"keys": [{"inline_bytes": "QUFBQUFBQUFBQUFBQUFBQUFBQUE=" * 4}]}


def downstream(*, secrets: tuple[dict[str, Any], ...] = (), common: Any = None, **fields: Any) -> str:
    """The bootstrap of a listener with this `DownstreamTlsContext`, and with these secrets."""
    context = {"@type": f"type.googleapis.com/{TLS}.DownstreamTlsContext", "common_tls_context": common or {}, **fields}
    text = bootstrap().replace(
        "    - filters:\n",
        f"    - transport_socket: {json.dumps({'name': 'tls', 'typed_config': context})}\n      filters:\n",
    )
    return f"{text.rstrip()}\n  secrets: {json.dumps(secrets)}\n"


def server(config: CompiledConfig) -> DownstreamTls:
    tls = config.listeners[0].filter_chains[0].tls
    assert tls is not None
    return tls


def client(common: dict[str, Any]) -> UpstreamTls:
    context = {"@type": f"type.googleapis.com/{TLS}.UpstreamTlsContext", "common_tls_context": common}
    socket = json.dumps({"name": "tls", "typed_config": context})
    config = compiled(bootstrap().replace("  - name: origin\n", f"  - name: origin\n    transport_socket: {socket}\n"))
    tls = config.clusters[0].tls
    assert tls is not None
    return tls


def faults(text: str) -> dict[str, str]:
    """What is wrong, by its place within the TLS context or the secrets."""
    found = findings(text)
    return {
        finding.field_path.partition("typed_config.")[2] or finding.field_path: finding.message for finding in found
    }


@pytest.mark.field("envoy.config.bootstrap.v3.Bootstrap.StaticResources.secrets", f"{TLS}.Secret.name")
@pytest.mark.field(f"{TLS}.SdsSecretConfig.name", f"{TLS}.Secret.tls_certificate")
@pytest.mark.field(f"{TLS}.CommonTlsContext.tls_certificate_sds_secret_configs")
def test_a_certificate_of_the_bootstrap() -> None:
    pairs = (
        {"name": "a", "tls_certificate": certificate(FIRST)},
        {"name": "b", "tls_certificate": certificate(SECOND)},
    )
    found = server(compiled(downstream(secrets=pairs, common={"tls_certificate_sds_secret_configs": [{"name": "b"}]})))
    assert [(each.name, each.chain.decode()) for each in found.certificates] == [("b", SECOND.chain)]
    assert not any(found.secrets.certificates)


@pytest.mark.field(f"{TLS}.Secret.validation_context", f"{TLS}.CommonTlsContext.validation_context_sds_secret_config")
def test_whom_to_trust_in_the_bootstrap() -> None:
    secret = {"name": "ca", "validation_context": {"trusted_ca": inline(authority().pem)}}
    common = {"tls_certificates": [certificate(FIRST)], "validation_context_sds_secret_config": {"name": "ca"}}
    validation = server(compiled(downstream(secrets=(secret,), common=common))).validation
    assert validation is not None
    assert (validation.name, validation.trusted_ca.decode()) == ("ca", authority().pem)


@pytest.mark.field(
    f"{TLS}.Secret.session_ticket_keys", f"{TLS}.DownstreamTlsContext.session_ticket_keys_sds_secret_config"
)
def test_ticket_keys_of_the_bootstrap() -> None:
    keys = {"keys": [{"inline_string": "k" * 80}]}
    found = server(
        compiled(
            downstream(
                secrets=({"name": "keys", "session_ticket_keys": keys},),
                common={"tls_certificates": [certificate(FIRST)]},
                session_ticket_keys_sds_secret_config={"name": "keys"},
            )
        )
    )
    assert found.ticket_keys is not None
    assert found.ticket_keys.keys == (b"k" * 80,)


@pytest.mark.field(f"{CORE}.ConfigSource.path_config_source", f"{CORE}.PathConfigSource.path")
@pytest.mark.field(f"{TLS}.SdsSecretConfig.sds_config", "envoy.service.discovery.v3.DiscoveryResponse.resources")
def test_a_certificate_of_a_file(tmp_path: Path) -> None:
    wanted = put_secret(tmp_path / "sds.json", "server", tls_certificate=put_pair(tmp_path, FIRST))
    config = compiled(downstream(common={"tls_certificate_sds_secret_configs": [wanted]}))
    (secret,), found = config.secrets, server(config)
    assert found.certificates == (secret.value,)
    assert found.secrets.certificates == (secret.key,)
    assert (found.certificates[0].chain.decode(), found.certificates[0].path) == (FIRST.chain, f"{tmp_path}/tls.crt")
    assert sorted(secret.files) == [f"{tmp_path}/{name}" for name in ("sds.json", "tls.crt", "tls.key")]
    assert secret.watched == (str(tmp_path),)
    assert FIRST.key not in secret.source


@pytest.mark.parametrize("inlined", [True, False])
def test_a_bundle_whose_key_is_not_in_what_is_shown(tmp_path: Path, inlined: bool) -> None:
    source = bundle(FIRST, "sesame")
    if not inlined:
        (tmp_path / "a.p12").write_bytes(base64.b64decode(source["inline_bytes"]))
        source = {"filename": str(tmp_path / "a.p12")}
    secret = {"pkcs12": source, "password": inline("sesame")}
    wanted = put_secret(tmp_path / "sds.json", "server", tls_certificate=secret)
    (found,) = compiled(downstream(common={"tls_certificate_sds_secret_configs": [wanted]})).secrets
    shown = json.loads(found.source)["tls_certificate"]
    assert base64.b64decode(shown["pkcs12"]["inline_bytes"]) == b"[redacted]"
    assert shown["password"] == {"inline_string": "[redacted]"}


@pytest.mark.field(f"{CORE}.ConfigSource.path", "envoy.service.discovery.v3.DiscoveryResponse.version_info")
def test_the_path_as_it_was_written_of_old(tmp_path: Path) -> None:
    put_secret(tmp_path / "sds.json", "server", tls_certificate=certificate(FIRST))
    old = {"name": "server", "sds_config": {"path": str(tmp_path / "sds.json")}}
    (secret,) = compiled(downstream(common={"tls_certificate_sds_secret_configs": [old]})).secrets
    assert (secret.name, secret.version) == ("server", "1")


@pytest.mark.field(f"{CORE}.PathConfigSource.watched_directory", f"{CORE}.WatchedDirectory.path")
@pytest.mark.field(f"{TLS}.TlsCertificate.watched_directory")
def test_directories_that_are_watched_instead_of_the_files_own(tmp_path: Path) -> None:
    one, other, third = (tmp_path / name for name in ("one", "other", "third"))
    for each in (one, other, third):
        each.mkdir()
    pair = put_pair(one, FIRST) | {"watched_directory": {"path": str(other)}}
    wanted = put_secret(one / "sds.json", "server", tls_certificate=pair)
    wanted["sds_config"]["path_config_source"]["watched_directory"] = {"path": str(third)}
    (secret,) = compiled(downstream(common={"tls_certificate_sds_secret_configs": [wanted]})).secrets
    assert secret.watched == (str(other), str(third))


@pytest.mark.field(f"{TLS}.CertificateValidationContext.watched_directory")
def test_the_watched_directory_of_a_validation_context(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(authority().pem)
    trust = {"trusted_ca": {"filename": str(tmp_path / "ca.pem")}, "watched_directory": {"path": "/"}}
    wanted = put_secret(tmp_path / "sds.json", "ca", validation_context=trust)
    common = {"tls_certificates": [certificate(FIRST)], "validation_context_sds_secret_config": wanted}
    (secret,) = compiled(downstream(common=common)).secrets
    assert secret.watched == ("/", str(tmp_path))


COMBINED = f"{TLS}.CommonTlsContext.CombinedCertificateValidationContext"


@pytest.mark.field(f"{TLS}.CommonTlsContext.combined_validation_context", f"{COMBINED}.default_validation_context")
@pytest.mark.field(f"{COMBINED}.validation_context_sds_secret_config")
def test_a_combined_validation_context(tmp_path: Path) -> None:
    wanted = put_secret(
        tmp_path / "sds.json", "ca", validation_context={"trusted_ca": inline(authority().pem), "max_verify_depth": 3}
    )
    default = {"match_typed_subject_alt_names": [SAN], "max_verify_depth": 1, "trusted_ca": inline("replaced")}
    found = client(
        {
            "combined_validation_context": {
                "default_validation_context": default,
                "validation_context_sds_secret_config": wanted,
            }
        }
    )
    assert found.validation is not None
    assert (found.validation.trusted_ca.decode(), found.validation.max_verify_depth) == (authority().pem, 3)
    assert [matcher.matcher.value for matcher in found.validation.sans] == ["client.test"]
    assert found.secrets.default is not None


def test_one_file_for_several_contexts_is_read_once(tmp_path: Path) -> None:
    wanted = put_secret(tmp_path / "sds.json", "server", tls_certificate=certificate(FIRST))
    common = {"tls_certificate_sds_secret_configs": [wanted]}
    text = downstream(common=common)
    socket = {"@type": f"type.googleapis.com/{TLS}.UpstreamTlsContext", "common_tls_context": common}
    socket_text = json.dumps({"name": "tls", "typed_config": socket})
    config = compiled(text.replace("  - name: origin\n", f"  - name: origin\n    transport_socket: {socket_text}\n"))
    assert len(config.secrets) == 1
    assert config.clusters[0].tls is not None
    assert config.clusters[0].tls.certificates == server(config).certificates


# --- what is refused --------------------------------------------------------------------------------------------------


def test_a_name_that_no_secret_has_and_one_of_another_kind() -> None:
    secret = {"name": "server", "tls_certificate": certificate(FIRST)}
    common = {
        "tls_certificate_sds_secret_configs": [{"name": "serve"}],
        "validation_context_sds_secret_config": {"name": "server"},
    }
    place = "common_tls_context."
    assert faults(downstream(secrets=(secret,), common=common)) == {
        f"{place}tls_certificate_sds_secret_configs[0].name": "unknown secret 'serve'",
        f"{place}validation_context_sds_secret_config.name": "secret 'server' is a tls_certificate",
    }


def test_two_of_one_name_and_a_watched_directory_that_nobody_would_watch() -> None:
    pair = certificate(FIRST) | {"watched_directory": {"path": "/"}}
    secrets = ({"name": "a", "tls_certificate": certificate(FIRST)}, {"name": "a", "tls_certificate": pair})
    found = faults(downstream(secrets=secrets, common={"tls_certificates": [pair]}))
    only = "only secrets that come from a file are read again when a directory changes"
    assert found == {
        "static_resources.secrets[1].name": "secret 'a' exists already",
        "static_resources.secrets[1].tls_certificate.watched_directory": only,
        "common_tls_context.tls_certificates[0].watched_directory": only,
    }


def test_certificates_here_and_in_secrets(tmp_path: Path) -> None:
    wanted = put_secret(tmp_path / "sds.json", "server", tls_certificate=certificate(FIRST))
    common = {"tls_certificates": [certificate(FIRST)], "tls_certificate_sds_secret_configs": [wanted]}
    assert faults(downstream(common=common)) == {
        "common_tls_context.tls_certificate_sds_secret_configs": "tls_certificates are there already"
    }


def _file_fault(path: Path) -> str:
    common = {
        "tls_certificate_sds_secret_configs": [
            {"name": "server", "sds_config": {"path_config_source": {"path": str(path)}}}
        ]
    }
    found = faults(downstream(common=common))
    assert list(found) == [
        "common_tls_context.tls_certificate_sds_secret_configs[0].sds_config.path_config_source.path"
    ]
    return next(iter(found.values())).removeprefix("secret 'server' cannot be had: ").replace(str(path), "FILE")


def test_files_that_are_of_no_use(tmp_path: Path) -> None:
    path = tmp_path / "sds.json"
    assert _file_fault(path) == "FILE: No such file or directory"
    path.write_text('{"resources": [')
    assert _file_fault(path).startswith("FILE:1:16: error: ")
    path.write_text('{"resources": []}')
    assert _file_fault(path) == "FILE:1:2: error: resources: 0 secrets are in the file; expected 'server' alone"
    put_secret(path, "other", tls_certificate=certificate(FIRST))
    assert "resources[0].name: a secret of the name 'other'; expected 'server'" in _file_fault(path)
    put_secret(path, "server", generic_secret={"secret": inline("x")})
    assert "generic_secret is not supported" in _file_fault(path)
    put_secret(path, "server")
    assert "the secret is empty" in _file_fault(path)


def test_pairs_that_do_not_match_or_are_not_there(tmp_path: Path) -> None:
    path = tmp_path / "sds.json"
    put_secret(path, "server", tls_certificate=files(tmp_path))
    assert f"cannot read '{tmp_path}/tls.crt': No such file or directory" in _file_fault(path)
    put_pair(tmp_path, Pair(FIRST.certificate, SECOND.private))
    assert "the private key is not that of the certificate" in _file_fault(path)
