"""Whoever does not get in is on record: what was wrong, with whom, and what `proxyctl why` says about it."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from master.explain import details, story
from proxy import limits
from proxy.flight_recorder import Record
from proxy.net.tls import handshake
from tests.integration.tls.terminating import GET, ask, authority, context, inline, terminating
from tests.integration.tls.test_clients import alice, expired, stranger
from tests.integration.tls.test_filter_chains import INSPECTOR, chain, running
from tests.integration.tls.test_termination import read_once
from tests.kit.certificates import Pair
from tests.kit.trio import run_trio
from tests.unit.proxy.net.test_client_hello import hello
from tests.unit.proxy.rig import Client, Rig, until

TO = "envoy.config.listener.v3"


def validating(required: bool = True, **validation: Any) -> dict[str, Any]:
    validation = {"trusted_ca": inline(authority().pem), **validation}
    return context(common={"validation_context": validation}, require_client_certificate=required)


async def refused(rig: Rig, client: ssl.SSLContext, name: str = "a.test") -> Record:
    """What is on record of a client that does not get in."""
    with contextlib.suppress(trio.BrokenResourceError):
        assert not await ask(rig, client, name)
    return await recorded(rig)


async def recorded(rig: Rig) -> Record:
    await until(lambda: bool(rig.records))
    await rig.quiet()
    (record,) = rig.records
    rig.records.clear()
    row = details.find(record.detail)
    assert row is not None
    assert row.words in story.tell(record).what
    assert record.listener == "127.0.0.1_0"
    assert record.downstream.startswith("127.0.0.1:")
    return record


@pytest.mark.parametrize(
    ("pair", "validation", "detail", "cause"),
    [
        (None, {}, "tls_no_client_certificate", "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
        (stranger, {}, "tls_client_certificate_untrusted", "CN=stranger (alice.test), issued by CN=another root"),
        (expired, {}, "tls_client_certificate_expired", "CN=expired (alice.test), issued by CN=test root, valid until"),
        (alice, {"crl": "alice"}, "tls_client_certificate_revoked", "certificate revoked"),
        (alice, {"crl": "another root"}, "tls_client_certificate_without_crl", "unable to get certificate CRL"),
        (
            alice,
            {"match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "bob.test"}}]},
            "tls_client_certificate_name",
            "certificate SANs are [alice.test",
        ),
        (alice, {"verify_certificate_hash": ["00" * 32]}, "tls_client_certificate_pin", "cert hash and spki"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("tls") else "",
)
@run_trio
async def test_a_client_that_may_not_come_in(
    tmp_path: Path, pair: Any, validation: dict[str, Any], detail: str, cause: str
) -> None:
    lists = {"alice": lambda: authority().revoke(alice()), "another root": lambda: authority("another root").revoke()}
    if "crl" in validation:
        validation = {"crl": inline(lists[validation["crl"]]())}
    shown: Pair | None = pair and pair()
    async with terminating(validating(**validation)) as rig:
        record = await refused(rig, authority().client(shown, path=str(tmp_path / "client.pem")))
        assert (record.detail, record.protocol, record.authority) == (detail, "TLS", "a.test")
        assert cause in record.cause
        assert record.bytes_received > 0


def only(**attributes: Any) -> ssl.SSLContext:
    client = authority().client()
    for name, value in attributes.items():
        setattr(client, name, value)
    return client


@run_trio
async def test_clients_that_have_nothing_in_common_with_us() -> None:
    narrow = {
        "tls_minimum_protocol_version": "TLSv1_2",
        "tls_maximum_protocol_version": "TLSv1_2",
        "cipher_suites": ["ECDHE-ECDSA-AES256-GCM-SHA384"],
        "ecdh_curves": ["P-384"],
    }
    async with terminating(context(common={"tls_params": narrow})) as rig:
        new = await refused(rig, only(minimum_version=ssl.TLSVersion.TLSv1_3))
        assert new.detail == "tls_no_shared_version"
        other = authority().client()
        other.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        assert (await refused(rig, other)).detail == "tls_no_shared_cipher"
    async with terminating(context(common={"tls_params": {"ecdh_curves": ["P-384"]}})) as rig:
        curve = only(minimum_version=ssl.TLSVersion.TLSv1_3)
        curve.set_ecdh_curve("prime256v1")
        assert (await refused(rig, curve)).detail == "tls_no_shared_group"
    async with terminating(context(common={"tls_params": {"signature_algorithms": ["rsa_pss_rsae_sha256"]}})) as rig:
        assert (await refused(rig, authority().client())).detail == "tls_no_shared_signature"


@run_trio
async def test_clients_that_do_not_trust_us_or_speak_something_else() -> None:
    async with terminating(context()) as rig:
        with pytest.raises(ssl.SSLCertVerificationError):
            await trio.to_thread.run_sync(read_once, rig.address, authority("another root").client(), None)
        distrusting = await recorded(rig)
        assert (distrusting.detail, distrusting.authority) == ("tls_alert_from_client", "a.test")
        assert "ALERT_UNKNOWN_CA" in distrusting.cause
        assert story.tell(distrusting).fault == "us"
        for data, detail in (
            (GET, "tls_plain_http"),
            (b"SSH-2.0-x\r\n", "tls_not_tls"),
            (b"\x16\x03\x01\x00\x05hello", "tls_protocol_error"),
        ):
            await rig.ask(data)
            record = await recorded(rig)
            assert (record.detail, record.bytes_received) == (detail, len(data))
        async with await rig.connect() as leaving:
            await leaving.send(hello()[:100])
        assert (await recorded(rig)).detail == "tls_client_gone"


@run_trio
async def test_a_look_at_the_port_is_nobody() -> None:
    async with terminating(context()) as rig:
        async with await rig.connect():
            pass
        await rig.quiet()
        await rig.ask(GET)
        assert (await recorded(rig)).detail == "tls_plain_http"


@run_trio
async def test_a_client_that_is_late() -> None:
    async with terminating(context(), chain="transport_socket_connect_timeout: 0.1s") as rig:
        silent = await rig.connect()
        with trio.fail_after(5):
            assert await silent.rest() == b""
        record = await recorded(rig)
        assert record.detail == "tls_handshake_timeout"
        assert record.limits == {"FilterChain.transport_socket_connect_timeout": 0.1}
        assert "of 0.1 s" in story.tell(record).decided[0]


@run_trio
async def test_too_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "MAX_HANDSHAKES", 2)
    assert limits.MAX_HANDSHAKES == 1024
    async with terminating(context()) as rig:
        waiting = [await rig.connect() for _ in range(3)]
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:

                async def ended(client: Client) -> None:
                    assert await client.rest() == b""
                    nursery.cancel_scope.cancel()

                for client in waiting:  # they may have begun in any order
                    nursery.start_soon(ended, client)
        await until(lambda: bool(rig.records))
        assert [record.detail for record in rig.records] == ["tls_handshake_overflow"]


@contextlib.asynccontextmanager
async def inspecting(
    *chains: dict[str, Any], inspector: dict[str, Any] | None = None, **fields: Any
) -> AsyncIterator[Rig]:
    config = {"@type": f"type.googleapis.com/{INSPECTOR}", **(inspector or {})}
    async with running(*chains, listener_filters=[{"name": "tls", "typed_config": config}], **fields) as rig:
        yield rig


@pytest.mark.field(f"{INSPECTOR}.close_connection_on_client_hello_parsing_errors")
@run_trio
async def test_nobody_may_speak_plain_text() -> None:
    async with inspecting(chain(201), inspector={"close_connection_on_client_hello_parsing_errors": True}) as rig:
        assert await rig.ask(GET) == b""
        assert (await recorded(rig)).detail == "tls_not_tls"


@run_trio
async def test_no_filter_chain_is_for_them() -> None:
    async with inspecting(chain(201, {"server_names": ["x.test"]}, tls=True)) as rig:
        record = await refused(rig, authority().client(alpn=["h2"]), "a.test")
        assert (record.detail, record.authority) == ("filter_chain_not_found", "a.test")
        assert record.cause == "the client offers h2"
        await rig.ask(GET)
        record = await recorded(rig)
        assert (record.detail, record.protocol) == ("filter_chain_not_found", "TCP")
        assert "HTTP_REQUEST" in record.cause


@run_trio
async def test_who_says_too_much_or_nothing_to_an_inspector() -> None:
    async with inspecting(chain(201), inspector={"max_client_hello_size": 256}, listener_filters_timeout="0.1s") as rig:
        await rig.ask(hello("a" * 60 + ".test", tuple(f"protocol{number}" for number in range(40))))
        record = await recorded(rig)
        assert (record.detail, record.limits) == (
            "client_hello_too_large",
            {"TlsInspector.max_client_hello_size": 256},
        )
        silent = await rig.connect()
        with trio.fail_after(5):
            assert await silent.rest() == b""
        record = await recorded(rig)
        assert (record.detail, record.limits) == (
            "listener_filter_timeout",
            {"Listener.listener_filters_timeout": 0.1},
        )


@run_trio
async def test_a_certificate_that_nobody_can_read(tmp_path: Path) -> None:
    """One of X.509 version 5, to a listener that looks at no chain, but for this one's hash."""
    der = alice().der.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020104"), 1)
    path = tmp_path / "strange.pem"
    path.write_text(ssl.DER_cert_to_PEM_cert(der) + alice().key)
    client = authority().client()
    client.load_cert_chain(path)
    pinned = {"verify_certificate_hash": [hashlib.sha256(der).hexdigest()]}
    async with terminating(context(common={"validation_context": pinned})) as rig:
        record = await refused(rig, client)
        assert record.detail == "tls_client_certificate_invalid"
        assert "the certificate cannot be read" in record.cause


@run_trio
async def test_no_name_of_a_strangers_certificate_ends_a_line_of_the_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    logged = "%DOWNSTREAM_PEER_DNS_SAN%|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_TRANSPORT_FAILURE_REASON%\n"
    file = {"@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(path)}
    log_format = {"text_format_source": {"inline_string": logged}}
    logs = [{"name": "file", "typed_config": {**file, "log_format": log_format}}]
    forger = authority("another root").issue("a\nforged.test", name="b\nforged")
    socket = validating()
    async with running({**chain(201), "transport_socket": socket}, access_log=logs) as rig:
        await refused(rig, authority().client(forger, path=str(tmp_path / "client.pem")))
    (line,) = path.read_text().splitlines()
    assert line.startswith("a\\0Aforged.test|CN=b\\0Aforged|TLS_error:")
