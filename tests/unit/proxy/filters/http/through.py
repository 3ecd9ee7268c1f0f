"""One request through a server whose HTTP filters are given as YAML."""

from __future__ import annotations

import trio

from tests.kit.config import ROUTE_CONFIG, bootstrap, compiled
from tests.unit.proxy.rig import GET, serving
from tests.unit.upstream.rig import OK, origin, read_head

ROUTER = '{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}'


async def through(
    http_filter: str,
    request: bytes = GET,
    *,
    body: bytes = b"",
    up: bytes | None = None,
    route_config: str = ROUTE_CONFIG,
    response: bytes = OK,
) -> tuple[bytes, bytes]:
    """The request as the origin saw it (b"" if it did not), and all that the client saw. `body` follows the request;
    the origin answers once it has seen `up`, by default the same.
    """
    expected = body if up is None else up
    seen: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        data = await read_head(stream)
        while not data.endswith(expected):
            data += await stream.receive_some()
        seen.append(data)
        await stream.send_all(response)

    closing = request.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1) + body
    async with origin(serve) as upstream:
        cluster = (
            "- {name: origin, load_assignment: {cluster_name: origin, endpoints: [{lb_endpoints: [{endpoint: {address: "
            f"{{socket_address: {{address: 127.0.0.1, port_value: {upstream.address.port}}}}}}}}}]}}]}}}}"
        )
        text = bootstrap(
            http_filters=f"- {http_filter}\n- {ROUTER}", route_config=route_config, clusters=cluster
        ).replace("name: main", "name: l")
        async with serving(compiled(text)) as rig:
            answer = await rig.ask(closing)
            await rig.quiet()
    return (seen[0] if seen else b""), answer
