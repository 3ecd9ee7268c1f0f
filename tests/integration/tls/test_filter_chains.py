"""Filter chains: who gets which, by what a client asks for and where it comes from."""

from __future__ import annotations

import contextlib
import json
import ssl
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from proxy.config.bootstrap import CompiledConfig
from tests.integration.test_fields import one_listener
from tests.integration.tls.terminating import authority, context, server
from tests.kit.config import findings
from tests.kit.trio import run_trio
from tests.unit.proxy.net.test_client_hello import hello
from tests.unit.proxy.rig import Rig, serving
from tests.unit.upstream.rig import origin

LISTENER = "envoy.config.listener.v3.Listener"
MATCH = "envoy.config.listener.v3.FilterChainMatch"
INSPECTOR = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
GET = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
HERE = [{"address_prefix": "127.0.0.0", "prefix_len": 8}]
ELSEWHERE = [{"address_prefix": "10.0.0.0", "prefix_len": 8}]


def answering(status: int) -> dict[str, Any]:
    """A filter that answers every request so."""
    routes = [{"match": {"prefix": "/"}, "direct_response": {"status": status}}]
    manager = {
        "@type": HCM,
        "stat_prefix": "in",
        "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": ROUTER}}],
    }
    return {"name": "hcm", "typed_config": manager}


def chain(status: int, match: dict[str, Any] | None = None, *, tls: bool = False) -> dict[str, Any]:
    return {
        **({"filter_chain_match": match} if match is not None else {}),
        **({"transport_socket": context()} if tls else {}),
        "filters": [answering(status)],
    }


def bootstrap(*chains: dict[str, Any], clusters: Any = (), **listener: Any) -> str:
    main = {
        "name": "main",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": list(chains),
        "listener_filters": [{"name": "tls", "typed_config": {"@type": f"type.googleapis.com/{INSPECTOR}"}}],
        **listener,
    }
    return json.dumps({"static_resources": {"listeners": [main], "clusters": list(clusters)}})


def compiled(text: str) -> CompiledConfig:
    return one_listener(text.replace('"name": "main"', '"name": "l"'))


@contextlib.asynccontextmanager
async def running(*chains: dict[str, Any], **listener: Any) -> AsyncIterator[Rig]:
    async with serving(compiled(bootstrap(*chains, **listener))) as rig:
        yield rig


async def over_tls(rig: Rig, name: str | None = None, alpn: tuple[str, ...] = ()) -> bytes:
    """The status that a TLS client gets; b"" if it gets none."""
    client = authority().client(alpn=alpn)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    stream = trio.SSLStream((await rig.connect()).stream, client, server_hostname=name, https_compatible=True)
    with trio.fail_after(5), contextlib.suppress(trio.BrokenResourceError):
        await stream.send_all(GET)
        return bytes(await stream.receive_some()).split(b" ")[1]
    return b""


async def in_clear(rig: Rig) -> bytes:
    with trio.fail_after(5):
        answer = await rig.ask(GET)
    return answer.split(b" ")[1] if answer else b""


@run_trio
@pytest.mark.field(f"{LISTENER}.default_filter_chain", "envoy.config.listener.v3.FilterChain.filter_chain_match")
@pytest.mark.parametrize(
    ("match", "other"),
    [
        pytest.param({field: good}, {field: bad}, id=field, marks=pytest.mark.field(f"{MATCH}.{field}"))
        for field, good, bad in [
            ("prefix_ranges", HERE, ELSEWHERE),
            ("transport_protocol", "raw_buffer", "tls"),
            ("direct_source_prefix_ranges", HERE, ELSEWHERE),
            ("source_prefix_ranges", HERE, ELSEWHERE),
            ("source_type", "SAME_IP_OR_LOOPBACK", "EXTERNAL"),
        ]
    ],
)
async def test_rules(match: dict[str, Any], other: dict[str, Any]) -> None:
    default = chain(200)
    async with running(chain(201, other), chain(202, match), default_filter_chain=default) as rig:
        assert await in_clear(rig) == b"202"
    async with running(chain(201, other), default_filter_chain=default) as rig:
        assert await in_clear(rig) == b"200"


@run_trio
@pytest.mark.field(f"{MATCH}.destination_port")
async def test_rules_of_the_port_we_listen_on() -> None:
    async with running(chain(201, {"destination_port": 1}), default_filter_chain=chain(200)) as rig:
        assert await in_clear(rig) == b"200"


@run_trio
@pytest.mark.field(f"{MATCH}.source_ports")
async def test_rules_of_the_clients_port() -> None:
    async with running(chain(201, {"source_ports": [1, 2]}), default_filter_chain=chain(200)) as rig:
        assert await in_clear(rig) == b"200"


@run_trio
@pytest.mark.field(f"{MATCH}.server_names")
async def test_by_server_name() -> None:
    names = [["a.test", "b.test"], ["*.test"]]
    chains = [chain(201 + index, {"server_names": each}, tls=True) for index, each in enumerate(names)]
    async with running(*chains) as rig:
        assert await over_tls(rig, "a.test") == b"201"
        assert await over_tls(rig, "B.test") == b"201"
        assert await over_tls(rig, "c.test") == b"202"
        assert await over_tls(rig, "else") == b""
        assert await over_tls(rig) == b""
        assert await in_clear(rig) == b""
        await rig.quiet()
        assert rig.stats.value("listener.127.0.0.1_0.no_filter_chain_match") == 3
        found = {name: rig.stats.value(f"tls_inspector.{name}") for name in ("tls_found", "tls_not_found", "sni_found")}
        assert found == {"tls_found": 5, "tls_not_found": 1, "sni_found": 4}


@run_trio
@pytest.mark.field(f"{MATCH}.application_protocols")
async def test_by_application_and_transport_on_one_port() -> None:
    tls = {"transport_protocol": "tls"}
    chains = chain(201, {**tls, "application_protocols": ["x", "y"]}, tls=True), chain(202, tls, tls=True)
    async with running(*chains, chain(203, {})) as rig:
        assert await over_tls(rig, alpn=("z", "y")) == b"201"
        assert await over_tls(rig) == b"202"
        assert await in_clear(rig) == b"203"


@run_trio
async def test_a_first_message_that_comes_byte_by_byte() -> None:
    async with running(chain(201, {"server_names": ["a.test"]}, tls=True)) as rig:
        client = await rig.connect()
        for byte in hello("a.test", ()):
            await client.send(bytes([byte]))
        with trio.fail_after(5):
            assert (await client.until(b"\x16\x03\x03"))[:1] == b"\x16", "a handshake record, and no byte was lost"


INSPECTING = [
    {"name": "tls", "typed_config": {"@type": f"type.googleapis.com/{INSPECTOR}", "max_client_hello_size": 256}}
]


@run_trio
@pytest.mark.field(f"{LISTENER}.listener_filters", f"{INSPECTOR}.max_client_hello_size")
@pytest.mark.field("envoy.config.listener.v3.ListenerFilter.typed_config")
async def test_a_first_message_that_is_too_large() -> None:
    async with running(chain(201, tls=True), listener_filters=INSPECTING) as rig:
        assert await over_tls(rig, "a" * 60 + ".test", alpn=("p" * 200,)) == b""
        await rig.quiet()
        assert rig.stats.value("tls_inspector.client_hello_too_large") == 1


@run_trio
@pytest.mark.field(f"{LISTENER}.listener_filters_timeout")
async def test_a_client_that_says_nothing() -> None:
    async with running(chain(201, {"server_names": ["x"]}), listener_filters_timeout="0.1s") as rig:
        silent = await rig.connect()
        with trio.fail_after(5):
            assert await silent.rest() == b""
        await rig.quiet()
        assert rig.stats.value("listener.127.0.0.1_0.downstream_pre_cx_timeout") == 1
        assert rig.stats.value("listener.127.0.0.1_0.downstream_pre_cx_active") == 0


@run_trio
@pytest.mark.field(f"{LISTENER}.continue_on_listener_filters_timeout")
async def test_a_client_that_waits_for_us() -> None:
    """It begins what could be TLS and goes no further; then it is plain text."""
    chains = (chain(201, {"transport_protocol": "tls"}, tls=True), chain(202, {}))
    timing = {"listener_filters_timeout": "0.1s", "continue_on_listener_filters_timeout": True}
    async with running(*chains, **timing) as rig:
        client = await rig.connect()
        await client.send(b"\x16\x03")
        with trio.fail_after(5):
            assert b" 400 " in await client.rest()


TCP_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"


@run_trio
async def test_what_passes_through_is_not_touched(tmp_path: Path) -> None:
    """SNI pass-through: the origin has the certificate, and the client's session with it; we know the name."""
    log = tmp_path / "log"
    file = {"@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(log)}
    log_format = {"text_format_source": {"inline_string": "%REQUESTED_SERVER_NAME%\n"}}
    logs = [{"name": "file", "typed_config": {**file, "log_format": log_format}}]
    pair = server()
    there = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(pair.chain + pair.key)
        file.flush()
        there.load_cert_chain(file.name)

    async def serve(stream: trio.SocketStream) -> None:
        secure = trio.SSLStream(stream, there, server_side=True, https_compatible=True)
        await secure.receive_some()
        await secure.send_all(b"HTTP/1.1 299 x\r\n\r\n")
        await secure.aclose()

    async with origin(serve) as upstream:
        endpoint = {"socket_address": {"address": upstream.address.host, "port_value": upstream.address.port}}
        assignment = {"cluster_name": "o", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": endpoint}}]}]}
        passing = {
            "filter_chain_match": {"server_names": ["*.b.test"]},
            "filters": [
                {
                    "name": "tcp",
                    "typed_config": {"@type": TCP_PROXY, "stat_prefix": "t", "cluster": "o", "access_log": logs},
                },
            ],
        }
        ending = chain(201, {"server_names": ["a.test"]}, tls=True)
        clusters = [{"name": "o", "load_assignment": assignment}]
        async with running(passing, ending, clusters=clusters) as rig:
            assert await over_tls(rig, "x.b.test") == b"299"
            assert await over_tls(rig, "a.test") == b"201"
        assert log.read_text() == "x.b.test\n"


@run_trio
async def test_tls_in_front_of_a_tcp_proxy() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        received = b""
        async for data in stream:
            received += data
            if received.endswith(b"end"):
                await stream.send_all(b"HTTP/1.1 %d \r\n" % len(received) + received)
                return

    async with origin(serve) as upstream:
        endpoint = {"socket_address": {"address": upstream.address.host, "port_value": upstream.address.port}}
        assignment = {"cluster_name": "o", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": endpoint}}]}]}
        filters = [{"name": "tcp", "typed_config": {"@type": TCP_PROXY, "stat_prefix": "t", "cluster": "o"}}]
        ending = {"transport_socket": context(), "filters": filters}
        async with running(ending, clusters=[{"name": "o", "load_assignment": assignment}]) as rig:
            stream = trio.SSLStream(
                (await rig.connect()).stream, authority().client(), server_hostname="a.test", https_compatible=True
            )
            sent = b"x" * 300_000 + b"end"
            received = b""
            with trio.fail_after(10):
                await stream.send_all(sent)
                while data := await stream.receive_some():
                    received += data
            assert received == b"HTTP/1.1 %d \r\n" % len(sent) + sent


def test_faults() -> None:
    def messages(*chains: dict[str, Any], **listener: Any) -> str:
        return " ".join(finding.message for finding in findings(bootstrap(*chains, **listener)))

    partial = chain(201, {"server_names": ["w*.test"]})
    assert "only a whole first label" in messages(partial)
    twice = chain(201, {"server_names": ["a"]}), chain(202, {"server_names": ["b", "a"]})
    assert "same matching rules as filter_chains[0]" in messages(*twice)
    assert "nothing looks at what TLS clients ask for" in messages(
        chain(201, {"server_names": ["a"]}), listener_filters=[]
    )
    assert "takes whoever no other one wants" in messages(
        chain(201, {}), default_filter_chain=chain(200, {"source_ports": [1]})
    )
