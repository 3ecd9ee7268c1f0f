"""The network filter that sends back what comes."""

from __future__ import annotations

from tests.kit.config import compiled
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import serving

CONFIG = """
static_resources:
  listeners:
  - name: l
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains: [{filters: [{name: e, typed_config: {
      "@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}}]}]
"""


@run_trio
async def test_everything_comes_back_until_the_client_has_finished() -> None:
    async with serving(compiled(CONFIG)) as rig, await rig.connect() as client:
        data = bytes(range(256)) * 2000
        await client.send(data)
        await client.stream.send_eof()
        assert await client.rest() == data
        await rig.quiet()
