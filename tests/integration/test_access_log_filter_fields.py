"""Fields of the access log's filters for shares, gRPC statuses and types of entries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio

from tests.integration.test_access_log_fields import HCM, LOG, bootstrap_of, logged, text
from tests.integration.test_fields import cluster, one_listener
from tests.kit.config import bootstrap
from tests.unit.proxy.rig import serving
from tests.unit.upstream.rig import OK, answering, origin

ALL = {"numerator": 100}
SAME_ID = (
    b"GET / HTTP/1.1\r\nhost: a\r\nx-request-id: 00000031-0000-4000-8000-000000000000\r\nconnection: close\r\n\r\n"
)
"""0x31 is 49 of a hundred."""


def share(**fields: object) -> dict[str, object]:
    return {"runtime_filter": {"runtime_key": "k", **fields}}


def logged_of_same_id(tmp_path: Path, condition: dict[str, object], count: int) -> int:
    """How many of `count` requests with one id are logged."""
    path = tmp_path / "log"
    path.write_text("")
    log = text(path, "x") | {"filter": condition}

    async def run() -> None:
        async with (
            origin(answering(OK)) as upstream,
            serving(one_listener(bootstrap_of([log], cluster(upstream.address)))) as rig,
        ):
            for _ in range(count):
                await rig.ask(SAME_ID)
            await rig.stop()

    trio.run(run)
    return len(path.read_text())


@pytest.mark.field(f"{LOG}.AccessLogFilter.runtime_filter")
@pytest.mark.field(f"{LOG}.RuntimeFilter.percent_sampled")
def test_a_share_of_the_requests(tmp_path: Path) -> None:
    assert logged(tmp_path, share()) == ""
    assert logged(tmp_path, share(percent_sampled=ALL)) == "123"
    assert logged_of_same_id(tmp_path, share(percent_sampled={"numerator": 49}), 5) == 0
    assert logged_of_same_id(tmp_path, share(percent_sampled={"numerator": 50}), 5) == 5


@pytest.mark.field(f"{LOG}.RuntimeFilter.use_independent_randomness")
def test_independent_draws(tmp_path: Path) -> None:
    drawn = share(percent_sampled={"numerator": 50}, use_independent_randomness=True)
    assert 0 < logged_of_same_id(tmp_path, drawn, 60) < 60  # all or none: once in 2 ** 59


@pytest.mark.field(f"{LOG}.AccessLogFilter.grpc_status_filter")
@pytest.mark.field(f"{LOG}.GrpcStatusFilter.statuses")
def test_grpc_statuses(tmp_path: Path) -> None:
    assert logged(tmp_path, {"grpc_status_filter": {}}) == ""
    assert logged(tmp_path, {"grpc_status_filter": {"statuses": ["UNIMPLEMENTED"]}}) == "3"  # a 404


@pytest.mark.field(f"{LOG}.GrpcStatusFilter.exclude")
def test_all_but_these_grpc_statuses(tmp_path: Path) -> None:
    assert logged(tmp_path, {"grpc_status_filter": {"statuses": ["UNIMPLEMENTED"], "exclude": True}}) == "12"


@pytest.mark.field(f"{LOG}.AccessLogFilter.log_type_filter")
@pytest.mark.field(f"{LOG}.LogTypeFilter.types")
def test_types_of_entries(tmp_path: Path) -> None:
    assert logged(tmp_path, {"log_type_filter": {}}) == ""
    assert logged(tmp_path, {"log_type_filter": {"types": ["DownstreamEnd", "TcpConnectionEnd"]}}) == "123"


@pytest.mark.field(f"{LOG}.LogTypeFilter.exclude")
def test_all_but_these_types(tmp_path: Path) -> None:
    assert logged(tmp_path, {"log_type_filter": {"types": ["DownstreamStart"], "exclude": True}}) == "123"


@pytest.mark.field(f"{HCM}.access_log_options")
@pytest.mark.field(f"{HCM}.HcmAccessLogOptions.flush_access_log_on_new_request")
def test_an_entry_when_a_request_begins(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = json.dumps([text(path, "%ACCESS_LOG_TYPE% %REQ(:PATH)% %RESPONSE_CODE%\n")])
    hcm = f"access_log: {log}\naccess_log_options: {{flush_access_log_on_new_request: true}}"

    async def run() -> None:
        async with (
            origin(answering(OK)) as upstream,
            serving(one_listener(bootstrap(hcm=hcm, clusters=cluster(upstream.address)))) as rig,
        ):
            await rig.ask(SAME_ID)
            await rig.stop()

    trio.run(run)
    assert path.read_text() == "DownstreamStart / 0\nDownstreamEnd / 200\n"
