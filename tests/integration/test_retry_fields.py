"""Fields about retries, time and mirrors as a client and origins see them: text, compiler, server, virtual time."""

from __future__ import annotations

import itertools
import time

import pytest
import trio

from tests.integration.test_fields import CLUSTER, HCM, OPTIONS, ROUTE, asked, cluster, one_listener, proxy, virtual
from tests.kit.config import bootstrap, findings
from tests.unit.proxy.rig import GET, serving
from tests.unit.upstream.rig import OK, Serve, origin, read_head, silent

RETRY = f"{ROUTE}.RetryPolicy"
ACTION = f"{ROUTE}.RouteAction"
HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
UNAVAILABLE = b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 200\r\n\r\n" + b"x" * 200
PREVIOUS_HOSTS = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
PREVIOUS = f"{{name: p, typed_config: {{'@type': type.googleapis.com/{PREVIOUS_HOSTS}}}}}"


def routed(action: str = "", *, route: str = "", host: str = "") -> str:
    """A route configuration whose one route goes to `origin`, with more fields of each level."""
    one = f"{{match: {{prefix: /}}, route: {{cluster: origin, {action}}}, {route}}}"
    return f"{{name: r, virtual_hosts: [{{name: v, domains: ['*'], routes: [{one}], {host}}}]}}"


def failing(
    times: list[float], *, fails: int = 100, answer: bytes = UNAVAILABLE, heads: list[bytes] | None = None
) -> Serve:
    """An origin that notes when requests come, and answers the first `fails` of them with `answer`."""

    async def serve(stream: trio.SocketStream) -> None:
        while data := await read_head(stream):
            times.append(trio.current_time())
            if heads is not None:
                heads.append(data)
            await stream.send_all(answer if len(times) <= fails else OK)

    return serve


async def attempts(
    policy: str, request: bytes = GET, *, fails: int = 100, answer: bytes = UNAVAILABLE, timeout: str = ""
) -> list[float]:
    """When the origin was asked, for one request."""
    times: list[float] = []
    config = routed(", ".join(filter(None, [f"retry_policy: {{{policy}}}", timeout])))
    async with proxy(failing(times, fails=fails, answer=answer), route_config=config) as rig:
        await (await asked(rig, request)).response()
    return times


@virtual
@pytest.mark.field(f"{ACTION}.retry_policy", f"{RETRY}.retry_on")
async def test_retry_on() -> None:
    assert len(await attempts("retry_on: 5xx")) == 2


@virtual
@pytest.mark.field(f"{RETRY}.num_retries")
async def test_num_retries() -> None:
    assert len(await attempts("retry_on: 5xx, num_retries: 3")) == 4


@virtual
@pytest.mark.field(f"{ROUTE}.VirtualHost.retry_policy")
async def test_the_virtual_hosts_policy() -> None:
    times: list[float] = []
    config = routed(host="retry_policy: {retry_on: 5xx}")
    async with proxy(failing(times), route_config=config) as rig:
        await (await asked(rig)).response()
    assert len(times) == 2


@virtual
@pytest.mark.field(f"{RETRY}.retriable_status_codes")
async def test_retriable_status_codes() -> None:
    assert len(await attempts("retry_on: retriable-status-codes, retriable_status_codes: [503]")) == 2


@virtual
@pytest.mark.field(f"{RETRY}.retriable_headers")
async def test_retriable_headers() -> None:
    answer = b"HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-length: 0\r\n\r\n"
    assert len(await attempts("retry_on: retriable-headers, retriable_headers: [{name: x-a}]", answer=answer)) == 2


@virtual
@pytest.mark.field(f"{RETRY}.retriable_request_headers")
async def test_retriable_request_headers() -> None:
    assert len(await attempts("retry_on: 5xx, retriable_request_headers: [{name: x-may}]")) == 1


@virtual
@pytest.mark.field(
    f"{RETRY}.retry_back_off", f"{RETRY}.RetryBackOff.base_interval", f"{RETRY}.RetryBackOff.max_interval"
)
async def test_retry_back_off() -> None:
    policy = "retry_on: 5xx, num_retries: 20, retry_back_off: {base_interval: 0.4s, max_interval: 0.5s}"
    times = await attempts(policy)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert 0.25 < max(gaps) <= 0.55


@virtual
@pytest.mark.field(
    f"{RETRY}.rate_limited_retry_back_off",
    f"{RETRY}.RateLimitedRetryBackOff.reset_headers",
    f"{RETRY}.RateLimitedRetryBackOff.max_interval",
    f"{RETRY}.ResetHeader.name",
)
async def test_rate_limited_back_off() -> None:
    limited = "rate_limited_retry_back_off: {reset_headers: [{name: X-Wait}], max_interval: 400s}"
    answer = b"HTTP/1.1 503 No\r\nx-wait: 350\r\ncontent-length: 0\r\n\r\n"
    times = await attempts(f"retry_on: 5xx, {limited}", answer=answer, fails=1, timeout="timeout: 0s, idle_timeout: 0s")
    assert 350 <= times[1] - times[0] <= 526


@virtual
@pytest.mark.field(f"{RETRY}.ResetHeader.format")
async def test_reset_header_as_a_point_in_time() -> None:
    limited = "rate_limited_retry_back_off: {reset_headers: [{name: x-at, format: UNIX_TIMESTAMP}]}"
    answer = b"HTTP/1.1 503 No\r\nx-at: %d\r\ncontent-length: 0\r\n\r\n" % (time.time() + 100)
    times = await attempts(f"retry_on: 5xx, {limited}", answer=answer, fails=1, timeout="timeout: 0s")
    assert 90 <= times[1] - times[0] <= 151


async def slow_once(stream: trio.SocketStream) -> None:
    """Says nothing to its connection's first request."""
    await read_head(stream)
    await trio.sleep(5)
    await stream.send_all(OK)


@virtual
@pytest.mark.field(f"{RETRY}.per_try_timeout")
async def test_per_try_timeout() -> None:
    async with proxy(slow_once, route_config=routed("retry_policy: {retry_on: 5xx, per_try_timeout: 1s}")) as rig:
        head, _ = await (await asked(rig)).response()
    assert head.startswith(b"HTTP/1.1 504 ")
    assert rig.records[-1].detail == "upstream_per_try_timeout"
    assert rig.records[-1].flags == "URX,UT"


@virtual
@pytest.mark.field(f"{RETRY}.per_try_idle_timeout")
async def test_per_try_idle_timeout() -> None:
    async with proxy(slow_once, route_config=routed("retry_policy: {retry_on: 5xx, per_try_idle_timeout: 1s}")) as rig:
        head, _ = await (await asked(rig)).response()
    assert head.startswith(b"HTTP/1.1 504 ")
    assert rig.records[-1].detail == "upstream_per_try_idle_timeout"


async def asked_after_the_heavy_host(policy: str) -> list[int]:
    """Statuses of requests to a host that always fails and has most of the weight, and to one that never does."""
    times: list[float] = []
    async with origin(failing(times)) as bad, origin(failing([], fails=0)) as good:
        text = bootstrap(
            route_config=routed(f"retry_policy: {{retry_on: 5xx, {policy}}}"),
            clusters=cluster(bad.address, good.address, weights=(9, 1)),
        )
        async with serving(one_listener(text)) as rig:
            client = await rig.connect()
            found = []
            for _ in range(10):
                await client.send(GET)
                found.append(int((await client.response())[0][9:12]))
            return found


@virtual
@pytest.mark.field(
    f"{RETRY}.retry_host_predicate",
    f"{RETRY}.RetryHostPredicate.typed_config",
    f"{RETRY}.host_selection_retry_max_attempts",
)
async def test_previous_hosts() -> None:
    statuses = await asked_after_the_heavy_host(
        f"retry_host_predicate: [{PREVIOUS}], host_selection_retry_max_attempts: 10"
    )
    assert statuses == [200] * 10


async def bodies(config: str) -> int:
    """How often a request with a body of 200 bytes is tried."""
    times: list[float] = []
    async with proxy(failing(times), route_config=config) as rig:
        await (await asked(rig, POST)).response()
        assert rig.stats.value("cluster.origin.retry_or_shadow_abandoned") == (1 if len(times) == 1 else 0)
    return len(times)


@pytest.mark.parametrize(
    "field",
    [
        pytest.param(name, marks=pytest.mark.field(f"{ROUTE}.Route.{name}", f"{ROUTE}.VirtualHost.{name}"))
        for name in ("per_request_buffer_limit_bytes", "request_body_buffer_limit")
    ],
)
@virtual
async def test_the_limit_of_what_is_kept(field: str) -> None:
    retry = "retry_policy: {retry_on: 5xx}"
    assert await bodies(routed(retry)) == 2
    assert await bodies(routed(retry, route=f"{field}: 100")) == 1
    assert await bodies(routed(retry, host=f"{field}: 100")) == 1


@virtual
@pytest.mark.field(f"{ROUTE}.VirtualHost.include_is_timeout_retry_header")
async def test_include_is_timeout_retry_header() -> None:
    heads: list[bytes] = []
    config = routed("retry_policy: {retry_on: 5xx}", host="include_is_timeout_retry_header: true")
    async with proxy(failing([], heads=heads), route_config=config) as rig:
        await (await asked(rig)).response()
    assert [b"x-envoy-is-timeout-retry: false" in head for head in heads] == [False, True]


@virtual
@pytest.mark.field(f"{ACTION}.idle_timeout")
async def test_route_idle_timeout() -> None:
    async with proxy(silent, route_config=routed("idle_timeout: 2s")) as rig:
        begun = trio.current_time()
        _, body = await (await asked(rig)).response()
        assert body == b"stream timeout"
        assert trio.current_time() - begun < 4


DURATIONS = [
    (f"{HCM}.common_http_protocol_options", "common_http_protocol_options: {max_stream_duration: 2s}", ""),
    (f"{OPTIONS}.max_stream_duration", "common_http_protocol_options: {max_stream_duration: 2s}", ""),
    (f"{ACTION}.max_stream_duration", "", "max_stream_duration: {max_stream_duration: 2s}"),
    (f"{ACTION}.MaxStreamDuration.max_stream_duration", "", "max_stream_duration: {max_stream_duration: 2s}"),
]


@pytest.mark.parametrize(
    ("hcm", "action"),
    [pytest.param(hcm, action, id=field, marks=pytest.mark.field(field)) for field, hcm, action in DURATIONS],
)
@virtual
async def test_max_stream_duration(hcm: str, action: str) -> None:
    async with proxy(silent, hcm=hcm, route_config=routed(action)) as rig:
        _, body = await (await asked(rig)).response()
        assert body == b"downstream duration timeout"
        assert rig.value("downstream_rq_max_duration_reached") == 1


GRPC = b"GET / HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ngrpc-timeout: 5S\r\n\r\n"


@virtual
@pytest.mark.field(
    f"{ACTION}.MaxStreamDuration.grpc_timeout_header_max", f"{ACTION}.MaxStreamDuration.grpc_timeout_header_offset"
)
async def test_grpc_timeout() -> None:
    heads: list[bytes] = []
    limits = "max_stream_duration: {grpc_timeout_header_max: 3s, grpc_timeout_header_offset: 1s}"
    async with proxy(failing([], fails=0, heads=heads), route_config=routed(limits)) as rig:
        await (await asked(rig, GRPC)).response()
    assert b"grpc-timeout: 2000m\r\n" in heads[0]


def upstream(common: str) -> str:
    return (
        f"typed_extension_protocol_options: {{{HTTP}: {{'@type': type.googleapis.com/{HTTP}, "
        f"explicit_http_config: {{http_protocol_options: {{}}}}, common_http_protocol_options: {{{common}}}}}}}"
    )


@virtual
@pytest.mark.field(f"{CLUSTER}.typed_extension_protocol_options", f"{HTTP}.common_http_protocol_options")
async def test_an_upstreams_max_stream_duration() -> None:
    async with proxy(silent, cluster_fields=upstream("max_stream_duration: 2s")) as rig:
        _, body = await (await asked(rig)).response()
        assert body == b"upstream max stream duration reached"
        assert rig.records[-1].flags == "UMSDR"


@pytest.mark.field(f"{HTTP}.explicit_http_config")
def test_an_upstreams_protocol_must_be_chosen() -> None:
    assert findings(bootstrap(clusters=cluster(fields=upstream("idle_timeout: 1s")))) == []


@pytest.mark.field(f"{HTTP}.ExplicitHttpConfig.http_protocol_options")
def test_an_upstreams_protocol_is_http1() -> None:
    assert findings(bootstrap(clusters=cluster(fields=upstream("idle_timeout: 1s")))) == []


@virtual
@pytest.mark.field(f"{CLUSTER}.max_requests_per_connection")
async def test_requests_per_connection_in_the_cluster_itself() -> None:
    async with proxy(failing([], fails=0), cluster_fields="max_requests_per_connection: 1") as rig:
        client = await rig.connect()
        for _ in range(2):
            await client.send(GET)
            await client.response()
        assert rig.stats.value("cluster.origin.upstream_cx_total") == 2


@virtual
@pytest.mark.field(f"{OPTIONS}.max_requests_per_connection")
async def test_requests_per_connection() -> None:
    options = "max_requests_per_connection: 1"
    async with proxy(failing([], fails=0), hcm=f"common_http_protocol_options: {{{options}}}") as rig:
        head, _ = await (await asked(rig)).response()
        assert b"\r\nconnection: close\r\n" in head
    async with proxy(failing([], fails=0), cluster_fields=upstream(options)) as rig:
        client = await rig.connect()
        for _ in range(2):
            await client.send(GET)
            await client.response()
        assert rig.stats.value("cluster.origin.upstream_cx_total") == 2


@virtual
@pytest.mark.field(f"{OPTIONS}.max_connection_duration", f"{HCM}.drain_timeout")
async def test_max_connection_duration() -> None:
    hcm = "common_http_protocol_options: {max_connection_duration: 20s}\ndrain_timeout: 2s"
    async with proxy(failing([], fails=0), hcm=hcm) as rig:
        client = await asked(rig)
        await client.response()
        begun = trio.current_time()
        assert await client.rest() == b""
        assert trio.current_time() - begun < 23
        assert rig.value("downstream_cx_max_duration_reached") == 1


async def mirrored(policy: str, *, host: bool = False, request: bytes = GET) -> list[bytes]:
    """The heads that a mirror gets of a request."""
    heads: list[bytes] = []
    mirrors = f"request_mirror_policies: [{{{policy}}}]"
    config = routed(host=mirrors) if host else routed(mirrors)
    async with origin(failing([], fails=0)) as main, origin(failing([], fails=0, heads=heads)) as mirror:
        text = bootstrap(
            route_config=config,
            clusters=cluster(main.address) + "\n" + cluster(mirror.address).replace("origin", "mirror"),
        )
        async with serving(one_listener(text)) as rig:
            await (await asked(rig, request)).response()
            await trio.sleep(1)
    return heads


@virtual
@pytest.mark.field(f"{ACTION}.request_mirror_policies", f"{ACTION}.RequestMirrorPolicy.cluster")
async def test_request_mirror_policies() -> None:
    (head,) = await mirrored("cluster: mirror")
    assert b"\r\nhost: test-shadow\r\n" in head


@virtual
@pytest.mark.field(f"{ROUTE}.VirtualHost.request_mirror_policies")
async def test_the_virtual_hosts_mirrors() -> None:
    assert len(await mirrored("cluster: mirror", host=True)) == 1


@virtual
@pytest.mark.field(f"{ACTION}.RequestMirrorPolicy.cluster_header")
async def test_a_mirror_that_the_request_names() -> None:
    request = GET.replace(b"\r\n\r\n", b"\r\nx-mirror: mirror\r\n\r\n")
    assert len(await mirrored("cluster_header: x-mirror", request=request)) == 1


@virtual
@pytest.mark.field(f"{ACTION}.RequestMirrorPolicy.runtime_fraction")
async def test_a_share_of_requests_is_mirrored() -> None:
    assert await mirrored("cluster: mirror, runtime_fraction: {default_value: {numerator: 0}}") == []


@virtual
@pytest.mark.field(f"{ACTION}.RequestMirrorPolicy.disable_shadow_host_suffix_append")
async def test_a_mirror_with_the_requests_own_host() -> None:
    (head,) = await mirrored("cluster: mirror, disable_shadow_host_suffix_append: true")
    assert b"\r\nhost: test\r\n" in head


@virtual
@pytest.mark.field(f"{ACTION}.RequestMirrorPolicy.host_rewrite_literal")
async def test_a_mirror_with_a_host_of_its_own() -> None:
    (head,) = await mirrored("cluster: mirror, host_rewrite_literal: other")
    assert b"\r\nhost: other\r\n" in head
