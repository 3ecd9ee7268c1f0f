"""Secrets read again: what changes, what stays, and what an earlier configuration gets of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from master.config import sds
from master.config.rotation import rotate, settle, with_newest
from master.config.sds import read_secret
from proxy.changes import changes
from proxy.config.bootstrap import CompiledConfig
from proxy.config.tls import Certificate, DownstreamTls, Secret
from tests.integration.tls.terminating import authority, certificate, inline
from tests.kit.certificates import Pair
from tests.kit.config import compiled
from tests.kit.secrets import put, put_pair, put_secret
from tests.unit.master.config.compile.test_secrets import downstream

FIRST, SECOND = authority().issue("first.test"), authority().issue("second.test")
SAN = {"san_type": "DNS", "matcher": {"exact": "client.test"}}


def configured(directory: Path) -> CompiledConfig:
    """A listener with a certificate and a combined validation context from two files."""
    server = put_secret(directory / "server.json", "server", tls_certificate=put_pair(directory, FIRST))
    (directory / "ca.pem").write_text(authority().pem)
    trust = {"trusted_ca": {"filename": str(directory / "ca.pem")}}
    combined = {
        "default_validation_context": {"match_typed_subject_alt_names": [SAN]},
        "validation_context_sds_secret_config": put_secret(directory / "ca.json", "ca", validation_context=trust),
    }
    return compiled(
        downstream(common={"tls_certificate_sds_secret_configs": [server], "combined_validation_context": combined})
    )


def tls(config: CompiledConfig) -> DownstreamTls:
    found = config.listeners[0].filter_chains[0].tls
    assert found is not None
    return found


def chain(config: CompiledConfig) -> str:
    return tls(config).certificates[0].chain.decode()


def test_nothing_has_changed(tmp_path: Path) -> None:
    before = configured(tmp_path)
    after, outcomes = rotate(before)
    assert after == before
    assert outcomes == []


def test_another_pair_is_a_change_in_place(tmp_path: Path) -> None:
    before = configured(tmp_path)
    put_pair(tmp_path, SECOND)
    after, outcomes = rotate(before)
    assert chain(after) == SECOND.chain
    assert [(outcome.name, outcome.error) for outcome in outcomes] == [("server", "")]
    assert [change.how for change in changes(before, after)] == ["in_place"]
    assert tls(after).validation == tls(before).validation


def test_another_authority_is_merged_with_what_stands_beside_it(tmp_path: Path) -> None:
    before = configured(tmp_path)
    put(tmp_path / "ca.pem", authority("another root").pem)
    after, _ = rotate(before)
    validation = tls(after).validation
    assert validation is not None
    assert validation.trusted_ca.decode() == authority("another root").pem
    assert [matcher.matcher.value for matcher in validation.sans] == ["client.test"]
    assert [change.how for change in changes(before, after)] == ["in_place"]


def test_what_cannot_be_used_stays_as_it_is_and_the_rest_changes(tmp_path: Path) -> None:
    before = configured(tmp_path)
    put_pair(tmp_path, Pair(SECOND.certificate, FIRST.private))
    put(tmp_path / "ca.pem", authority("another root").pem)
    after, outcomes = rotate(before)
    assert chain(after) == FIRST.chain
    assert "the private key is not that of the certificate" in outcomes[0].error
    assert (outcomes[0].unreadable, outcomes[1].name, outcomes[1].error) == (False, "ca", "")
    put(tmp_path / "server.json", "{")
    _, outcomes = rotate(before)
    assert outcomes[0].unreadable


def test_a_key_that_has_gone(tmp_path: Path) -> None:
    server = put_secret(tmp_path / "server.json", "server", tls_certificate=put_pair(tmp_path, FIRST))
    before = compiled(downstream(common={"tls_certificate_sds_secret_configs": [server]}))
    (tmp_path / "tls.key").unlink()
    after, outcomes = rotate(before)
    assert after == before
    assert "No such file" in outcomes[0].error


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("tls.key", SECOND.key[:100], "there is no whole PEM private key in it"),
        ("tls.crt", SECOND.chain[:300], "there is no PEM certificate"),
        ("tls.key", "", "the certificate has no private_key"),
        ("tls.crt", SECOND.key, "there is no PEM certificate"),
        ("ca.pem", authority().pem[:300], "there is no PEM certificate in it"),
    ],
    ids=["key", "certificate", "empty", "confused", "trust"],
)
def test_files_that_are_half_written(tmp_path: Path, name: str, content: str, reason: str) -> None:
    before = configured(tmp_path)
    put(tmp_path / name, content)
    after, outcomes = rotate(before)
    assert after == before
    (outcome,) = outcomes
    assert reason in outcome.error
    assert "KEY-----" not in outcome.error


def test_a_pair_that_is_good_for_itself_and_not_for_the_context(tmp_path: Path) -> None:
    server = put_secret(tmp_path / "server.json", "server", tls_certificate=put_pair(tmp_path, FIRST))
    strict = {"cipher_suites": ["ECDHE-ECDSA-AES128-GCM-SHA256:@SECLEVEL=3"]}
    before = compiled(downstream(common={"tls_certificate_sds_secret_configs": [server], "tls_params": strict}))
    put_pair(tmp_path, authority().issue("first.test", rsa_bits=2048))
    after, outcomes = rotate(before)
    assert after == before
    assert [outcome.error for outcome in outcomes] == ["the certificate's key is too small"]


def test_one_that_is_not_for_its_context_does_not_keep_another_one_back(tmp_path: Path) -> None:
    before = configured(tmp_path)
    put_pair(tmp_path, SECOND)
    put_secret(tmp_path / "ca.json", "ca", validation_context={"max_verify_depth": 1})
    after, outcomes = rotate(before)
    assert chain(after) == SECOND.chain
    assert tls(after).validation == tls(before).validation
    assert [(outcome.name, bool(outcome.error)) for outcome in outcomes] == [("server", False), ("ca", True)]


def test_trust_that_goes_while_names_are_asked_for(tmp_path: Path) -> None:
    before = configured(tmp_path)
    put_secret(tmp_path / "ca.json", "ca", validation_context={"max_verify_depth": 1})
    after, outcomes = rotate(before)
    assert after == before
    assert outcomes[0].error == "anybody can make a certificate of any name, and nothing says who may"


def test_an_expired_certificate_is_taken_as_in_envoy(tmp_path: Path) -> None:
    before = configured(tmp_path)
    expired = authority().issue("first.test", days=-1)
    put_pair(tmp_path, expired)
    assert chain(rotate(before)[0]) == expired.chain


def test_a_secret_that_becomes_another_kind_is_refused(tmp_path: Path) -> None:
    before = configured(tmp_path)
    put_secret(tmp_path / "server.json", "server", validation_context={"trusted_ca": inline(authority().pem)})
    after, outcomes = rotate(before)
    assert tls(after) == tls(before)
    assert outcomes[0].error == "it is a validation_context now, and a tls_certificate is needed"


def test_when_a_secret_came_is_not_forgotten_by_a_reload(tmp_path: Path) -> None:
    before, again = configured(tmp_path), configured(tmp_path)
    assert settle(again, before.secrets).secrets == before.secrets
    put_pair(tmp_path, SECOND)
    later = rotate(before)[0]
    assert settle(later, before.secrets).secrets == later.secrets


def test_an_earlier_configuration_gets_the_secrets_of_today(tmp_path: Path) -> None:
    before = configured(tmp_path)
    put_pair(tmp_path, SECOND)
    now = rotate(before)[0]
    put_pair(tmp_path, Pair(FIRST.certificate, SECOND.private))
    assert chain(with_newest(before, now.secrets)) == SECOND.chain


def test_a_pair_that_is_replaced_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read again until it stays the same."""
    put_secret(tmp_path / "sds.json", "server", tls_certificate=put_pair(tmp_path, FIRST))
    read, compile_secret = sds.read_source, sds.compile_secret
    times = 0

    def counted(path: str) -> object:
        nonlocal times
        source = read(path)
        times += 1
        return source

    def replaced_meanwhile(*arguments: Any) -> Any:
        value = compile_secret(*arguments)
        if times <= 2:
            put_pair(tmp_path, (SECOND, FIRST)[times - 1])
        return value

    monkeypatch.setattr(sds, "read_source", counted)
    monkeypatch.setattr(sds, "compile_secret", replaced_meanwhile)
    secret = read_secret("server", str(tmp_path / "sds.json"))
    assert isinstance(secret, Secret)
    assert isinstance(secret.value, Certificate)
    assert secret.value.chain.decode() == FIRST.chain
    assert times == 3


def test_ticket_keys(tmp_path: Path) -> None:
    def keys(letter: str) -> dict[str, object]:
        return put_secret(tmp_path / "keys.json", "keys", session_ticket_keys={"keys": [inline(letter * 80)]})

    common = {"tls_certificates": [certificate(FIRST)]}
    before = compiled(downstream(common=common, session_ticket_keys_sds_secret_config=keys("a")))
    keys("b")
    after, _ = rotate(before)
    assert [found.ticket_keys and found.ticket_keys.keys for found in map(tls, (before, after))] == [
        (b"a" * 80,),
        (b"b" * 80,),
    ]
    assert "YmJi" not in after.secrets[0].source
