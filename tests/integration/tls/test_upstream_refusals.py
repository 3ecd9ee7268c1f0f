"""Handshakes with hosts that fail are on record: what was wrong, whose fault it is, what `proxyctl why` says to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from master.explain import story
from proxy import flight_recorder
from proxy.config.common import SocketAddress
from proxy.errors import Flag
from tests.integration.test_fields import one_listener
from tests.integration.tls.terminating import authority, certificate, inline, server
from tests.integration.tls.test_origination import Host, ask, speaking, trusting
from tests.integration.tls.test_upstream_names import configured, options
from tests.kit.certificates import Pair
from tests.kit.tls_faults import FaultyHosts
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import Rig, serving
from tests.unit.upstream.rig import origin

GET = b"GET / HTTP/1.1\r\nhost: %b\r\n\r\n"


async def told(rig: Rig, host: bytes = b"a.test") -> story.Story:
    """What is said of a request that does not get through."""
    assert (await ask(rig, GET % host)).startswith(b"HTTP/1.1 503 ")
    (record,) = rig.records
    record = flight_recorder.decode(flight_recorder.encode(record, 2048))  # long texts are cut
    assert record.flags == Flag.UPSTREAM_CONNECTION_FAILURE.value
    assert [attempt.phase for attempt in record.attempts] == ["connect"]
    return story.tell(record)


@pytest.mark.parametrize(
    ("pair", "validation", "words", "fault"),
    [
        (authority().issue("a.test", days=-1), {}, "has expired", "upstream"),
        (authority().issue("a.test", days=60, begins=30), {}, "is not valid yet", "upstream"),
        (authority("another root").issue("a.test"), {}, "no authority that is trusted", "upstream"),
        (authority("another root").pair, {}, "no authority that is trusted", "upstream"),
        (
            server(),
            {"match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "else"}}]},
            "none of its names is one that is expected",
            "upstream",
        ),
        (authority().issue("a.test", rsa_bits=2048, signs=False), {}, "a key that is not for signatures", "upstream"),
        (server(), {"verify_certificate_hash": ["00" * 32]}, "none of those that are pinned", "upstream"),
        (server(), {"crl": inline(authority().revoke(server()))}, "has been revoked", "upstream"),
        (server(), {"crl": inline(authority("another root").revoke())}, "no list of revoked certificates", "us"),
    ],
    ids=lambda value: value.replace(" ", "_") if isinstance(value, str) else "",
)
@run_trio
async def test_certificates(tmp_path: Path, pair: Pair, validation: dict[str, Any], words: str, fault: str) -> None:
    host = Host(tmp_path, pair)
    async with (
        origin(host.serve) as upstream,
        serving(one_listener(configured(upstream.address, speaking(trusting(**validation))))) as rig,
    ):
        found = await told(rig)
    assert words in found.what
    assert found.fault == fault
    assert found.look


@run_trio
async def test_names_that_requests_ask_for(tmp_path: Path) -> None:
    host, auto = Host(tmp_path, server()), options(auto_sni=True, auto_san_validation=True)
    async with origin(host.serve) as upstream:
        text = configured(upstream.address, speaking(trusting()), **auto)
        async with serving(one_listener(text)) as rig:
            assert "not for the name that the client asked for" in (await told(rig, b"else.test")).what
        async with serving(one_listener(text)) as rig:
            found = await told(rig, b"a" * 256)
            assert "too long for TLS" in found.what
            assert found.fault == "client"


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyHosts]:
    with FaultyHosts(tmp_path_factory.mktemp("faulty"), server(), authority()) as hosts:
        yield hosts


STRANGER = {"tls_certificates": [certificate(authority("another root").issue("c.test"))]}


@pytest.mark.parametrize(
    ("name", "common", "words", "fault"),
    [
        ("plain", {}, "it speaks plain HTTP", "us"),
        ("closes", {}, "closed the connection in the middle of the TLS handshake", "upstream"),
        ("resets", {}, "broke in the middle of the TLS handshake", "upstream"),
        ("silent", {}, "complete its TLS handshake, in time", "upstream"),
        ("new", {}, "no version of TLS in common", "us"),
        ("demands", {"tls_params": {"ecdh_curves": ["P-521"]}}, "can do nothing of what it was offered", "us"),
        ("nameless", {}, "knows nobody by the server name", "us"),
        ("demands", {}, "the host ended the handshake and said why", "upstream"),
        ("demands", STRANGER, "does not trust the authority", "us"),
    ],
)
@run_trio
async def test_hosts(faulty: FaultyHosts, name: str, common: dict[str, Any], words: str, fault: str) -> None:
    address = SocketAddress("127.0.0.1", faulty.ports[name])
    text = configured(address, speaking(common, sni="a.test"), connect_timeout="0.2s" if name == "silent" else "5s")
    async with serving(one_listener(text)) as rig:
        found = await told(rig)
    assert words in found.what
    assert found.fault == fault
    assert found.look
