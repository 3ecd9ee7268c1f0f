"""`grpc_stats`: which calls count under which names; beside Envoy in `tests/parity/test_grpc_filters.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given

from proxy.filters.http.grpc_stats import _Frames
from tests.kit.config import bootstrap, compiled
from tests.kit.trio import run_trio
from tests.unit.proxy.filters.http.test_grpc_web import cut, cuts, frame, messages
from tests.unit.proxy.filters.http.through import ROUTER
from tests.unit.proxy.rig import Rig, serving
from tests.unit.upstream.rig import answering, origin

PROTO = "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig"
LIST = "envoy.config.core.v3.GrpcMethodList"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: %d\r\ncontent-length: 0\r\n\r\n"


@asynccontextmanager
async def counting(fields: str = "", *, status: int = 0, log: str = "") -> AsyncIterator[Rig]:
    own = f'{{name: s, typed_config: {{"@type": type.googleapis.com/{PROTO}, {fields}}}}}'
    async with origin(answering(ANSWER % status)) as upstream:
        endpoint = f"{{socket_address: {{address: 127.0.0.1, port_value: {upstream.address.port}}}}}"
        cluster = (
            "- {name: origin, load_assignment: {cluster_name: origin, endpoints: [{lb_endpoints: "
            f"[{{endpoint: {{address: {endpoint}}}}}]}}]}}}}"
        )
        text = bootstrap(http_filters=f"- {own}\n- {ROUTER}", clusters=cluster, hcm=log)
        async with serving(compiled(text.replace("name: main", "name: l"))) as rig:
            yield rig


def call(path: str, body: bytes = frame(b"")) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\nconnection: close\r\n"
    return head.encode() + b"content-length: %d\r\n\r\n%b" % (len(body), body)


def grpc_stats(rig: Rig) -> dict[str, int]:
    prefix = "cluster.origin.grpc."
    return {
        name.removeprefix(prefix): word.value
        for name, word in rig.stats.words.items()
        if name.startswith(prefix) and word.value
    }


@run_trio
@pytest.mark.field(f"{PROTO}.stats_for_all_methods")
async def test_all_methods() -> None:
    async with counting("stats_for_all_methods: true", status=5) as rig:
        await rig.ask(call("/a.S/m?q", frame(b"1") + frame(b"22")))
        assert grpc_stats(rig) == {
            "a.S.m.5": 1, "a.S.m.failure": 1, "a.S.m.total": 1, "a.S.m.request_message_count": 2,
        }  # fmt: skip


@run_trio
@pytest.mark.field(
    f"{PROTO}.individual_method_stats_allowlist",
    f"{LIST}.services",
    f"{LIST}.Service.name",
    f"{LIST}.Service.method_names",
)
async def test_listed_methods() -> None:
    services = "{services: [{name: a.S, method_names: [m]}]}"
    async with counting(f"individual_method_stats_allowlist: {services}") as rig:
        await rig.ask(call("/a.S/m"))
        await rig.ask(call("/a.S/n"))
        found = grpc_stats(rig)
        assert (found["a.S.m.total"], found["total"]) == (1, 1)
        assert "a.S.n.total" not in found


@run_trio
@pytest.mark.field(f"{PROTO}.replace_dots_in_grpc_service_name")
async def test_dots() -> None:
    async with counting("stats_for_all_methods: true, replace_dots_in_grpc_service_name: true") as rig:
        await rig.ask(call("/a.b.S/m"))
        assert grpc_stats(rig)["a_b_S.m.total"] == 1


@run_trio
@pytest.mark.field(f"{PROTO}.enable_upstream_stats")
async def test_the_upstreams_time() -> None:
    async with counting("stats_for_all_methods: true, enable_upstream_stats: true") as rig:
        await rig.ask(call("/a.S/m"))
        assert len(rig.stats.samples["cluster.origin.grpc.a.S.m.upstream_rq_time"].values) == 1


@run_trio
@pytest.mark.field(f"{PROTO}.emit_filter_state")
async def test_the_filter_state(tmp_path: Path) -> None:
    state = "%FILTER_STATE(envoy.filters.http.grpc_stats:PLAIN)% %FILTER_STATE(envoy.filters.http.grpc_stats)%"
    path = tmp_path / "log"
    log = (
        "access_log: [{name: f, typed_config: {'@type': type.googleapis.com/"
        f"envoy.extensions.access_loggers.file.v3.FileAccessLog, path: {path}, "
        f"log_format: {{text_format_source: {{inline_string: '{state}'}}}}}}}}]"
    )
    async with counting("emit_filter_state: true", log=log) as rig:
        await rig.ask(call("/a.S/m", frame(b"") * 3))
        await rig.quiet()
    assert path.read_text() == '3,0 {"requestMessageCount":"3"}'


@given(messages, cuts)
def test_messages_count_wherever_they_are_cut(bodies: list[bytes], at: list[int]) -> None:
    frames = _Frames()
    assert sum(map(frames.count, cut(b"".join(map(frame, bodies)), at))) == len(bodies)
