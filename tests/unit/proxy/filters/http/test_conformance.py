"""What every HTTP filter must leave as it is, whatever it does itself: each line of the table stands here (rule 27)."""

from __future__ import annotations

import hashlib

import pytest
import trio

from proxy import registry
from proxy.config.common import PluginConfig
from proxy.filters.http import HTTP_FILTERS
from proxy.upstream.tables import ClusterColumn
from tests.kit.books import descriptors_in_yaml
from tests.kit.config import bootstrap, manager
from tests.kit.trio import run_trio
from tests.unit.proxy.filters.http.through import ROUTER
from tests.unit.proxy.rig import GET, compiled, plugin, route, serving, virtual_clock
from tests.unit.proxy.test_cancellation import POST, large, once, small
from tests.unit.upstream.rig import OK, answering, origin, read_head

HTTP = "envoy.extensions.filters.http"
SESSION = "type.googleapis.com/envoy.extensions.http.stateful_session"
OWN_MODULE = "dynamic_module_config: {name: tests.unit.proxy.filters.http.conforming}"
ONE_LINE = "append: {header: {key: x-seen, value: '1'}}"
SAMPLES: dict[str, tuple[str, ...]] = {
    "envoy.extensions.common.matching.v3.ExtensionWithMatcher": (
        f"xds_matcher: {{}}, extension_config: {{name: b, typed_config: {{"
        f"'@type': type.googleapis.com/{HTTP}.buffer.v3.Buffer, max_request_bytes: 1000000}}}}",
    ),
    f"{HTTP}.buffer.v3.Buffer": ("max_request_bytes: 1000000",),
    f"{HTTP}.dynamic_forward_proxy.v3.FilterConfig": ("dns_cache_config: {name: c, dns_lookup_family: V4_ONLY}",),
    f"{HTTP}.dynamic_modules.v3.DynamicModuleFilter": (
        f"{OWN_MODULE}, filter_name: Waits",
        f"{OWN_MODULE}, filter_name: Hooks",
    ),
    f"{HTTP}.grpc_http1_bridge.v3.Config": ("upgrade_protobuf_to_grpc: true",),
    f"{HTTP}.grpc_http1_reverse_bridge.v3.FilterConfig": ("content_type: application/own, withhold_grpc_frames: true",),
    f"{HTTP}.grpc_json_transcoder.v3.GrpcJsonTranscoder": (
        f"proto_descriptor_bin: {descriptors_in_yaml()}, services: [t.Books]",
    ),
    f"{HTTP}.grpc_stats.v3.FilterConfig": ("stats_for_all_methods: true",),
    f"{HTTP}.grpc_web.v3.GrpcWeb": ("",),
    f"{HTTP}.header_mutation.v3.HeaderMutation": (
        f"mutations: {{request_mutations: [{{{ONE_LINE}}}], response_mutations: [{{{ONE_LINE}}}]}}",
    ),
    f"{HTTP}.set_filter_state.v3.Config": (
        "on_request_headers: [{object_key: k, factory_key: envoy.string, "
        "format_string: {text_format_source: {inline_string: '%REQ(:PATH)%'}}}]",
    ),
    f"{HTTP}.health_check.v3.HealthCheck": (
        "pass_through_mode: true, cache_time: 1s, headers: [{name: x-asks, present_match: true}]",
    ),
    f"{HTTP}.set_metadata.v3.Config": ("metadata: [{metadata_namespace: a, value: {b: 1}}]",),
    f"{HTTP}.stateful_session.v3.StatefulSession": (
        "stat_prefix: s, session_state: {name: c, typed_config: "
        f"{{'@type': {SESSION}.cookie.v3.CookieBasedSessionState, cookie: {{name: k}}}}}}",
    ),
}
"""A configuration of each filter that lets requests pass."""

SIZE = 300_000
BODY = bytes(range(250)) * (SIZE // 250)


def sample(type_url: str, fields: str) -> PluginConfig:
    own = f'{{name: own, typed_config: {{"@type": type.googleapis.com/{type_url}, {fields}}}}}'
    return manager(bootstrap(http_filters=f"- {own}\n- {ROUTER}")).http_filters[0]


every_filter = pytest.mark.parametrize(
    "http_filter",
    [
        pytest.param((type_url, fields), id=f"{type_url.rpartition('.')[2]}-{index}")
        for type_url, samples in SAMPLES.items()
        for index, fields in enumerate(samples)
    ],
)


def test_no_filter_is_missing_here() -> None:
    passing = {type_url for type_url in HTTP_FILTERS if not registry.load(HTTP_FILTERS, type_url).terminal}
    assert passing == set(SAMPLES)


def chunked(body: bytes) -> bytes:
    pieces = [body[start : start + 7001] for start in range(0, len(body), 7001)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@run_trio
@every_filter
@pytest.mark.parametrize("framing", ["content-length", "chunked"])
async def test_bodies_pass_unharmed(http_filter: tuple[str, str], framing: str) -> None:
    seen = hashlib.sha256()

    async def serve(stream: trio.SocketStream) -> None:
        data = await read_head(stream)
        head, _, body = data.partition(b"\r\n\r\n")
        while not (body.endswith(b"\r\n0\r\n\r\n") if b"chunked" in head else len(body) == SIZE):
            body += await stream.receive_some(65536)
        seen.update(unchunked(body) if b"chunked" in head else body)
        await stream.send_all(b"HTTP/1.1 200 OK\r\n" + framed)

    framed = b"content-length: %d\r\n\r\n%b" % (SIZE, BODY)
    if framing == "chunked":
        framed = b"transfer-encoding: chunked\r\n\r\n" + chunked(BODY)
    async with (
        origin(serve) as upstream,
        serving(compiled(upstream.address, filters=[sample(*http_filter)])) as rig,
        trio.open_nursery() as nursery,
    ):
        client = await rig.connect()
        nursery.start_soon(client.send, b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n" + framed)
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")
    assert seen.digest() == hashlib.sha256(BODY).digest()
    assert (unchunked(body) if b"chunked" in head else body) == BODY


def unchunked(body: bytes) -> bytes:
    found = b""
    while body:
        line, _, rest = body.partition(b"\r\n")
        found += rest[: int(line, 16)]
        body = rest[int(line, 16) + 2 :]
    return found


@run_trio
@every_filter
async def test_head_has_no_body_and_the_connection_goes_on(http_filter: tuple[str, str]) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        while data := await read_head(stream):
            await stream.send_all(OK[:-2] if data.startswith(b"HEAD") else OK)

    async with origin(serve) as upstream, serving(compiled(upstream.address, filters=[sample(*http_filter)])) as rig:
        client = await rig.connect()
        await client.send(GET.replace(b"GET", b"HEAD") + GET)
        assert b"\r\ncontent-length: 2\r\n" in await client.until(b"\r\n\r\n")
        assert (await client.response())[1] == b"ok"


@run_trio
@every_filter
async def test_a_local_reply_behind_it_passes_and_the_connection_goes_on(http_filter: tuple[str, str]) -> None:
    routes = [route("/nowhere", "no-such-cluster"), route()]
    async with (
        origin(answering(OK)) as upstream,
        serving(compiled(upstream.address, filters=[sample(*http_filter)], routes=routes)) as rig,
    ):
        client = await rig.connect()
        for path, status in ((b"/nowhere", b"503"), (b"/", b"200")):
            await client.send(b"GET %b HTTP/1.1\r\nhost: a\r\n\r\n" % path)
            assert (await client.response())[0].startswith(b"HTTP/1.1 %b " % status)


@run_trio
@every_filter
async def test_a_local_reply_before_it_never_reaches_it(http_filter: tuple[str, str]) -> None:
    denying = "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"
    config = {"module": "tests.unit.proxy.filters.http.conforming", "filter_name": "deny", "value": None}
    async with serving(compiled(None, filters=[plugin("deny", denying, config), sample(*http_filter)])) as rig:
        answer = await rig.ask(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc")
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert b"x-seen" not in answer
        await rig.quiet()
        assert rig.gauges() == {}


@every_filter
@pytest.mark.parametrize(("serve", "request_bytes"), [(small, GET + GET), (large, POST)], ids=["small", "large"])
@pytest.mark.parametrize("how", ["connection", "exchange"])
def test_nothing_is_left_wherever_it_is_cancelled(
    http_filter: tuple[str, str], serve: object, request_bytes: bytes, how: str
) -> None:
    filters = [sample(*http_filter)]

    async def check() -> int:
        step = 1
        async with origin(serve) as upstream:
            while await once(upstream, request_bytes, step, how, filters):
                step += 1
        return step

    assert trio.run(check, clock=virtual_clock()) > 5


@run_trio
@every_filter
async def test_a_circuit_breaker_is_free_again(http_filter: tuple[str, str]) -> None:
    """An upstream that cuts its response gives everything back, and the client sees the cut."""

    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")

    async with origin(serve) as upstream, serving(compiled(upstream.address, filters=[sample(*http_filter)])) as rig:
        assert (await rig.ask()).endswith(b"abc")
        await rig.quiet()
        assert rig.gauges() == {}
        assert rig.tables.clusters.get(0, ClusterColumn.REQUESTS) == 0
