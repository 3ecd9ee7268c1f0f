"""Redirects that the proxy follows itself, in a server whose routes are given as YAML."""

from __future__ import annotations

import pytest
import trio

from tests.kit.config import bootstrap, compiled, findings
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import Rig, serving
from tests.unit.upstream.rig import origin, read_head

ACTION = "envoy.config.route.v3.RouteAction"
POLICY = "envoy.config.route.v3.InternalRedirectPolicy"
PREDICATES = "envoy.extensions.internal_redirect"
PREDICATE = f"type.googleapis.com/{PREDICATES}"


def routes(policy: str) -> str:
    """YAML of a route configuration; what is under `/from` follows redirects by `policy`, which is of its action."""
    return f"""
name: r
virtual_hosts:
- name: v
  domains: ["*"]
  routes:
  - match: {{prefix: /from}}
    name: from
    route: {{cluster: origin, {policy}}}
  - match: {{prefix: /}}
    name: other
    route: {{cluster: origin}}
"""


def config(policy: str, port: int = 1) -> str:
    endpoint = f"{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}"
    cluster = (
        f"{{name: origin, load_assignment: {{cluster_name: origin, endpoints: [{{lb_endpoints: [{endpoint}]}}]}}}}"
    )
    return bootstrap(route_config=routes(policy), clusters=f"- {cluster}").replace("name: main", "name: l")


async def asked(
    policy: str, *locations: str, request: bytes = b"", status: int = 302
) -> tuple[list[bytes], bytes, Rig]:
    """The requests that the origin saw, which answers with redirects to `locations`, then with 200; what the client
    saw; and the server.
    """
    seen: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        while data := await read_head(stream):
            if b"\r\ncontent-length: 3\r\n" in data and not data.endswith(b"abc"):
                data += await stream.receive_some(3)
            seen.append(data)
            if len(seen) <= len(locations):
                lines = f"location: {locations[len(seen) - 1]}\r\nx-copied: theirs\r\n"
                answer = f"HTTP/1.1 {status} Found\r\n{lines}content-length: 0\r\n\r\n"
            else:
                answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
            await stream.send_all(answer.encode())

    async with origin(serve) as upstream, serving(compiled(config(policy, upstream.address.port))) as rig:
        answer = await rig.ask(request or b"GET /from HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        await rig.quiet()
    return seen, answer, rig


@run_trio
@pytest.mark.field(f"{ACTION}.internal_redirect_policy")
async def test_another_request_follows() -> None:
    seen, answer, rig = await asked("internal_redirect_policy: {}", "http://b/to?x#f")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"ok")
    assert seen[1].startswith(b"GET /to?x HTTP/1.1\r\nhost: b\r\n")
    assert b"\r\nx-envoy-original-url: http://a/from\r\n" in seen[1]
    assert rig.value("downstream_rq_2xx") == 1
    assert rig.value("downstream_rq_3xx") == 0
    assert rig.value("downstream_rq_rx_reset") == 0
    assert rig.stats.value("cluster.origin.upstream_internal_redirect_succeeded_total") == 1
    assert rig.stats.value("cluster.origin.upstream_cx_total") == 1
    assert rig.gauges() == {}


@run_trio
@pytest.mark.field(f"{ACTION}.internal_redirect_action=HANDLE_INTERNAL_REDIRECT", f"{ACTION}.max_internal_redirects")
async def test_the_deprecated_fields() -> None:
    action = "internal_redirect_action: HANDLE_INTERNAL_REDIRECT, max_internal_redirects: 2"
    _, answer, _ = await asked(action, "http://a/from/1", "http://a/from/2")
    assert answer.startswith(b"HTTP/1.1 200 ")


@run_trio
@pytest.mark.field(f"{POLICY}.max_internal_redirects")
async def test_so_many_and_no_more() -> None:
    policy = "internal_redirect_policy: {max_internal_redirects: 2}"
    seen, answer, rig = await asked(policy, *(f"http://a/from/{at}" for at in range(3)))
    assert len(seen) == 3
    assert answer.startswith(b"HTTP/1.1 302 ")
    assert rig.value("passthrough_internal_redirect_too_many_redirects") == 1
    assert rig.stats.value("cluster.origin.upstream_internal_redirect_failed_total") == 1


@run_trio
@pytest.mark.field(f"{POLICY}.redirect_response_codes")
async def test_another_code_and_a_body_that_is_sent_again() -> None:
    post = b"POST /from HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc"
    policy = "internal_redirect_policy: {redirect_response_codes: [307]}"
    seen, answer, _ = await asked(policy, "http://b/to", request=post, status=307)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert seen[1].startswith(b"POST /to HTTP/1.1\r\n")
    assert seen[1].endswith(b"\r\n\r\nabc")


@run_trio
@pytest.mark.field(f"{POLICY}.allow_cross_scheme_redirect", f"{POLICY}.response_headers_to_copy")
async def test_another_scheme_and_copied_headers() -> None:
    policy = "internal_redirect_policy: {allow_cross_scheme_redirect: true, response_headers_to_copy: [X-Copied]}"
    seen, answer, _ = await asked(policy, "https://b/to")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nx-copied: theirs\r\n" in seen[1]


@run_trio
@pytest.mark.field(
    f"{POLICY}.predicates", f"{PREDICATES}.allow_listed_routes.v3.AllowListedRoutesConfig.allowed_route_names"
)
async def test_only_to_some_routes() -> None:
    predicate = f"'@type': {PREDICATE}.allow_listed_routes.v3.AllowListedRoutesConfig, allowed_route_names: [from]"
    policy = f"internal_redirect_policy: {{predicates: [{{name: p, typed_config: {{{predicate}}}}}]}}"
    _, answer, rig = await asked(policy, "http://a/to")
    assert answer.startswith(b"HTTP/1.1 302 ")
    assert rig.value("passthrough_internal_redirect_predicate") == 1
    _, answer, _ = await asked(policy, "http://a/from/again")
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("policy", "path", "message"),
    [
        ("redirect_response_codes: [200]", "redirect_response_codes[0]", "200 is no redirect that can be followed"),
        ("response_headers_to_copy: [a, 'b c']", "response_headers_to_copy[1]", "'b c' is not a header name"),
        (
            "response_headers_to_copy: [Transfer-Encoding]",
            "response_headers_to_copy[0]",
            "Transfer-Encoding of a response says nothing about a request",
        ),
        (
            "predicates: [{name: p, typed_config: {'@type': type.googleapis.com/google.protobuf.Struct}}]",
            "predicates[0].typed_config",
            "no predicate of redirects has the type google.protobuf.Struct",
        ),
    ],
)
def test_what_cannot_work_is_refused(policy: str, path: str, message: str) -> None:
    (found,) = findings(config(f"internal_redirect_policy: {{{policy}}}"))
    assert found.field_path.endswith(f"internal_redirect_policy.{path}")
    assert found.message == message
