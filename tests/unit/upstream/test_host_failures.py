"""What becomes of the connections to a host that fails."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from msgspec.structs import replace

from proxy.config.health_check import EndpointCheck, TcpCheck
from proxy.http.headers import Headers
from proxy.http.stream_info import StreamInfo
from proxy.upstream.host_failures import HostFailures
from proxy.upstream.host_set import Health
from proxy.upstream.host_status import Checked
from tests.kit.trio import run_trio
from tests.unit.upstream.health.rig import check
from tests.unit.upstream.rig import OK, Rig, answering, origin, read_body

FAILED = Checked.FAILED_ACTIVE_HC


class CheckedRig(Rig):
    """A cluster whose hosts are checked, all of them well."""

    def __init__(self, *addresses: Any, **config: Any) -> None:
        super().__init__(*addresses, health_check=check(TcpCheck()), **config)
        for host in self.hosts:
            self.cluster.status.set_checked(host, Checked(0))
        self.cluster.follow_status()

    @property
    def hosts(self) -> tuple[Any, ...]:
        assert self.cluster.endpoints is not None
        return self.cluster.endpoints.localities[0].hosts

    def find(self, flags: Checked, number: int = 0) -> None:
        """A check of host `number` has found this."""
        self.cluster.status.set_checked(self.hosts[number], flags)
        self.cluster.follow_status()


@run_trio
async def test_a_host_fails_once() -> None:
    async with origin(answering(OK)) as server:
        rig = CheckedRig(server.address)
        failures = HostFailures(rig.cluster.status)
        assert list(failures.update(rig.hosts)) == []
        found = []
        for flags in (FAILED, FAILED | Checked.ACTIVE_HC_TIMEOUT, Checked(0), FAILED):
            rig.find(flags)
            found.append(len(list(failures.update(rig.hosts))))
        assert found == [1, 0, 0, 1]


@run_trio
async def test_its_idle_connections_are_closed_and_new_ones_are_opened() -> None:
    async with origin(answering(OK)) as server, CheckedRig(server.address) as rig:
        assert await rig.get() == b"ok"
        rig.find(FAILED)
        assert rig.stat("cx_destroy_local") == 1
        assert [await rig.get() for _ in range(2)] == [b"ok"] * 2  # in panic
        assert server.accepted == 2
        rig.find(Checked(0))
        assert await rig.get() == b"ok"
        assert server.accepted == 2


@run_trio
async def test_a_request_in_hand_is_answered() -> None:
    async with origin(answering(OK)) as server, CheckedRig(server.address) as rig:
        stream = await rig.cluster.open_stream()
        rig.find(FAILED)
        await stream.send_request(b"GET", b"/", b"h", Headers(), end_stream=True)
        assert await read_body(stream) == b"ok"
        stream.close()
        assert rig.stat("cx_active") == 0


@pytest.mark.parametrize("closes", [True, False])
@run_trio
async def test_tcp_connections_are_given_up_where_that_is_asked_for(closes: bool) -> None:
    async with origin(answering(OK)) as one, origin(answering(OK)) as two:
        rig = CheckedRig(one.address, two.address, close_connections_on_host_health_failure=closes)
        connections = [await rig.cluster.open_connection(StreamInfo(trio.current_time())) for _ in range(2)]
        given_up = []
        for connection in connections:
            connection.on_abandoned = lambda host=connection.host: given_up.append(host)  # type: ignore[misc]
        rig.find(FAILED, 0)
        assert given_up == ([rig.hosts[0]] if closes else [])
        for connection in connections:
            connection.close(remote=False)


IMMEDIATE = b"HTTP/1.1 200 OK\r\nx-envoy-immediate-health-check-fail: true\r\ncontent-length: 2\r\n\r\nok"


@run_trio
async def test_a_response_may_say_that_its_host_wants_no_more() -> None:
    async with origin(answering(IMMEDIATE)) as server, CheckedRig(server.address) as rig:
        assert await rig.get() == b"ok"
        assert rig.cluster.status.health(rig.hosts[0]) is Health.EXCLUDED
        assert rig.memory.value("cluster.c.health_check.passive_failure") == 1
        rig.cluster.follow_status()
        assert rig.stat("cx_destroy_local") == 1


@run_trio
async def test_nobody_listens_to_hosts_that_are_not_checked() -> None:
    async with origin(answering(IMMEDIATE)) as server, Rig(server.address) as rig:
        assert await rig.get() == b"ok"
        assert "cluster.c.health_check.passive_failure" not in rig.memory.words
    async with origin(answering(IMMEDIATE)) as server:
        rig = CheckedRig(server.address)

        (host,) = rig.hosts
        assert rig.cluster.fast_failure is not None
        rig.cluster.fast_failure(replace(host, check=EndpointCheck(disabled=True)))
        assert rig.memory.value("cluster.c.health_check.passive_failure") == 0
