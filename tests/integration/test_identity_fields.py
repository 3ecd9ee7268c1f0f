"""The connection manager's fields about identity and HTTP/1, as an upstream and a client see them."""

from __future__ import annotations

import pytest
import trio

from tests.integration.test_fields import HCM, OPTIONS, asked, proxy, request, virtual
from tests.kit.config import ROUTE_CONFIG, bootstrap, findings, manager
from tests.unit.upstream.rig import OK

HTTP1 = "envoy.config.core.v3.Http1ProtocolOptions"
LOOPBACK = "internal_address_config: {cidr_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]}"
EDGE = "use_remote_address: true"
MINE = "x-request-id: mine"


async def upstream_head(*headers: str, hcm: str, route_config: str = ROUTE_CONFIG) -> bytes:
    """The request head that the upstream gets."""
    seen = bytearray()

    async def reading(stream: trio.SocketStream) -> None:
        while not seen.endswith(b"\r\n\r\n"):
            seen.extend(await stream.receive_some())
        await stream.send_all(OK)

    async with proxy(reading, hcm=hcm, route_config=route_config) as rig:
        await (await asked(rig, request(*headers))).response()
    return bytes(seen)


UPSTREAM = [
    ("use_remote_address", EDGE, [], b"\r\nx-forwarded-for: ", True),
    ("skip_xff_append", f"{EDGE}\nskip_xff_append: true", [], b"\r\nx-forwarded-for: ", False),
    (
        "xff_num_trusted_hops",
        f"{EDGE}\nxff_num_trusted_hops: 1",
        ["x-forwarded-for: 9.9.9.9"],
        b"\r\nx-envoy-external-address: 9.9.9.9\r\n",
        True,
    ),
    ("internal_address_config", f"{EDGE}\n{LOOPBACK}", [], b"\r\nx-envoy-internal: true\r\n", True),
    ("append_x_forwarded_port", "append_x_forwarded_port: true", [], b"\r\nx-forwarded-port: ", True),
    ("generate_request_id", "generate_request_id: false", [], b"\r\nx-request-id: ", False),
    (
        "preserve_external_request_id",
        f"{EDGE}\npreserve_external_request_id: true",
        [MINE],
        b"\r\nx-request-id: mine\r\n",
        True,
    ),
    ("via", "via: us", [], b"\r\nvia: us\r\n", True),
    (
        "scheme_header_transformation",
        "scheme_header_transformation: {scheme_to_overwrite: https}",
        [],
        b"\r\nx-forwarded-proto: https\r\n",
        True,
    ),
]


@pytest.mark.parametrize(
    ("hcm", "headers", "text", "there"),
    [pytest.param(*case, id=field, marks=pytest.mark.field(f"{HCM}.{field}")) for field, *case in UPSTREAM],
)
@virtual
async def test_what_the_upstream_is_told(hcm: str, headers: list[str], text: bytes, there: bool) -> None:
    assert (text in await upstream_head(*headers, hcm=hcm)) is there


@virtual
@pytest.mark.field(
    f"{HCM}.InternalAddressConfig.cidr_ranges",
    "envoy.config.core.v3.CidrRange.address_prefix",
    "envoy.config.core.v3.SchemeHeaderTransformation.scheme_to_overwrite",
)
async def test_parts_of_them() -> None:
    elsewhere = LOOPBACK.replace("127.0.0.0", "192.0.2.0")  # without a range, this machine would be inside
    seen = await upstream_head(hcm=f"{EDGE}\n{elsewhere}\nscheme_header_transformation: {{scheme_to_overwrite: https}}")
    assert b"\r\nx-envoy-internal: true\r\n" not in seen
    assert b"\r\nx-forwarded-proto: https\r\n" in seen


@virtual
@pytest.mark.field("envoy.config.core.v3.CidrRange.prefix_len")
async def test_a_range_has_a_length() -> None:
    """0 by default: every address."""
    hcm = f"{EDGE}\n{LOOPBACK}".replace("127.0.0.0", "10.0.0.0")
    assert b"x-envoy-internal" not in await upstream_head(hcm=hcm)


@pytest.mark.field(f"{HCM}.InternalAddressConfig.unix_sockets")
def test_unix_sockets() -> None:
    found = manager(bootstrap(hcm="internal_address_config: {unix_sockets: true}"))
    assert found.identity.internal_addresses.unix_sockets


def test_a_range_that_is_none() -> None:
    (fault,) = findings(bootstrap(hcm=LOOPBACK.replace("127.0.0.0", "localhost")))
    assert fault.field_path.endswith("internal_address_config.cidr_ranges[0].address_prefix")


@virtual
@pytest.mark.field("envoy.config.route.v3.RouteConfiguration.internal_only_headers")
async def test_internal_only_headers() -> None:
    config = f"{ROUTE_CONFIG}internal_only_headers: [X-Only]\n"
    assert b"x-only" not in await upstream_head("x-only: 1", hcm="", route_config=config)


async def answer(data: bytes, *, hcm: str, response: bytes = OK) -> bytes:
    """The response head."""

    async def answering(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(response)

    async with proxy(answering, hcm=hcm) as rig:
        return (await (await asked(rig, data)).response())[0]


@virtual
@pytest.mark.field(f"{HCM}.always_set_request_id_in_response")
async def test_request_id_in_the_response() -> None:
    told = await answer(request(MINE), hcm="always_set_request_id_in_response: true")
    assert b"\r\nx-request-id: mine\r\n" in told


@virtual
@pytest.mark.field(f"{HCM}.server_header_transformation")
async def test_server_header_transformation() -> None:
    theirs = OK.replace(b"\r\n\r\n", b"\r\nserver: theirs\r\n\r\n")
    hcm = "server_header_transformation: APPEND_IF_ABSENT"
    assert b"\r\nserver: theirs\r\n" in await answer(request(), hcm=hcm, response=theirs)
    assert b"\r\nserver: envoy\r\n" in await answer(request(), hcm=hcm)
    assert b"\r\nserver:" not in await answer(request(), hcm="server_header_transformation: PASS_THROUGH")


@virtual
@pytest.mark.field(f"{OPTIONS}.headers_with_underscores_action")
async def test_headers_with_underscores() -> None:
    def options(action: str) -> str:
        return f"common_http_protocol_options: {{headers_with_underscores_action: {action}}}"

    assert (await answer(request("x_y: 1"), hcm=options("REJECT_REQUEST"))).startswith(b"HTTP/1.1 400 ")
    seen = await upstream_head("x_y: 1", hcm=options("DROP_HEADER"))
    assert b"x_y" not in seen


@virtual
@pytest.mark.field(f"{HCM}.http_protocol_options", f"{HTTP1}.accept_http_10", f"{HTTP1}.default_host_for_http_10")
async def test_http_10() -> None:
    hcm = "http_protocol_options: {accept_http_10: true, default_host_for_http_10: other}"
    assert (await answer(b"GET / HTTP/1.0\r\n\r\n", hcm=hcm)).startswith(b"HTTP/1.0 200 ")


@virtual
@pytest.mark.field(f"{HTTP1}.allow_custom_methods", f"{HTTP1}.allow_absolute_url")
async def test_methods_and_targets() -> None:
    hcm = "http_protocol_options: {allow_custom_methods: true, allow_absolute_url: false}"
    assert (await answer(request(line="BREW /"), hcm=hcm)).startswith(b"HTTP/1.1 200 ")
    assert (await answer(request(line="GET http://a/"), hcm=hcm)).startswith(b"HTTP/1.1 404 ")
