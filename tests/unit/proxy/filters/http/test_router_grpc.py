"""What the router does for gRPC alone: timeouts of clients, and statuses that do not count."""

from __future__ import annotations

import pytest

from proxy.config.forwarding import Forwarding
from proxy.config.route import ClusterAction
from proxy.filters.http.router_headers import settle
from proxy.http.headers import Headers
from proxy.http.request import Request
from tests.kit.config import bootstrap, findings, manager
from tests.kit.trio import run_trio
from tests.unit.proxy.filters.http.test_grpc_stats import call
from tests.unit.proxy.filters.http.through import ROUTER, through
from tests.unit.proxy.rig import compiled, serving
from tests.unit.upstream.rig import OK, answering, origin

ACTION = "envoy.config.route.v3.RouteAction"
SUPPRESSED = "suppress_grpc_request_failure_code_stats: true"
FRAME = b"\0\0\0\0\0"
CALL = (
    b"POST /s/m HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ngrpc-timeout: %b\r\ncontent-length: 5\r\n\r\n"
)


def routed(action: str) -> str:
    route = f'{{match: {{prefix: "/"}}, route: {{cluster: origin, {action}}}}}'
    return f'{{name: r, virtual_hosts: [{{name: v, domains: ["*"], routes: [{route}]}}]}}'


async def told(action: str, timeout: bytes) -> bytes:
    """The head that the upstream gets."""
    stats = '{name: s, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb}}'
    head, _ = await through(stats, CALL % timeout, body=FRAME, route_config=routed(action))
    return head


@run_trio
@pytest.mark.field(f"{ACTION}.max_grpc_timeout")
async def test_the_clients_timeout_is_the_routes() -> None:
    assert b"\r\ngrpc-timeout: 3000m\r\n" in await told("max_grpc_timeout: 3s", b"1M")


@run_trio
@pytest.mark.field(f"{ACTION}.grpc_timeout_offset")
async def test_less_the_time_that_we_need_ourselves() -> None:
    head = await told("max_grpc_timeout: 3s, grpc_timeout_offset: 0.5s", b"2S")
    assert b"\r\ngrpc-timeout: 1500m\r\n" in head


@pytest.mark.parametrize(
    ("longest", "offset", "asked", "timeout"),
    [
        (3.0, 1.0, b"10S", 3.0),
        (3.0, 1.0, b"2S", 1.0),
        (3.0, 1.0, b"500m", 0.5),
        (3.0, 0.0, b"0S", 3.0),
        (3.0, 0.0, b"soon", 3.0),
        (3.0, 0.0, None, 3.0),
        (0.0, 0.0, b"70S", 70.0),
        (0.0, 0.0, None, 0.0),
    ],
)
def test_timeouts(longest: float, offset: float, asked: bytes | None, timeout: float) -> None:
    request = Request()
    fields = [(b"content-type", b"application/grpc"), *([(b"grpc-timeout", asked)] if asked is not None else [])]
    request.headers = Headers(fields)
    action = ClusterAction("c", forwarding=Forwarding(max_grpc_timeout=longest, grpc_timeout_offset=offset))
    terms = settle(request, action, None, tell=False)
    assert terms.timeout == timeout
    request.headers = Headers(fields[1:])
    assert settle(request, action, None, tell=False).timeout == action.timeout


def test_timeouts_that_mean_nothing_are_refused() -> None:
    both = "max_grpc_timeout: 1s, max_stream_duration: {}"
    for action, field in ((both, "max_grpc_timeout"), ("grpc_timeout_offset: 1s", "grpc_timeout_offset")):
        (finding,) = findings(bootstrap(route_config=routed(action)))
        assert finding.path[-1] == field


@run_trio
@pytest.mark.field("envoy.extensions.filters.http.router.v3.Router.suppress_grpc_request_failure_code_stats")
async def test_statuses_of_grpc_do_not_count() -> None:
    last = manager(bootstrap(http_filters=f"- {ROUTER.replace('}}', f', {SUPPRESSED}}}}}')}")).http_filters[0]
    async with origin(answering(OK)) as upstream, serving(compiled(upstream.address, last=last)) as rig:
        await rig.ask(call("/s/m"))
        assert rig.stats.value("cluster.origin.hidden.upstream_rq_200") == 1
        await rig.ask(call("/s/m").replace(b"application/grpc", b"text/plain"))
        assert rig.stats.value("cluster.origin.hidden.upstream_rq_200") == 1
        assert rig.stats.value("cluster.origin.external.upstream_rq_200") == 2
