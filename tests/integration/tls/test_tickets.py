"""Session tickets whose keys are configured: several of them, and proxies that share them."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.tls.terminating import TLS, authority, context, inline, ssl_stats, terminating
from tests.integration.tls.test_termination import faults, read_once
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import Rig

OLD, NEW, OTHER = ("".join(chr(start + step) for step in range(80)) for start in (33, 34, 35))
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@asynccontextmanager
async def proxy(*keys: str, monkeypatch: pytest.MonkeyPatch, **fields: Any) -> AsyncIterator[Rig]:
    """Another process each time: what it has drawn for itself is another process's."""
    monkeypatch.setattr("proxy.net.tls.tickets._SECRET", repr((keys, fields)).encode())
    async with terminating(context(session_ticket_keys={"keys": [inline(key) for key in keys]}, **fields)) as rig:
        yield rig


async def visit(rig: Rig, client: ssl.SSLContext, session: ssl.SSLSession | None = None) -> tuple[bool, ssl.SSLSession]:
    """Whether the session was resumed, and the one to be resumed next."""
    before = ssl_stats(rig).get("session_reused", 0)
    after = await trio.to_thread.run_sync(read_once, rig.address, client, session)
    return ssl_stats(rig).get("session_reused", 0) > before, after


@pytest.mark.field(f"{TLS}.DownstreamTlsContext.session_ticket_keys", f"{TLS}.TlsSessionTicketKeys.keys")
@pytest.mark.parametrize("version", VERSIONS)
@run_trio
async def test_keys_are_replaced_one_after_the_other(version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    client = authority().client()
    client.maximum_version = version
    async with proxy(OLD, OTHER, monkeypatch=monkeypatch) as before:
        _, of_old = await visit(before, client)
        assert (await visit(before, client, of_old))[0]
    async with proxy(NEW, OLD, monkeypatch=monkeypatch) as between:
        resumed, of_new = await visit(between, client, of_old)
        assert resumed, "the second key decrypts"
    async with proxy(NEW, monkeypatch=monkeypatch) as after:
        assert (await visit(after, client, of_new))[0], "the client was given a ticket of the first key"
        assert not (await visit(after, client, of_old))[0]
    async with proxy(OTHER, NEW, monkeypatch=monkeypatch) as stranger:
        assert not (await visit(stranger, client, of_old))[0]


@run_trio
async def test_a_ticket_that_was_tampered_with(monkeypatch: pytest.MonkeyPatch) -> None:
    same_name = OLD[:16] + OTHER[16:]
    client = authority().client()
    async with proxy(OLD, NEW, monkeypatch=monkeypatch) as one:
        _, session = await visit(one, client)
    async with proxy(same_name, NEW, monkeypatch=monkeypatch) as other:
        assert not (await visit(other, client, session))[0]


@run_trio
async def test_other_machines_have_other_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client, session = authority().client(), None
    for place in ("here", "there"):
        path = tmp_path / place
        path.write_text(authority().pem)
        common = {"validation_context": {"trusted_ca": {"filename": str(path)}}}
        transport_socket = context(common=common, session_ticket_keys={"keys": [inline(OLD), inline(NEW)]})
        async with terminating(transport_socket) as rig:
            resumed, session = await visit(rig, client, session)
    assert resumed


def test_each_key_has_its_size() -> None:
    found = faults(context(session_ticket_keys={"keys": [inline(OLD), inline(OLD[1:])]}))
    assert found == {"keys.1": "a session ticket key of 79 bytes"}
