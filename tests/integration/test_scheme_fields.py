"""The scheme that hosts of HTTP/2 are told."""

from __future__ import annotations

import pytest

from tests.integration.test_fields import asked, proxy, request, virtual
from tests.unit.proxy.filters.router.test_tunnels_h2_upstream import Host
from tests.unit.proxy.rig import until


@virtual
@pytest.mark.field("envoy.config.core.v3.SchemeHeaderTransformation.match_upstream")
async def test_that_of_their_connection() -> None:
    host = Host()
    hcm = "scheme_header_transformation: {match_upstream: true}"
    async with (
        proxy(host.serve, hcm=hcm, cluster_fields="http2_protocol_options: {}") as rig,
        await asked(rig, request("x-forwarded-proto: https")) as client,
    ):
        await until(lambda: bool(host.heads))
        await client.until(b"\r\n\r\n")
    assert host.heads[0][":scheme"] == "http"
    assert host.heads[0]["x-forwarded-proto"] == "https"
