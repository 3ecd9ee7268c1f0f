"""HTTP/2 over TLS: ALPN chooses, whatever the first bytes look like."""

from __future__ import annotations

import h2.config
import h2.connection
import h2.events
import pytest
import trio

from tests.integration.tls.terminating import authority, context, shake_hands, terminating
from tests.kit.trio import run_trio
from tests.unit.proxy.h2_rig import GET


@pytest.mark.parametrize("agreed", ["h2", "http/1.1"])
def test_alpn_chooses(agreed: str) -> None:
    @run_trio
    async def run() -> None:
        async with terminating(context(common={"alpn_protocols": ["h2", "http/1.1"]})) as rig:
            stream = await shake_hands(rig, authority().client(alpn=[agreed]))
            client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
            client.initiate_connection()
            client.send_headers(1, GET, end_stream=True)
            events = []
            answer = b""
            await stream.send_all(client.data_to_send())
            with trio.fail_after(5):
                while True:
                    data = await stream.receive_some()
                    answer += data
                    if agreed == "http/1.1":
                        assert answer.startswith(b"HTTP/1.1 505")
                        return
                    events += client.receive_data(data)
                    if any(isinstance(event, h2.events.StreamEnded) for event in events):
                        return

    run()
