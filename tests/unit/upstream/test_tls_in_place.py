"""Another certificate of ours, or another trust, for a cluster that stays: connections go on, the next one has it."""

from __future__ import annotations

import gc
from pathlib import Path

import msgspec
import trio

from proxy.changes import changes
from proxy.config.bootstrap import CompiledConfig, Node
from proxy.config.cluster import Cluster, SocketMatch
from proxy.config.secrets import cluster_in_place
from proxy.config.tls import Certificate, SecretKeys, UpstreamTls, Validation
from tests.integration.tls.terminating import authority, certificate, server
from tests.integration.tls.test_origination import GET, Host, ask, proxy, speaking
from tests.kit.certificates import Pair
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import Rig
from tests.unit.proxy.test_snapshot import change

LAST = GET.replace(b"GET / ", b"GET /last ")


def compiled(pair: Pair) -> Certificate:
    return Certificate(pair.chain.encode(), pair.key.encode())


def test_what_is_in_place() -> None:
    one, other = (compiled(authority().issue(name=name)) for name in ("one", "other"))
    plain = Cluster("c", "STATIC")
    before = msgspec.structs.replace(plain, tls=UpstreamTls((one,)))
    assert cluster_in_place(before, msgspec.structs.replace(plain, tls=UpstreamTls((other,))))
    assert not cluster_in_place(before, plain)
    assert not cluster_in_place(before, msgspec.structs.replace(before, connect_timeout=1.0))
    assert not cluster_in_place(before, msgspec.structs.replace(plain, tls=UpstreamTls((one,), sni="a")))
    moved = msgspec.structs.replace(plain, socket_matches=(SocketMatch("m", (), before.tls),))
    assert not cluster_in_place(msgspec.structs.replace(before, socket_matches=(SocketMatch("m", ()),)), moved)


def test_trust_is_in_place_if_a_secret_says_it() -> None:
    ours, theirs = Validation(b"ours"), Validation(b"theirs")
    assert not cluster_in_place(*(Cluster("c", "STATIC", tls=UpstreamTls(validation=each)) for each in (ours, theirs)))
    keys = SecretKeys(validation="ca")
    assert cluster_in_place(
        *(Cluster("c", "STATIC", tls=UpstreamTls(validation=each, secrets=keys)) for each in (ours, theirs))
    )


async def present(rig: Rig, pair: Pair) -> None:
    """Change to this certificate, in place."""
    snapshot = rig.server._snapshot
    cluster = snapshot.clusters["origin"]
    tls = cluster.config.tls
    assert tls is not None
    now = msgspec.structs.replace(cluster.config, tls=msgspec.structs.replace(tls, certificates=(compiled(pair),)))
    listeners = tuple(each.config for each in snapshot.listeners.values())
    config = CompiledConfig(2, Node(), listeners, (now,), snapshot.endpoints)
    before = CompiledConfig(1, Node(), listeners, (cluster.config,), snapshot.endpoints)
    assert [each.how for each in changes(before, config)] == ["in_place"]
    assert (await change(rig, config)).clusters["origin"] is cluster


@run_trio
async def test_connections_stay_and_the_next_one_shows_the_new_certificate(tmp_path: Path) -> None:
    alice, bob = (authority().issue(name=name) for name in ("alice", "bob"))
    host = Host(tmp_path, server(), asks=True)
    async with proxy(host, speaking({"tls_certificates": [certificate(alice)]})) as rig:
        assert (await ask(rig)).startswith(b"HTTP/1.1 200")
        await present(rig, bob)
        gc.collect()  # the first context lives as long as its connection: OpenSSL calls it back with each ticket
        assert (await ask(rig, GET, LAST)).startswith(b"HTTP/1.1 200")
        assert host.clients == [alice.der]
        with trio.fail_after(5):
            assert (await ask(rig)).startswith(b"HTTP/1.1 200")
        assert host.clients == [alice.der, bob.der]
        assert rig.stats.value("cluster.origin.upstream_cx_total") == 2
